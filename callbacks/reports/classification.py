"""The test of a classifier: a table of classes, and figures of its ranking, calibration and mistakes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import lightning as L
import numpy as np

from medzoo.callbacks.collect import Batch, Predictions, gather
from medzoo.callbacks.output import Report
from medzoo.callbacks.reports.base import TestReport
from medzoo.evaluation.figures import calibration_figure, class_roc_figure, confusion_figure, mistakes_figure
from medzoo.evaluation.scores.classification import class_table

__all__ = ["ClassificationFigures", "Classified", "Mistake"]


class Data(Protocol):
    """Members of the datamodule that are used."""

    class_names: Sequence[str]


@dataclass(frozen=True)
class Mistake:
    """A misclassified image (C, *spatial), with its true class and the predicted probabilities (K,)."""

    image: np.ndarray
    label: int
    prob: np.ndarray

    @property
    def of_truth(self) -> float:
        """The probability of the true class: the lower, the worse the mistake."""
        return float(self.prob[self.label])


@dataclass(frozen=True)
class Classified:
    """Predictions with `prob` (N, K) and `label`, (N,) or (N, K) for several labels, and the worst mistakes."""

    predictions: Predictions
    mistakes: Sequence[Mistake] = ()


class ClassificationFigures(TestReport[L.LightningModule, Data, Classified]):
    """Draws the confusion matrix, ROC, calibration and worst mistakes; writes `test_classes.csv`.

    Logs the bounds of the bootstrap 95% interval of the AUC as `test/auc_low` and `test/auc_high`.

    Args:
        mistakes: How many of the worst mistakes are shown.
        resamples: Bootstrap draws behind each interval.
    """

    def __init__(self, mistakes: int = 12, resamples: int = 1000) -> None:
        super().__init__()
        self.mistakes, self.resamples = mistakes, resamples

    def reset(self) -> None:
        """Forget earlier batches."""
        super().reset()
        self._mistakes: list[Mistake] = []

    def keep(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Keep the predictions of a batch, and of its images only those that may be among the worst mistakes."""
        super().keep(outputs, batch, data)
        label, prob = self._outputs[-1]["label"], self._outputs[-1]["prob"]
        if label.ndim > 1 or "image" not in batch:
            return
        for index in np.flatnonzero(prob.argmax(1) != label):
            image = batch["image"][index].float().cpu().numpy()
            self._mistakes.append(Mistake(image, label[index], prob[index]))
        self._mistakes = self._worst(self._mistakes)

    def collected(self, module: L.LightningModule, data: Data) -> Classified:
        """Predictions and the worst mistakes of all ranks."""
        return Classified(self.predictions(), self._worst(gather(self._mistakes)))

    def report(self, collected: Classified, data: Data) -> Report:
        """The table of classes, the interval of the AUC, and the figures."""
        names, labels, prob = data.class_names, collected.predictions["label"], collected.predictions["prob"]
        table = class_table(labels, prob, names, resamples=self.resamples)
        of_auc = table[1] if labels.ndim == 1 and len(names) == 2 else table[-1]
        figures = {
            "roc": class_roc_figure(labels, prob, names, resamples=self.resamples),
            "calibration": calibration_figure(labels, prob, names),
        }
        if labels.ndim == 1:
            figures["confusion"] = confusion_figure(labels, prob, names)
        if labels.ndim == 1 and collected.mistakes:
            wrong = int((prob.argmax(1) != labels).sum())
            shown = [(each.image, each.label, each.prob) for each in collected.mistakes]
            images, true, predicted = (np.stack(column) for column in zip(*shown, strict=True))
            figures["mistakes"] = mistakes_figure(images, true, predicted, names, wrong=wrong, total=len(labels))
        return Report(
            metrics={"test/auc_low": of_auc["auc_low"], "test/auc_high": of_auc["auc_high"]},
            tables={"test_classes.csv": table},
            figures=figures,
        )

    def _worst(self, mistakes: list[Mistake]) -> list[Mistake]:
        return sorted(mistakes, key=lambda mistake: mistake.of_truth)[: self.mistakes]
