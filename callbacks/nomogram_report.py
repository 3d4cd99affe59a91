"""From a trained autoencoder to a nomogram: image scores, regression, comparators, and all that a report needs."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from callbacks.classification_figures import save_figures
from callbacks.nomogram_figures import heat_maps, nomogram_figures, score_traversal
from callbacks.nomogram_study import Images, Study
from callbacks.nomogram_tables import write_tables
from callbacks.prediction_writer import write_csv
from callbacks.tripod import tripod_of
from evaluation.diagnostic import delong
from evaluation.image_score import Aggregate, by_case, fit_score, folds_by_case, image_scores, out_of_fold
from evaluation.multimodal import SCORE, Part, analyse, optimism_rows

__all__ = ["NomogramReport"]

log = logging.getLogger(__name__)

_SPLITS = {"development": ("train", "val"), "test": ("test",)}


class NomogramReport(L.Callback):
    """At the end of the test, makes the nomogram of the development cases and judges it on the test cases.

    Development cases are those of training and validation. Their image scores are out of fold, by case; test cases
    get the score of all development cases, which the module keeps. The autoencoder itself has seen training images,
    without labels. Logs `test/auc` with DeLong's interval and the rates at the threshold that development cases
    chose, `test/clinical_auc`, `test/auc_gain` with its p, `test/score_auc`, and of phantoms `test/ceiling_auc`.
    Writes `test_*.csv`, `nomogram.html`, `predictions/cases.csv`, and `figures/nomogram.{png,svg}` among others.

    Args:
        folds: Of the development cases; fewer where a class has fewer cases.
        aggregate: How the scores of a case's images become one.
        top: Images that `aggregate=top` takes the mean of.
        resamples: Bootstrap draws behind the optimism.
        draws: Imputations, where the datamodule imputes.
        explained: Test images drawn with a heat map.
        layer: Of the module, whose map is weighted by its effect on the score.
        units: Of predictors.
        names: What figures and calculator call a predictor, where not by its own name with blanks.
        seed: Of folds, learners and draws.
    """

    def __init__(
        self,
        folds: int = 5,
        aggregate: Aggregate = "mean",
        top: int = 2,
        resamples: int = 500,
        draws: int = 20,
        explained: int = 8,
        layer: str = "net.down.0",
        units: Mapping[str, str] | None = None,
        names: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        if folds < 2 or top < 1 or resamples < 1 or draws < 1:
            raise ValueError(
                f"folds={folds} must be 2 or more; top={top}, resamples={resamples}, draws={draws} positive"
            )
        self.folds, self.aggregate, self.top = folds, aggregate, top
        self.resamples, self.draws, self.explained = resamples, draws, explained
        self.layer, self.units, self.names, self.seed = layer, dict(units or {}), dict(names or {}), seed

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score, fit, judge and log; the first rank writes and draws."""
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        cases = {part: datamodule.cases(*splits) for part, splits in _SPLITS.items()}
        images = {part: _encoded(trainer, pl_module, splits) for part, splits in _SPLITS.items()}
        fold, scores = self._scored(pl_module, cases["development"], images)
        parts = {part: self._part(datamodule, cases[part], scores[part], images[part].case) for part in _SPLITS}
        names = [*datamodule.predictors, SCORE]
        analysis = analyse(
            parts["development"],
            parts["test"],
            names,
            fold,
            candidates=len(datamodule.candidates),
            draws=self._draws(datamodule),
            units={name: unit for name, unit in self.units.items() if name in names},
            seed=self.seed,
        )
        metrics = {**analysis.numbers, **_ceiling(cases["test"])}
        pl_module.log_dict({f"test/{name}": torch.tensor(float(value)) for name, value in metrics.items()})
        if trainer.is_global_zero:
            self._report(trainer, pl_module, Study(cases, images, scores, parts, analysis))

    def _scored(
        self, module: Any, cases: Any, images: Mapping[str, Images]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Folds (N,) of the development cases, and the score of each image; the module keeps that of the test."""
        kind, own, new = module.score.kind, images["development"], images["test"]
        label = dict(zip(cases.names, cases.positive, strict=True))
        positive = np.array([label[name] for name in own.case])
        fewest = int(min(cases.positive.sum(), (~cases.positive).sum()))
        if fewest < self.folds:
            log.warning("folds=%d, but a class has %d development cases: as many folds", self.folds, fewest)
        fold = folds_by_case(positive, own.case, min(self.folds, fewest), self.seed)
        numbers = fit_score(kind, own.latent, positive, own.case, self.seed)
        module.set_score(**numbers)
        held = out_of_fold(kind, own.latent, own.error, positive, own.case, fold, self.seed)
        home = dict(zip(own.case, fold, strict=True))
        tested = image_scores(kind, numbers, new.latent, new.error)
        return np.array([home[name] for name in cases.names]), {"development": held, "test": tested}

    def _part(self, datamodule: Any, cases: Any, score: np.ndarray, owner: np.ndarray) -> Part:
        own = by_case(score, owner, cases.names, self.aggregate, self.top)
        x = np.column_stack([*(cases.values[name] for name in datamodule.predictors), own])
        others = [cases.values[name] for name in datamodule.candidates]
        return Part(x, cases.positive, np.column_stack(others) if others else np.empty((len(x), 0)))

    def _draws(self, datamodule: Any) -> int:
        return self.draws if datamodule.missing == "impute" else 0

    def _report(self, trainer: L.Trainer, pl_module: L.LightningModule, study: Study) -> None:
        for note in study.analysis.notes:
            log.warning("%s", note)
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        run, developed = Path(trainer.default_root_dir), study.parts["development"]
        draws = self._draws(datamodule)
        optimism = optimism_rows(developed, study.analysis.names, draws, self.resamples, self.seed)
        write_tables(run, datamodule, study, optimism, self.names)
        write_csv(run / "test_6_TRIPOD_AI.csv", tripod_of(study, datamodule, self, pl_module, optimism))
        figures = nomogram_figures(study, self.names)
        figures["score_traversal"] = score_traversal(pl_module, study)
        figures["gradcam"] = heat_maps(pl_module, datamodule, study, self.explained, self.layer)
        save_figures(trainer, figures, run / "figures")
        figures["nomogram"].savefig(run / "figures" / "nomogram.svg")


@torch.no_grad()
def _encoded(trainer: L.Trainer, pl_module: Any, splits: tuple[str, ...]) -> Images:
    """All images of some splits as they are, without augmentation."""
    datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
    ids: list[str] = []
    latents, errors = [], []
    with trainer.precision_plugin.forward_context():
        for batch in (batch for split in splits for batch in datamodule.plain(split)):
            image = batch["image"].to(pl_module.device)
            latent = pl_module.latent(image)
            said = pl_module.decode(latent)
            ids += batch["id"]
            latents.append(latent.double().cpu())
            errors.append((said[:, 0] - image[:, 0]).double().square().flatten(1).mean(1).cpu())
    case = np.array([datamodule.case_of(name) for name in ids])
    return Images(ids, case, torch.cat(latents).numpy(), torch.cat(errors).numpy())


def _ceiling(cases: Any) -> dict[str, float]:
    """Of phantoms, the area that the true probabilities have on the test cases: nobody can do better but by luck."""
    if cases.probability is None:
        return {}
    return {"ceiling_auc": delong(cases.positive, cases.probability)["auc"]}
