"""How well either part of a code predicts the label, and how much both parts share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from medzoo.callbacks.collect import Predictions
from medzoo.callbacks.output import Report, Row
from medzoo.callbacks.reports.base import TestReport
from medzoo.evaluation.figures import areas_figure, correlation_figure, projection_figure
from medzoo.evaluation.measures.redundancy import redundancy
from medzoo.evaluation.scores.representations import compare_representations

__all__ = ["RepresentationReport", "TwoParts"]


class Module(Protocol):
    """Members of the module that are used; `set_names` names the first part, the second part, both, and controls."""

    set_names: tuple[str, ...]


class Data(Protocol):
    """Members of the datamodule that are used."""

    class_names: Sequence[str]
    hcr_names: Sequence[str]


@dataclass(frozen=True)
class TwoParts:
    """Names of the S sets, and predictions with `label`, `first`, `second` and `probs` (N, S, K) by set."""

    names: tuple[str, ...]
    predictions: Predictions


class RepresentationReport(TestReport[Module, Data, TwoParts]):
    """Compares the regressions on either part of a code, on both, and on pixels, as `TwoPartVAEModule` gives them.

    Logs `test/auc`, `test/acc` of both parts, `test/auc_<part>`, `test/acc_<part>`, and the same of `pixels`, `pca` and
    `<part>_pca`, which need no learnt code; the redundancy of the
    parts (`evaluation/measures/redundancy.py`): `test/cka`, `hsic`, `correlation`, `information`, `active`. Writes
    `test_representations.csv` with paired tests against the first part, and the probabilities of every set in
    `predictions/representations.csv`. Draws areas, projections and correlations.

    Args:
        resamples: Bootstrap draws, with more than two classes.
    """

    def __init__(self, resamples: int = 1000) -> None:
        super().__init__()
        self.resamples = resamples

    def collected(self, module: Module, data: Data) -> TwoParts:
        """Predictions of all ranks."""
        return TwoParts(module.set_names, self.predictions())

    def report(self, collected: TwoParts, data: Data) -> Report:
        """Areas, accuracies and redundancy, with tables and figures of them."""
        names, found = collected.names, collected.predictions
        label, first, second = found["label"], found["first"], found["second"]
        probs = {name: found["probs"][:, index] for index, name in enumerate(names)}
        rows = compare_representations(label, probs, names[0], resamples=self.resamples)
        metrics = {f"test/{measure}": value for measure, value in redundancy(first, second).items()}
        first_name, second_name = (name.lower() for name in names[:2])
        suffixes = (f"_{first_name}", f"_{second_name}", "", "_pixels", "_pca", f"_{first_name}_pca")
        for row, suffix in zip(rows, suffixes, strict=False):
            metrics |= {f"test/{measure}{suffix}": row[measure] for measure in ("auc", "acc")}
        features = data.hcr_names or [str(index) for index in range(first.shape[1])]
        sets = {names[0]: first, names[1]: second, names[2]: np.concatenate([first, second], 1)}
        return Report(
            metrics=metrics,
            tables={
                "test_representations.csv": rows,
                "predictions/representations.csv": _table(found["id"], label, probs),
            },
            figures={
                "areas": areas_figure(rows),
                "correlation": correlation_figure(first, second, features, (names[0], names[1])),
                "projections": projection_figure(sets, label, data.class_names),
            },
        )


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
