"""Writes a forecast: follow-ups as NIfTI on the input's grid, probability maps, volumes and figures."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from medzoo.callbacks.collect import Batch
from medzoo.callbacks.output import Row, write_csv
from medzoo.callbacks.reports.followup.sampled import draw_patient, sampled_followups
from medzoo.callbacks.writers.cases import CaseWriter, PredictData
from medzoo.evaluation.figures import counterfactual_figure
from medzoo.evaluation.scores.followup import IPH, IVH, SampledFollowups

__all__ = ["FollowupWriter"]

MAPS = {"final": None, "if_expansion": 1, "if_stable": 0}


class Grid(Protocol):
    """The grid of a file: its affine (4, 4)."""

    file_affine: np.ndarray


class Patient(Protocol):
    """A patient: folder, clinical values and the grid of the baseline."""

    folder: Path
    clinical: np.ndarray
    grid: Grid


class Data(PredictData, Protocol):
    """Members of the datamodule that are used."""

    predict_patients: Mapping[str, Patient]

    def baseline_hu(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Baseline CT in HU: whole (Z, Y, X), and (Z, H, W) as the network sees it."""

    def write_on_baseline(self, array: np.ndarray, name: str, file: Path, background: np.ndarray | None = None) -> None:
        """Write an array (Z, H, W) on the grid of the baseline, with the background around it."""


class FollowupWriter(CaseWriter[Data, Patient]):
    """Writes a folder for each patient, all or nothing; patients whose folder is there already are left out.

    `<output>/<patient>/`: `sample_NN_ct.nii.gz` (HU, as the baseline outside of the forecast slices),
    `sample_NN_segmentation.nii.gz` (1 IPH, 2 IVH), `probability_{iph,ivh}_{final,if_expansion,if_stable}.nii.gz`,
    `volumes.csv`, `forecast.png`, and for each perturbed variable `counterfactual_<name>.png` and `.csv`. All images
    have the affine and the grid of the baseline's CT.
    """

    def cases(self, data: Data) -> Mapping[str, Patient]:
        """By name, the patients to predict."""
        return data.predict_patients

    def place(self, name: str) -> Path:
        """A folder for each patient."""
        return self.output / name

    def there(self) -> list[Path]:
        """All folders of forecasts."""
        return sorted(file.parent for file in self.output.glob("[!.]*/volumes.csv"))

    def made_of(self, case: Patient) -> tuple[list[Path], str]:
        """Scans and masks of any format; the clinical values, and the affine of the baseline."""
        found = [file for time in ("baseline", "followup") for file in sorted((case.folder / time).rglob("*"))]
        files = [file for file in found if file.is_file()]
        return files, json.dumps([case.clinical.tolist(), case.grid.file_affine.tolist()])

    def write(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Write one patient."""
        name = batch["id"][0]
        folder, partial = self.place(name), self.output / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        sampled = sampled_followups(batch, outputs)
        _write_images(partial, sampled, name, data)
        write_csv(partial / "volumes.csv", _volume_rows(sampled))
        followup = batch["followup"].cpu().numpy() if "followup" in batch else None
        draw_patient(sampled, followup).savefig(partial / "forecast.png")
        for name, worlds in outputs["counterfactuals"].items():
            _write_counterfactuals(partial, name, worlds, batch)
        partial.rename(folder)


def _write_images(folder: Path, sampled: SampledFollowups, patient: str, data: Data) -> None:
    """Every sample and every map, on the grid of the baseline's file."""
    whole, plain = data.baseline_hu(patient)
    window, around = np.clip(plain, 0, 100), whole.round().astype(np.int16)
    for index in range(len(sampled.ct)):
        # Adds what the window cut off at either end (calcification, fat), where the forecast stays at that end.
        hu = sampled.ct_hu(index) + (plain - window)
        ct = hu.round().astype(np.int16)
        data.write_on_baseline(ct, patient, folder / f"sample_{index:02d}_ct.nii.gz", around)
        file = folder / f"sample_{index:02d}_segmentation.nii.gz"
        data.write_on_baseline(sampled.segmentation(index), patient, file)
    for kind, channel in (("iph", IPH), ("ivh", IVH)):
        for name, flag in MAPS.items():
            probability = sampled.probability(channel, flag).astype(np.float32)
            data.write_on_baseline(probability, patient, folder / f"probability_{kind}_{name}.nii.gz")


def _volume_rows(sampled: SampledFollowups) -> Sequence[Row]:
    iph, ivh, shift = sampled.volumes_ml(IPH), sampled.volumes_ml(IVH), sampled.midline_shifts_mm()
    return [
        {
            "sample": index,
            "flag": int(sampled.flags[index]),
            "weight": f"{sampled.weights[index]:.5f}",
            "iph_ml": f"{iph[index]:.2f}",
            "ivh_ml": f"{ivh[index]:.2f}",
            "total_ml": f"{iph[index] + ivh[index]:.2f}",
            "midline_shift_mm": f"{shift[index]:.1f}",
        }
        for index in range(len(iph))
    ]


def _write_counterfactuals(folder: Path, name: str, worlds: Sequence[Batch], batch: Batch) -> None:
    """The panel and the table of one variable: the same noise under each value."""
    sampled = [sampled_followups(batch, world) for world in worlds]
    values = [world["value"] for world in worlds]
    figure = counterfactual_figure(
        name,
        values,
        100 * sampled[0].baseline[:, 0],
        sampled[0].baseline[:, IPH] > 0.5,
        np.stack([each.probability(IPH) for each in sampled]),
        np.stack([each.volumes_ml(IPH) for each in sampled]),
        sampled[0].baseline_ml(),
        sampled[0].spacing[::-1],
        weights=np.stack([each.weights for each in sampled]),
    )
    figure.savefig(folder / f"counterfactual_{name}.png")
    rows = [
        {name: world["value"], "probability": f"{world['probability']:.4f}", **row}
        for world, each in zip(worlds, sampled, strict=True)
        for row in _volume_rows(each)
    ]
    write_csv(folder / f"counterfactual_{name}.csv", rows)
