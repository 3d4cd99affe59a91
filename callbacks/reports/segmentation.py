"""The test of a segmentation: scores of every case, and the worst, the middle and the best in pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import lightning as L
import numpy as np
from matplotlib.figure import Figure

from medzoo.callbacks.collect import Batch, gather
from medzoo.callbacks.output import Report, Row
from medzoo.callbacks.reports.base import TestReport
from medzoo.evaluation.figures import segmentation_figure
from medzoo.evaluation.measures.segmentation import case_scores, grouped_dice, known_mean, summary

__all__ = ["Cases", "Drawing", "SegmentationReport"]


class Data(Protocol):
    """Members of the datamodule that are used; `unit` (`mm` or `px`) and `patients` (by case) only of pictures."""

    class_names: Sequence[str]
    regions: Sequence[Sequence[int]] | None
    ignore: int | None
    spatial_dims: int
    unit: str
    patients: Mapping[str, str]

    def raw(self, name: str) -> np.ndarray:
        """The first channel of a case, as it is in its file."""


@dataclass(frozen=True)
class Drawing:
    """A case to be drawn: predicted and reference label maps, mm of a voxel, and the image, read at the end."""

    overlap: float
    name: str
    prediction: np.ndarray
    reference: np.ndarray
    spacing: Sequence[float]
    image: np.ndarray | None = None


@dataclass(frozen=True)
class Cases:
    """Scores of all cases in order of their id, and drawings of some."""

    rows: Sequence[dict[str, Any]]
    drawings: Sequence[Drawing]


class SegmentationReport(TestReport[L.LightningModule, Data, Cases]):
    """Logs `test/dice`, `test/nsd`, `test/hd95_mm` and more (`measures.segmentation.summary`), a row for each case.

    Pictures have no volumes, and most no millimetres: `test/hd95_px`; `test/patient_dice` is over all pixels of a
    patient.
    `predictions/test.csv` has the scores of every case, `figures/cases.png` shows the worst, the middle and the best.

    Args:
        cases: How many cases are drawn.
        window: Intensities shown as black and white, such as 0 and 80 HU for the brain; by default each image's range.
        tolerance_mm: Distance of surfaces that counts as agreement in the normalised surface Dice, `test/nsd`; in
            pixels where the unit of lengths is a pixel.
    """

    def __init__(self, cases: int = 5, window: tuple[float, float] | None = None, tolerance_mm: float = 2.0) -> None:
        super().__init__()
        if tolerance_mm < 0:
            raise ValueError(f"tolerance_mm={tolerance_mm:g} must not be negative")
        self.cases, self.window, self.tolerance_mm = cases, window, tolerance_mm

    def reset(self) -> None:
        """Forget earlier batches."""
        self._rows: list[dict[str, Any]] = []
        self._drawings: list[Drawing] = []

    def keep(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Score one case."""
        prediction, reference = outputs["mask"][0].cpu().numpy(), batch["mask"][0].cpu().numpy()
        name, spacing, classes = batch["id"][0], batch["spacing"].double().tolist(), data.class_names
        scores = case_scores(
            prediction,
            reference,
            spacing,
            classes,
            regions=data.regions,
            ignore=data.ignore,
            tolerance_mm=self.tolerance_mm,
        )
        self._rows.append({"id": name, **scores})
        overlap = known_mean([scores[f"dice_{each}"] for each in classes[1:]])
        known = reference if data.ignore is None else np.where(reference == data.ignore, 0, reference)
        self._drawings.append(Drawing(overlap, name, prediction, known, spacing))
        self._drawings = _spread(self._drawings, 4 * self.cases)  # all of them may not fit into memory

    def collected(self, module: L.LightningModule, data: Data) -> Cases:
        """Scores of all ranks, and the cases to draw with their images."""
        rows = sorted(gather(self._rows), key=lambda row: row["id"])
        drawings = _spread(gather(self._drawings), self.cases)
        return Cases(rows, [replace(each, image=data.raw(each.name)) for each in drawings])

    def report(self, collected: Cases, data: Data) -> Report:
        """Means over cases, the table of cases, and the pictures."""
        rows, classes = collected.rows, data.class_names
        metrics = summary(rows, classes)
        if data.spatial_dims == 2:
            metrics = _of_pictures(metrics, data.unit)
            metrics["patient_dice"] = grouped_dice(rows, [data.patients[row["id"]] for row in rows], classes)
        return Report(
            metrics={f"test/{name}": value for name, value in metrics.items()},
            tables={"predictions/test.csv": [_written(row) for row in rows]},
            figures={"cases": _figure(collected.drawings, self.window)},
        )


def _figure(drawings: Sequence[Drawing], window: tuple[float, float] | None) -> Figure:
    """The cases, without their names: figures may leave the machine."""
    return segmentation_figure(
        ["no class" if np.isnan(each.overlap) else f"Dice {each.overlap:.2f}" for each in drawings],
        [each.image for each in drawings if each.image is not None],
        [each.prediction for each in drawings],
        [each.reference for each in drawings],
        [each.spacing for each in drawings],
        window,
    )


def _spread(drawings: list[Drawing], count: int) -> list[Drawing]:
    """The worst, the best, and some in between, by Dice; cases without one come last."""
    ordered = sorted(drawings, key=lambda each: (np.isnan(each.overlap), each.overlap, each.name))
    if len(ordered) <= count:
        return ordered
    return [ordered[round(place)] for place in np.linspace(0, len(ordered) - 1, count)]


def _of_pictures(scores: Mapping[str, float], unit: str) -> dict[str, float]:
    """Without volumes, and distances in pixels where that is the unit."""
    return {k.replace("_mm", f"_{unit}"): value for k, value in scores.items() if not k.startswith("volume")}


def _written(row: Row) -> Row:
    return {key: value if key == "id" else f"{value:.4g}" for key, value in row.items()}
