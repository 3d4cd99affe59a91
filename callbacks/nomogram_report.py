"""From a trained autoencoder to a nomogram: image scores, regression, comparators, and all that a report needs."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from callbacks.classification_figures import save_figures
from callbacks.prediction_writer import write_csv
from callbacks.tripod import tripod_of
from evaluation.diagnostic import delong
from evaluation.explanation import grad_cam
from evaluation.figures import (
    calibration_figure,
    decisions_figure,
    explanation_figure,
    models_roc_figure,
    nomogram_figure,
    nomogram_html,
)
from evaluation.image_score import Aggregate, by_case, fit_score, folds_by_case, image_scores, out_of_fold
from evaluation.multimodal import NOMOGRAM, SCORE, Analysis, Part, analyse, odds_rows, optimism_rows
from evaluation.summary import table_one

__all__ = ["NomogramReport"]

log = logging.getLogger(__name__)

_SHOWN = (NOMOGRAM, "clinical regression", "image score")  # decision curves of all models would hide each other


class NomogramReport(L.Callback):
    """At the end of the test, makes the nomogram of the development cases and judges it on the test cases.

    Development cases are those of training and validation. Their image scores are out of fold, by case; test cases
    get the score of all development cases, which the module keeps. The autoencoder itself has seen training images,
    without labels. Logs `test/auc` with DeLong's interval and the rates at the threshold that development cases
    chose, `test/clinical_auc`, `test/auc_gain` with its p, `test/score_auc`, and of phantoms `test/ceiling_auc`.
    Writes `test_*.csv`, `nomogram.html`, `predictions/cases.csv`, and `figures/nomogram.{png,svg}` among others.

    Args:
        folds: Of the development cases.
        aggregate: How the scores of a case's images become one.
        top: Images that `aggregate=top` takes the mean of.
        resamples: Bootstrap draws behind the optimism.
        draws: Imputations, where the datamodule imputes.
        explained: Test images drawn with a heat map.
        layer: Of the module, whose map is weighted by its effect on the score.
        units: Of predictors.
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
        layer: str = "net.norm",
        units: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        if folds < 2 or top < 1 or resamples < 1 or draws < 1:
            raise ValueError(
                f"folds={folds} must be 2 or more; top={top}, resamples={resamples}, draws={draws} positive"
            )
        self.folds, self.aggregate, self.top = folds, aggregate, top
        self.resamples, self.draws, self.explained = resamples, draws, explained
        self.layer, self.units, self.seed = layer, dict(units or {}), seed

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score, fit, judge, log, write and draw."""
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        kind: Any = pl_module.score.kind  # type: ignore[union-attr]
        said = {split: _encoded(trainer, pl_module, split) for split in ("train", "val", "test")}
        ids, latent, error = _joined(said["train"], said["val"])
        cases = {split: datamodule.cases(split) for split in said}
        labels = {n: p for part in cases.values() for n, p in zip(part.names, part.positive, strict=True)}
        owner = np.array([datamodule.case_of(name) for name in ids])
        positive = np.array([labels[name] for name in owner])
        fold = folds_by_case(positive, owner, self.folds, self.seed)
        held = out_of_fold(kind, latent, error, positive, owner, fold, self.seed)
        numbers = fit_score(kind, latent, positive, owner, self.seed)
        pl_module.set_score(**numbers)  # type: ignore[operator]
        scores = {"train": (held, owner), "val": (held, owner)}
        tested = image_scores(kind, numbers, said["test"][1], said["test"][2])
        scores["test"] = tested, np.array([datamodule.case_of(name) for name in said["test"][0]])
        parts = {split: self._part(datamodule, cases[split], *scores[split]) for split in said}
        development = Part(
            *(np.concatenate(pair) for pair in zip(*map(_fields, (parts["train"], parts["val"])), strict=True))
        )
        fold_of = dict(zip(owner, fold, strict=True))
        names = [*datamodule.predictors, SCORE]
        draws = self.draws if datamodule.missing == "impute" else 0
        analysis = analyse(
            development,
            parts["test"],
            names,
            np.array([fold_of[name] for split in ("train", "val") for name in cases[split].names]),
            candidates=len(datamodule.candidates),
            draws=draws,
            units={name: unit for name, unit in self.units.items() if name in names},
            seed=self.seed,
        )
        metrics = {**analysis.numbers, **_ceiling(cases["test"])}
        pl_module.log_dict({f"test/{name}": torch.tensor(float(value)) for name, value in metrics.items()})
        if not trainer.is_global_zero:
            return
        for note in analysis.notes:
            log.warning("%s", note)
        run = Path(trainer.default_root_dir)
        optimism = optimism_rows(development, names, draws, self.resamples, self.seed)
        self._write(run, datamodule, analysis, parts, development, cases, optimism)
        tripod = tripod_of(analysis, parts, datamodule, self, pl_module, optimism)
        write_csv(run / "test_tripod.csv", tripod)
        self._draw(trainer, run, analysis, cases["test"], parts["test"].positive)
        self._explain(trainer, pl_module, analysis, said["test"][0], tested, cases["test"])

    def _part(self, datamodule: Any, cases: Any, score: np.ndarray, owner: np.ndarray) -> Part:
        kept = np.isin(owner, cases.names)
        own = by_case(score[kept], owner[kept], cases.names, self.aggregate, self.top)
        x = np.column_stack([*(cases.values[name] for name in datamodule.predictors), own])
        others = [cases.values[name] for name in datamodule.candidates]
        return Part(x, cases.positive, np.column_stack(others) if others else np.empty((len(x), 0)))

    def _write(
        self,
        run: Path,
        datamodule: Any,
        analysis: Analysis,
        parts: Mapping[str, Part],
        development: Part,
        cases: Mapping[str, Any],
        optimism: list[dict[str, Any]],
    ) -> None:
        """Tables, the calculator, and the probabilities of the test cases."""
        values = {split: {**cases[split].values, SCORE: part.x[:, -1]} for split, part in parts.items()}
        labels = {split: part.positive for split, part in parts.items()}
        write_csv(run / "test_1_cases.csv", table_one(values, labels, datamodule.class_names))
        write_csv(run / "test_2_odds.csv", odds_rows(analysis, development, datamodule.candidates))
        write_csv(run / "test_3_models.csv", analysis.rows(parts["test"].positive, cases["test"].readers))
        write_csv(run / "test_4_optimism.csv", optimism)
        write_csv(run / "test_5_points.csv", analysis.nomogram.table())
        page = nomogram_html(analysis.nomogram, title="Nomogram as a calculator", outcome="probability of HLHS")
        (run / "nomogram.html").write_text(page, encoding="utf-8")
        prob = {name: [f"{value:.6f}" for value in column] for name, column in analysis.probabilities.items()}
        rows = [
            {"id": name, "label": int(label), SCORE: f"{score:.5f}", **{key: column[k] for key, column in prob.items()}}
            for k, (name, label, score) in enumerate(
                zip(cases["test"].names, labels["test"], parts["test"].x[:, -1], strict=True)
            )
        ]
        write_csv(run / "predictions" / "cases.csv", rows)

    def _draw(self, trainer: L.Trainer, run: Path, analysis: Analysis, cases: Any, positive: np.ndarray) -> None:
        prob = analysis.probabilities
        shown = {name: prob[name] for name in _SHOWN if name in prob}
        both = np.stack([1 - prob[NOMOGRAM], prob[NOMOGRAM]], axis=1)
        drawn = nomogram_figure(analysis.nomogram, outcome="probability of HLHS")
        figures = {
            "nomogram": drawn,
            "models_roc": models_roc_figure(
                positive, prob, {name: calls for name, (_, calls) in cases.readers.items()}
            ),
            "calibration": calibration_figure(positive.astype(int), both, ["normal", "HLHS"]),
            "decision": decisions_figure(positive, shown),
        }
        save_figures(trainer, figures, run / "figures")
        drawn.savefig(run / "figures" / "nomogram.svg")

    def _explain(
        self, trainer: L.Trainer, pl_module: Any, analysis: Analysis, ids: list[str], scores: np.ndarray, cases: Any
    ) -> None:
        """Heat maps of the image score: of each class the images with the largest and the smallest score."""
        datamodule: Any = trainer.datamodule  # type: ignore[attr-defined]
        place = {name: row for row, name in enumerate(cases.names)}
        rows = np.array([place[datamodule.case_of(name)] for name in ids])
        label, order = cases.positive[rows].astype(int), np.argsort(scores)
        by_class = [[row for row in order if label[row] == value] for value in (0, 1)]
        each = max(1, self.explained // 4)
        chosen = [row for group in by_class for row in dict.fromkeys([*group[-each:][::-1], *group[:each]])]
        images = [image for batch in datamodule.plain("test") for image in batch["image"]]
        net = _ScoreLogits(pl_module)
        maps = [
            grad_cam(net, images[row][None].to(pl_module.device), 0, f"module.{self.layer}")[0].cpu().numpy()
            for row in chosen
        ]
        prob = analysis.probabilities[NOMOGRAM][rows[chosen]]
        figure = explanation_figure(
            [images[row][:1].numpy() for row in chosen],
            maps,
            [1] * len(chosen),
            [label[row] for row in chosen],
            [np.array([1 - value, value]) for value in prob],
            datamodule.class_names,
        )
        save_figures(trainer, {"gradcam": figure}, Path(trainer.default_root_dir) / "figures")


class _ScoreLogits(nn.Module):
    """The image score as the only logit of a network."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> Tensor:
        return self.module.image_score(image)[:, None]


Encoded = tuple[list[str], np.ndarray, np.ndarray]
"""Ids, latents (N, L), mean squared errors (N,)."""


@torch.no_grad()
def _encoded(trainer: L.Trainer, pl_module: Any, split: str) -> Encoded:
    """All images of a split as they are, without augmentation."""
    ids: list[str] = []
    latents, errors = [], []
    with trainer.precision_plugin.forward_context():
        for batch in trainer.datamodule.plain(split):  # type: ignore[attr-defined]
            image = batch["image"].to(pl_module.device)
            latent = pl_module.latent(image)
            said = pl_module.decode(latent)
            ids += batch["id"]
            latents.append(latent.double().cpu())
            errors.append((said[:, 0] - image[:, 0]).double().square().flatten(1).mean(1).cpu())
    return ids, torch.cat(latents).numpy(), torch.cat(errors).numpy()


def _joined(one: Encoded, other: Encoded) -> Encoded:
    return [*one[0], *other[0]], np.concatenate([one[1], other[1]]), np.concatenate([one[2], other[2]])


def _fields(part: Part) -> tuple[np.ndarray, ...]:
    return part.x, part.positive, part.candidates


def _ceiling(cases: Any) -> dict[str, float]:
    """Of phantoms, the area that the true probabilities have on the test cases: nobody can do better but by luck."""
    if cases.probability is None:
        return {}
    return {"ceiling_auc": delong(cases.positive, cases.probability)["auc"]}
