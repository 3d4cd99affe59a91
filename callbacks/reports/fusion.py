"""What a fusion of modalities is worth, whom it listens to and what it can do without, at the end of a test."""

from collections.abc import Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from scipy.special import logit

from medzoo.callbacks.collect import CollectPredictions, data_of
from medzoo.callbacks.output import save_figures, write_csv
from medzoo.evaluation.figures import areas_figure, importance_figure, subsets_figure, weights_figure
from medzoo.evaluation.scores.classification import auc
from medzoo.evaluation.scores.diagnostic import delong
from medzoo.evaluation.scores.representations import auc_of, compare_representations

__all__ = ["FusionReport"]

_MEASURES = {
    "AUC lost without it": "auc_lost",
    "|change of the logit| without it": "logit_change",
    "the generating model's |change|": "true_change",
    "mean weight where present": "weight",
}


class FusionReport(CollectPredictions):
    """Compares the fusion with each modality alone, and asks what happens when modalities are withheld.

    A modality alone says, of patients who lack it, how common each class is among the training patients. Writes
    `test_fusion.csv` (areas, with DeLong's paired tests against the fusion), `test_modalities.csv` (importance),
    `test_subsets.csv` (areas when the network is shown some modalities only) and `predictions/weights.csv`; draws
    figures of them. Logs `test/best_unimodal_auc`, `test/auc_<modality>`, and of phantoms `test/bayes_auc`, that of the
    best score of what the network was shown that there is.

    Where there are two classes, gradient boosting of the training patients' clinical variables stands beside them.

    Args:
        resamples: Bootstrap draws, with more than two classes.
    """

    def __init__(self, resamples: int = 1000) -> None:
        super().__init__()
        self.resamples = resamples

    def finish(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str, collected: dict[str, Any]) -> None:
        """Compare, log, write and draw."""
        if stage != "test":
            return
        data = data_of(trainer)
        module: Any = pl_module
        label, run = collected["label"], Path(trainer.default_root_dir)
        probs = self._probs(data, module, collected)
        rows = compare_representations(label, probs, "fusion", resamples=self.resamples)
        numbers = {f"test/auc_{row['name']}": row["auc"] for row in rows if row["name"] in module.modalities}
        numbers["test/best_unimodal_auc"] = max(numbers.values())
        if data.phantom:
            best = data.true_log_odds(collected["id"], collected["present"])
            numbers["test/bayes_auc"] = float(auc(label == 1, best)[0])
        pl_module.log_dict({name: torch.tensor(float(value)) for name, value in numbers.items()})
        if not trainer.is_global_zero:
            return
        write_csv(run / "test_fusion.csv", rows)
        write_csv(run / "predictions" / "weights.csv", _weights(collected, module.modalities))
        score, names = collected["prob"][:, -1], module.modalities
        figures = {
            "fusion_areas": areas_figure(rows),
            "fusion_weights": weights_figure(collected["weights"], collected["present"], score, names),
        }
        if len(names) > 1:
            modalities = _importance(module, collected, data)
            subsets = _subsets(module, collected)
            write_csv(run / "test_modalities.csv", modalities)
            write_csv(run / "test_subsets.csv", [{**row, "modalities": " ".join(row["modalities"])} for row in subsets])
            figures["fusion_importance"] = importance_figure(modalities, _MEASURES)
            if subsets:
                figures["fusion_subsets"] = subsets_figure(subsets, names, rows[0]["auc"])
        save_figures(trainer, figures)

    def _probs(self, data: Any, module: Any, collected: dict[str, Any]) -> dict[str, np.ndarray]:
        """Probabilities (N, K) of the fusion, of each modality alone, and of the baseline."""
        common = module.baselines.common.cpu().numpy()
        probs = {"fusion": collected["prob"]}
        for index, name in enumerate(module.modalities):
            has = collected["present"][:, [index]]
            probs[name] = np.where(has, collected["unimodal"][:, index], common)
        boosted = module.baselines.clinical
        if bool(boosted.model.fitted):
            has = collected["present"][:, [module.modalities.index("clinical")]]
            rows = data.table("test")
            place = {name: index for index, name in enumerate(rows["id"])}
            others = rows["clinical"][[place[name] for name in collected["id"]]]
            said = boosted(torch.from_numpy(others).to(boosted.model.device, torch.float64)).cpu().numpy()
            probs[f"{boosted.model.title}, clinical"] = np.where(has, np.stack([1 - said, said], axis=1), common)
        return probs


def _importance(module: Any, collected: dict[str, Any], data: Any) -> list[dict[str, Any]]:
    """A row for each modality: what the network loses without it, among patients who have it and another."""
    label, present = collected["label"], collected["present"]
    whole = _fused(module, collected, present)
    rows = []
    for index, name in enumerate(module.modalities):
        without = present.copy()
        without[:, index] = False
        asked = present[:, index] & without.any(1)
        row: dict[str, Any] = {"modality": name, "patients": int(present[:, index].sum())}
        if asked.any():
            less = _fused(module, collected, np.where(asked[:, None], without, present))
            row["auc_lost"] = auc_of(label, whole) - auc_of(label, less)
            row["logit_change"] = float(np.abs(_logit(whole) - _logit(less))[asked].mean())
        row["weight"] = float(collected["weights"][present[:, index], index].mean())
        if data.phantom and asked.any():
            true = data.true_log_odds(collected["id"], present), data.true_log_odds(collected["id"], without)
            row["true_change"] = float(np.abs(true[0] - true[1])[asked].mean())
        rows.append(row)
    columns = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key, "") for key in columns} for row in rows]


def _subsets(module: Any, collected: dict[str, Any]) -> list[dict[str, Any]]:
    """The area of every choice of modalities, over the patients who have one of them."""
    names, rows = module.modalities, []
    for chosen in chain.from_iterable(combinations(names, size) for size in range(1, len(names) + 1)):
        shown = collected["present"] & np.isin(names, chosen)
        some = shown.any(1)
        label = collected["label"][some]
        if label.min() == label.max():
            continue
        prob = _fused(module, {"tokens": collected["tokens"][some]}, shown[some])
        area = delong(label == 1, prob[:, 1]) if prob.shape[1] == 2 else {"auc": auc_of(label, prob)}
        bounds = {end: area.get(end, area["auc"]) for end in ("auc_low", "auc_high")}
        rows.append({"modalities": chosen, "patients": int(some.sum()), "auc": area["auc"], **bounds})
    return rows


def _fused(module: Any, collected: dict[str, Any], present: np.ndarray) -> np.ndarray:
    """Probabilities (N, K) when the network is shown what is present."""
    with torch.no_grad():
        tokens = torch.from_numpy(collected["tokens"]).to(module.device)
        shown = torch.from_numpy(present).to(module.device)
        output = module.net.fuse(tokens, module.net.evidence(tokens), shown).output
    return output[:, :-1].float().softmax(1).cpu().numpy()


def _logit(prob: np.ndarray) -> np.ndarray:
    return logit(prob[:, -1].astype(float).clip(1e-6, 1 - 1e-6))


def _weights(collected: dict[str, Any], modalities: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each patient: id, and the weight of each modality, empty where it is absent."""
    rows = []
    for name, weights, present in zip(collected["id"], collected["weights"], collected["present"], strict=True):
        shown = [f"{weight:.6f}" if there else "" for weight, there in zip(weights, present, strict=True)]
        rows.append({"id": name, **dict(zip(modalities, shown, strict=True))})
    return rows
