"""Figures and the table of classes at the end of a test, into the run folder and onto the dashboard."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np

from medzoo.callbacks.collect import CollectPredictions, data_of, gather
from medzoo.callbacks.output import save_figures, write_csv
from medzoo.evaluation.figures import calibration_figure, confusion_figure, mistakes_figure, roc_figure
from medzoo.evaluation.scores.classification import class_table

__all__ = ["ClassificationFigures"]


class ClassificationFigures(CollectPredictions):
    """Draws the confusion matrix, ROC, calibration and worst mistakes; writes `test_classes.csv`.

    Logs the bounds of the bootstrap 95% interval of the AUC as `test/auc_low` and `test/auc_high`.

    Args:
        mistakes: How many of the worst mistakes are shown.
        resamples: Bootstrap draws behind each interval.
    """

    def __init__(self, mistakes: int = 12, resamples: int = 1000) -> None:
        super().__init__()
        self.mistakes, self.resamples = mistakes, resamples
        self._worst: list[tuple[float, Any]] = []

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start anew."""
        super().on_test_epoch_start(trainer, pl_module)
        self._worst = []

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: int
    ) -> None:
        """Keep the predictions of a batch, and of its images only those that may be among the worst."""
        super().on_test_batch_end(trainer, pl_module, outputs, batch)
        label, prob = self._parts[-1]["label"], self._parts[-1]["prob"]
        if label.ndim > 1 or "image" not in batch:
            return
        for index in np.flatnonzero(prob.argmax(1) != label):
            image = batch["image"][index].float().cpu().numpy()
            self._worst.append((float(prob[index, label[index]]), (image, label[index], prob[index])))
        self._worst = sorted(self._worst, key=lambda entry: entry[0])[: self.mistakes]

    def finish(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str, collected: dict[str, Any]) -> None:
        """Draw, write and log."""
        worst = [entry for _, entry in sorted(gather(self._worst), key=lambda entry: entry[0])[: self.mistakes]]
        if stage != "test":
            return
        names = data_of(trainer).class_names
        labels, prob = collected["label"], collected["prob"]
        table = class_table(labels, prob, names, resamples=self.resamples)
        summary = table[1] if _is_binary(labels, names) else table[-1]
        pl_module.log_dict({"test/auc_low": summary["auc_low"], "test/auc_high": summary["auc_high"]}, sync_dist=False)
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir)
        write_csv(folder / "test_classes.csv", table)
        figures = {
            "roc": roc_figure(labels, prob, names, resamples=self.resamples),
            "calibration": calibration_figure(labels, prob, names),
        }
        if labels.ndim == 1:
            figures["confusion"] = confusion_figure(labels, prob, names)
            wrong = int((prob.argmax(1) != labels).sum())
            if worst:
                images, true, said = (np.stack(column) for column in zip(*worst, strict=True))
                figures["mistakes"] = mistakes_figure(images, true, said, names, wrong=wrong, total=len(labels))
        save_figures(trainer, figures)


def _is_binary(labels: np.ndarray, class_names: list[str]) -> bool:
    return labels.ndim == 1 and len(class_names) == 2
