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
from medzoo.callbacks.reports.fusion.collected import MEAN, SUM, Data, Fused, Module, curves, fused, predicted
from medzoo.callbacks.reports.fusion.survival import survival_report
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


class FusionReport(TestReport[Module, Data, Fused]):
    """Compares the fusion with each modality alone, and with itself when modalities are withheld.

    Two rules without any training are compared too: the sum of the evidence of the modalities' own heads, which is the
    best there is if they are independent given the class, and its mean. Alone, a modality predicts for patients who
    lack it how common each class is among the training patients. Writes `test_fusion.csv` (areas, with DeLong's paired
    tests against the fusion), `test_modalities.csv` (importance), `test_subsets.csv` (areas when the network is shown
    some modalities only) and `predictions/weights.csv`; draws figures of them. Logs `test/best_unimodal_auc`,
    `test/auc_<modality>`, `test/sum_auc`, `test/mean_auc`, and of phantoms `test/bayes_auc`, that of the best score of
    what the network was shown, and `test/bayes_sum_auc`, that of the sum of each modality's true evidence. With two
    classes, gradient boosting of the training patients' clinical variables is compared as well.

    With a survival loss, logs `test/c_index_low`, `test/c_index_high` (bootstrap), `test/c_index_uno`,
    `test/sum_c_index` (the summed log hazards of the heads), `test/survival_auc`, `test/integrated_brier` and that of
    the training patients' Kaplan-Meier curve, `test/integrated_brier_common`. Writes `predictions/survival.csv`, and
    `test_survival.csv` with both measures at the deciles of the training patients' events. Without classes, survival is
    all there is.

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
            curves(module, found),
            bool(module.classification_weight),
        )

    def report(self, collected: Fused, data: Data) -> Report:
        """Areas, weights, importance and subsets of the classes; survival."""
        found, names = collected.predictions, collected.modalities
        metrics: dict[str, float] = {}
        tables: dict[str, Sequence[Row]] = {"predictions/weights.csv": _weights(found, names)}
        figures = {"fusion_weights": weights_figure(found["weights"], found["present"], found["prob"][:, -1], names)}
        if collected.classes:
            self._compare(collected, data, metrics, tables, figures)
        if collected.survival:
            more_metrics, more_tables = survival_report(found, collected.curves, self.resamples)
            metrics |= more_metrics
            tables |= more_tables
        return Report(metrics, tables, figures)

    def _compare(
        self,
        collected: Fused,
        data: Data,
        metrics: dict[str, float],
        tables: dict[str, Sequence[Row]],
        figures: dict[str, Figure],
    ) -> None:
        """Add what is said of the classes."""
        found, names = collected.predictions, collected.modalities
        rows = compare_representations(found["label"], collected.probs, "fusion", resamples=self.resamples)
        metrics |= {f"test/auc_{row['name']}": row["auc"] for row in rows if row["name"] in names}
        metrics["test/best_unimodal_auc"] = max(metrics.values())
        rules = {SUM: "test/sum_auc", MEAN: "test/mean_auc"}
        metrics |= {rules[row["name"]]: row["auc"] for row in rows if row["name"] in rules}
        if data.phantom:
            metrics |= _ceilings(found, data)
        tables["test_fusion.csv"] = rows
        figures["fusion_areas"] = areas_figure(rows)
        if len(names) > 1:
            _withheld(collected, data, rows[0]["auc"], tables, figures)


def _ceilings(found: Predictions, data: Data) -> dict[str, float]:
    """Areas of the best score of what the network was shown, and of the sum of the true evidence of each modality."""
    present = found["present"]
    best = data.true_log_odds(found["id"], present)
    alone = [present & (np.arange(present.shape[1]) == index) for index in range(present.shape[1])]
    summed = np.sum([data.true_log_odds(found["id"], shown) for shown in alone], axis=0)
    areas = {"test/bayes_auc": best, "test/bayes_sum_auc": summed}
    return {name: float(auc(found["label"] == 1, score)[0]) for name, score in areas.items()}


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


def _logit(prob: np.ndarray) -> np.ndarray:
    return logit(prob[:, -1].astype(float).clip(1e-6, 1 - 1e-6))


def _weights(found: Predictions, modalities: Sequence[str]) -> Sequence[Row]:
    """A row for each patient: id, and the weight of each modality, empty where it is absent."""
    rows = []
    for name, weights, present in zip(found["id"], found["weights"], found["present"], strict=True):
        shown = [f"{weight:.6f}" if there else "" for weight, there in zip(weights, present, strict=True)]
        rows.append({"id": name, **dict(zip(modalities, shown, strict=True))})
    return rows
