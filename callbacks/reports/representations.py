"""How well either part of a code predicts the label, and how much both parts share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from medzoo.callbacks.collect import Predictions
from medzoo.callbacks.output import Report, Row
from medzoo.callbacks.reports.base import TestReport
from medzoo.evaluation.figures import areas_figure, correlation_figure, projection_figure
from medzoo.evaluation.measures.redundancy import redundancy
from medzoo.evaluation.scores.representations import compare_representations

__all__ = ["RepresentationReport", "TwoParts"]


class Areas(Protocol):
    """AUCs (S,) on the validation images; empty in older checkpoints."""

    auc: Tensor


class Module(Protocol):
    """Members of the module that are used; `set_names` names the first part, the second part, both, and the others."""

    set_names: tuple[str, ...]
    areas: Areas


class Data(Protocol):
    """Members of the datamodule that are used."""

    class_names: Sequence[str]
    hcr_names: Sequence[str]
    mask_choice: Sequence[Row]
    """Masks of the radiomics that were compared; empty if the mask was given."""


@dataclass(frozen=True)
class TwoParts:
    """Names of the S sets, and predictions with `label`, `first`, `second` and `probs` (N, S, K) by set."""

    names: tuple[str, ...]
    predictions: Predictions
    chosen_by: Sequence[float] = ()
    """AUC of each set on the validation images, the only one that a choice may look at; empty if not known."""


class RepresentationReport(TestReport[Module, Data, TwoParts]):
    """Compares what is fitted to either part of a code, to both, and to pixels, as `ProbedParts` gives them.

    Logs `test/auc`, `test/acc` of both parts, `test/auc_<part>`, `test/acc_<part>`, and the same of `pixels`, `pca` and
    `<part>_pca`, which need no learnt code, and of `<part>_forest`, `forest`, `<part>_svm`, `svm`;
    `test/validation_auc...`, on the validation images; the redundancy of the parts
    (`evaluation/measures/redundancy.py`): `test/cka`, `hsic`, `correlation`, `information`, `active`. Writes
    `test_representations.csv` with paired tests against the first part, the probabilities of every set in
    `predictions/representations.csv`, and `test_masks.csv` if the mask of the radiomics was chosen. Draws areas,
    projections and correlations.

    Args:
        resamples: Bootstrap draws, with more than two classes.
    """

    def __init__(self, resamples: int = 1000) -> None:
        super().__init__()
        self.resamples = resamples

    def collected(self, module: Module, data: Data) -> TwoParts:
        """Predictions of all ranks."""
        return TwoParts(module.set_names, self.predictions(), module.areas.auc.tolist())

    def report(self, collected: TwoParts, data: Data) -> Report:
        """Areas, accuracies and redundancy, with tables and figures of them."""
        names, found = collected.names, collected.predictions
        label, first, second = found["label"], found["first"], found["second"]
        probs = {name: found["probs"][:, index] for index, name in enumerate(names)}
        rows = compare_representations(label, probs, names[0], resamples=self.resamples)
        metrics = {f"test/{measure}": value for measure, value in redundancy(first, second).items()}
        suffixes = [_suffix(name, names) for name in names]
        for row, suffix in zip(rows, suffixes, strict=True):
            metrics |= {f"test/{measure}{suffix}": row[measure] for measure in ("auc", "acc")}
        for row, suffix, area in zip(rows, suffixes, collected.chosen_by, strict=False):
            metrics[f"test/validation_auc{suffix}"] = row["validation_auc"] = area
        features = data.hcr_names or [str(index) for index in range(first.shape[1])]
        sets = {names[0]: first, names[1]: second, names[2]: np.concatenate([first, second], 1)}
        return Report(
            metrics=metrics,
            tables={
                "test_representations.csv": rows,
                "predictions/representations.csv": _table(found["id"], label, probs),
                **({"test_masks.csv": data.mask_choice} if data.mask_choice else {}),
            },
            figures={
                "areas": areas_figure(rows),
                "correlation": correlation_figure(first, second, features, (names[0], names[1])),
                "projections": projection_figure(sets, label, data.class_names),
            },
        )


def _suffix(name: str, names: Sequence[str]) -> str:
    """What a metric of a set is called: `_hcr`, `_hcr_pca`, `_svm`; nothing of the regression on both parts."""
    features, _, learner = name.partition(", ")
    words = [] if features == names[2] else re.sub(r"pca \d+", "pca", features.lower()).split(" + ")
    return "".join(f"_{word}" for word in [*words, *([learner.lower()] if learner else [])])


def _table(ids: Sequence[str], label: np.ndarray, probs: Mapping[str, np.ndarray]) -> list[Row]:
    """A row for each image: id, label, and each set's probability of each class as `<set>/<class index>`."""
    return [
        {
            "id": name,
            "label": int(label[index]),
            **{f"{title}/{k}": f"{value:.7g}" for title, prob in probs.items() for k, value in enumerate(prob[index])},
        }
        for index, name in enumerate(ids)
    ]
