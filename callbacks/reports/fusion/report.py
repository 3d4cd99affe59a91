"""The test of a fusion: its areas beside those of single modalities, and its predictions without some of them."""

from collections.abc import Sequence
from functools import partial
from itertools import chain, combinations
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.special import logit

from medzoo.callbacks.collect import Predictions
from medzoo.callbacks.output import Report, Row
from medzoo.callbacks.reports.base import TestReport
from medzoo.callbacks.reports.fusion.collected import MEAN, SUM, Data, Fused, Module, fused, predicted
from medzoo.evaluation.figures import areas_figure, importance_figure, subsets_figure, weights_figure
from medzoo.evaluation.measures.survival import concordance_interval, concordance_uno
from medzoo.evaluation.scores.classification import auc
from medzoo.evaluation.scores.diagnostic import delong
from medzoo.evaluation.scores.representations import auc_of, compare_representations

__all__ = ["FusionReport"]

OF_SURVIVAL = ("time", "event", "risk")

_MEASURES = {
    "AUC lost without it": "auc_lost",
    "|change of the logit| without it": "logit_change",
    "the generating model's |change|": "true_change",
    "mean weight where present": "weight",
}


class FusionReport(TestReport[Module, Data, Fused]):
    """Compares the fusion with each modality alone, and with itself when modalities are withheld.

    Two rules without any training are compared too: the sum of the evidence of the modalities' own heads, which is the
    best there is if they are independent given the class, and its mean. Alone, a modality predicts for patients who
    lack it how common each class is among the training patients. Writes `test_fusion.csv` (areas, with DeLong's paired
    tests against the fusion), `test_modalities.csv` (importance), `test_subsets.csv` (areas when the network is shown
    some modalities only) and `predictions/weights.csv`; draws figures of them. Logs `test/best_unimodal_auc`,
    `test/auc_<modality>`, `test/sum_auc`, `test/mean_auc`, and of phantoms `test/bayes_auc`, that of the best possible
    score of what the network was shown.

    With a survival loss, logs `test/c_index_low`, `test/c_index_high` (bootstrap) and `test/c_index_uno`, and writes
    `predictions/survival.csv`. With two classes, gradient boosting of the training patients' clinical variables is
    compared as well.

    Args:
        resamples: Bootstrap draws, with more than two classes.
    """

    def __init__(self, resamples: int = 1000) -> None:
        super().__init__()
        self.resamples = resamples

    def collected(self, module: Module, data: Data) -> Fused:
        """Predictions of all ranks, and of the baselines."""
        found = self.predictions()
        return Fused(
            module.modalities,
            found,
            predicted(module, data, found),
            partial(fused, module),
            bool(module.survival_weight),
        )

    def report(self, collected: Fused, data: Data) -> Report:
        """Areas, weights, importance and subsets."""
        found, names = collected.predictions, collected.modalities
        rows = compare_representations(found["label"], collected.probs, "fusion", resamples=self.resamples)
        metrics = {f"test/auc_{row['name']}": row["auc"] for row in rows if row["name"] in names}
        metrics["test/best_unimodal_auc"] = max(metrics.values())
        rules = {SUM: "test/sum_auc", MEAN: "test/mean_auc"}
        metrics |= {rules[row["name"]]: row["auc"] for row in rows if row["name"] in rules}
        if data.phantom:
            best = data.true_log_odds(found["id"], found["present"])
            metrics["test/bayes_auc"] = float(auc(found["label"] == 1, best)[0])
        tables: dict[str, Sequence[Row]] = {
            "test_fusion.csv": rows,
            "predictions/weights.csv": _weights(found, names),
        }
        if collected.survival:
            low, high = concordance_interval(*(found[name] for name in OF_SURVIVAL), resamples=self.resamples)
            metrics |= {"test/c_index_low": low, "test/c_index_high": high}
            metrics["test/c_index_uno"] = concordance_uno(*(found[name] for name in OF_SURVIVAL))
            tables["predictions/survival.csv"] = _survival(found)
        figures = {
            "fusion_areas": areas_figure(rows),
            "fusion_weights": weights_figure(found["weights"], found["present"], found["prob"][:, -1], names),
        }
        if len(names) > 1:
            _withheld(collected, data, rows[0]["auc"], tables, figures)
        return Report(metrics, tables, figures)


def _withheld(
    collected: Fused, data: Data, whole: float, tables: dict[str, Sequence[Row]], figures: dict[str, Figure]
) -> None:
    """Add what the fusion predicts of some modalities only; `whole` is its area with all."""
    modalities, subsets = _importance(collected, data), _subsets(collected)
    tables["test_modalities.csv"] = modalities
    tables["test_subsets.csv"] = [{**row, "modalities": " ".join(row["modalities"])} for row in subsets]
    figures["fusion_importance"] = importance_figure(modalities, _MEASURES)
    if subsets:
        figures["fusion_subsets"] = subsets_figure(subsets, collected.modalities, whole)


def _importance(collected: Fused, data: Data) -> Sequence[Row]:
    """A row for each modality: what the network loses without it, among patients who have it and another."""
    found = collected.predictions
    label, present, tokens = found["label"], found["present"], found["tokens"]
    whole = collected.fuse(tokens, present)
    rows: list[dict[str, Any]] = []
    for index, name in enumerate(collected.modalities):
        without = present.copy()
        without[:, index] = False
        removable = present[:, index] & without.any(1)
        row: dict[str, Any] = {"modality": name, "patients": int(present[:, index].sum())}
        if removable.any():
            less = collected.fuse(tokens, np.where(removable[:, None], without, present))
            row["auc_lost"] = auc_of(label, whole) - auc_of(label, less)
            row["logit_change"] = float(np.abs(_logit(whole) - _logit(less))[removable].mean())
        row["weight"] = float(found["weights"][present[:, index], index].mean())
        if data.phantom and removable.any():
            true = data.true_log_odds(found["id"], present), data.true_log_odds(found["id"], without)
            row["true_change"] = float(np.abs(true[0] - true[1])[removable].mean())
        rows.append(row)
    columns = dict.fromkeys(key for row in rows for key in row)
    return [{key: row.get(key, "") for key in columns} for row in rows]


def _subsets(collected: Fused) -> list[dict[str, Any]]:
    """The area of every choice of modalities, over the patients who have one of them."""
    found, names, rows = collected.predictions, collected.modalities, []
    for chosen in chain.from_iterable(combinations(names, size) for size in range(1, len(names) + 1)):
        shown = found["present"] & np.isin(names, chosen)
        some = shown.any(1)
        label = found["label"][some]
        if label.min() == label.max():
            continue
        prob = collected.fuse(found["tokens"][some], shown[some])
        area = delong(label == 1, prob[:, 1]) if prob.shape[1] == 2 else {"auc": auc_of(label, prob)}
        bounds = {end: area.get(end, area["auc"]) for end in ("auc_low", "auc_high")}
        rows.append({"modalities": chosen, "patients": int(some.sum()), "auc": area["auc"], **bounds})
    return rows


def _survival(found: Predictions) -> list[Row]:
    """A row for each patient: id, logarithm of the hazard up to a constant, time and event."""
    columns = zip(found["id"], found["risk"], found["time"], found["event"], strict=True)
    return [
        {"id": name, "log_hazard": f"{risk:.6g}", "time": f"{time:.6g}", "event": int(event)}
        for name, risk, time, event in columns
    ]


def _logit(prob: np.ndarray) -> np.ndarray:
    return logit(prob[:, -1].astype(float).clip(1e-6, 1 - 1e-6))


def _weights(found: Predictions, modalities: Sequence[str]) -> Sequence[Row]:
    """A row for each patient: id, and the weight of each modality, empty where it is absent."""
    rows = []
    for name, weights, present in zip(found["id"], found["weights"], found["present"], strict=True):
        shown = [f"{weight:.6f}" if there else "" for weight, there in zip(weights, present, strict=True)]
        rows.append({"id": name, **dict(zip(modalities, shown, strict=True))})
    return rows
