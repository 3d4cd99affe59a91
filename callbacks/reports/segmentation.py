"""Scores and pictures of a segmentation's test."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from medzoo.callbacks.collect import data_of, gather
from medzoo.callbacks.output import save_figures, write_csv
from medzoo.evaluation.figures import segmentation_figure
from medzoo.evaluation.measures.segmentation import case_scores, grouped_dice, known_mean, summary

__all__ = ["SegmentationReport"]


class SegmentationReport(L.Callback):
    """Logs `test/dice`, `test/hd95_mm` and more (`measures.segmentation.summary`); writes a row for each case.

    Pictures have no volumes, and most no millimetres: `test/hd95_px`; `test/patient_dice` is over all pixels of a
    patient.
    `predictions/test.csv` has the scores of every case, `figures/cases.png` shows the worst, the middle and the best.

    Args:
        cases: How many cases are drawn.
        window: Intensities shown as black and white, such as 0 and 80 HU for the brain; by default each image's range.
    """

    def __init__(self, cases: int = 5, window: tuple[float, float] | None = None) -> None:
        self.cases, self.window = cases, window
        self._rows: list[dict[str, Any]] = []
        self._drawn: list[tuple[Any, ...]] = []

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start anew."""
        self._rows, self._drawn = [], []

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: int
    ) -> None:
        """Score one case."""
        said, true = outputs["mask"][0].cpu().numpy(), batch["mask"][0].cpu().numpy()
        spacing = batch["spacing"].double().tolist()
        data = data_of(trainer)
        classes = data.class_names
        scores = case_scores(said, true, spacing, classes, regions=data.regions, ignore=data.ignore)
        self._rows.append({"id": batch["id"][0], **scores})
        overlap = known_mean([scores[f"dice_{name}"] for name in classes[1:]])
        shown = true if data.ignore is None else np.where(true == data.ignore, 0, true)
        self._drawn.append((overlap, batch["id"][0], said, shown, spacing))
        self._drawn = _spread(self._drawn, 4 * self.cases)  # all of them may not fit into memory

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log, write and draw."""
        rows = sorted(gather(self._rows), key=lambda row: row["id"])
        drawn = _spread(gather(self._drawn), self.cases)
        classes = data_of(trainer).class_names
        said_of = summary(rows, classes)
        if data_of(trainer).spatial_dims == 2:
            said_of = _of_pictures(said_of, data_of(trainer).unit)
            patients = [data_of(trainer).patients[row["id"]] for row in rows]
            said_of["patient_dice"] = grouped_dice(rows, patients, classes)
        numbers = {f"test/{k}": torch.tensor(float(v)) for k, v in said_of.items()}
        pl_module.log_dict(numbers)
        if not trainer.is_global_zero:
            return
        run = Path(trainer.default_root_dir)
        write_csv(run / "predictions" / "test.csv", [_written(row) for row in rows])
        # No names: figures may leave the machine.
        titles = ["no class" if np.isnan(overlap) else f"Dice {overlap:.2f}" for overlap, *_ in drawn]
        images = [data_of(trainer).raw(name) for _, name, *_ in drawn]
        _, _, said, true, spacings = zip(*drawn, strict=True)
        figures = {"cases": segmentation_figure(titles, images, said, true, spacings, self.window)}
        save_figures(trainer, figures)


def _spread(drawn: list[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    """The worst, the best, and some in between, by Dice; cases without one come last."""
    ordered = sorted(drawn, key=lambda each: (np.isnan(each[0]), *each[:2]))
    if len(ordered) <= count:
        return ordered
    return [ordered[round(place)] for place in np.linspace(0, len(ordered) - 1, count)]


def _of_pictures(scores: dict[str, float], unit: str) -> dict[str, float]:
    """Without volumes, and distances in pixels where that is the unit."""
    return {k.replace("_mm", f"_{unit}"): value for k, value in scores.items() if not k.startswith("volume")}


def _written(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value if key == "id" else f"{value:.4g}" for key, value in row.items()}
