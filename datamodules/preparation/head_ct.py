"""Convert raw head CT of many patients to the follow-up layout; `docs/how-to/prepare_head_ct.md` shows both layouts.

Order of steps: read (tilt, uneven slices, HU) - RAS - pixel size - register follow-up to baseline - skull strip - crop.
The original (HemExp, arXiv 2606.15304) also registers to a template; here patients stay in scanner coordinates.
"""

import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from rich.progress import track

from medzoo.datamodules.io import find_table, read_json, some, write_table
from medzoo.datamodules.io.dicom.series import holds_dicom
from medzoo.datamodules.preparation.cohort import copied, find_raw_patients, read_rows
from medzoo.datamodules.preparation.registration import RigidRegistration
from medzoo.datamodules.preparation.scan import crop_in_plane, like, onto_baseline, read_ct, read_scan, with_pixel_size
from medzoo.datamodules.preparation.skull_strip import SkullStrip

__all__ = ["HeadCTPreparation"]

log = logging.getLogger(__name__)


class HeadCTPreparation:
    """Prepares one scan, or all patients below a folder.

    Args:
        input: Folder `<hospital>/<patient>/{baseline,followup}/` with `clinical.csv` (or .tsv, .xlsx); or one scan
            without masks: a folder of DICOM files, or a NIfTI file.
        output: Root of the follow-up layout; for one scan, the folder for its `ct.nii.gz`.
        skull_strip: Finds the brain; None leaves the head unchanged, for drawing masks on it.
        registration: Registers the follow-up to the baseline.
        slice_spacing: Distance in mm between slices for DICOM series with uneven spacing; None uses their median.
        series: Number, description or UID of the DICOM series to read, if a folder holds several.
        pixel_size: Pixel size in mm along x and y; None keeps the scanner's.
    """

    def __init__(
        self,
        input: str | Path,
        output: str | Path,
        *,
        skull_strip: SkullStrip | None = None,
        registration: RigidRegistration | None = None,
        slice_spacing: float | None = None,
        series: str | int | None = None,
        pixel_size: float | None = None,
    ) -> None:
        for name, value in (("slice_spacing", slice_spacing), ("pixel_size", pixel_size)):
            if value is not None and value <= 0:
                raise ValueError(f"{name}={value:g} must be positive, in mm")
        self.input, self.output = Path(input), Path(output)
        self.skull_strip, self.registration = skull_strip, registration or RigidRegistration()
        self.slice_spacing, self.series, self.pixel_size = slice_spacing, series, pixel_size
        self._settings = {  # everything that affects the result
            "skull_strip": vars(skull_strip) if skull_strip else None,
            "registration": vars(self.registration),
            "slice_spacing": slice_spacing,
            "series": series,
            "pixel_size": pixel_size,
        }

    def run(self) -> None:
        """Prepare all patients that are not prepared yet.

        Raises:
            FileNotFoundError: If files are missing.
            ValueError: If files are not as expected. A patient whose scans cannot be prepared is logged, and the other
                patients are still prepared; the error is raised at the end.
        """
        if not self.input.exists():
            raise FileNotFoundError(f"no file or folder {self.input}: set preparation.input to the raw scans")
        if self.input.is_file() or holds_dicom(self.input):
            self._prepare_one()
        else:
            self._prepare_all()

    def _prepare_one(self) -> None:
        if self._is_done(self.output, ("ct",)):
            log.info("%s: prepared already, skipped", self.output)
            return
        ct = with_pixel_size(read_ct(self.input, self.slice_spacing, self.series), self.pixel_size)
        ct, brain = self._strip(ct, self.input.name)
        partial = self.output / ".partial"
        self._write({"ct": crop_in_plane(ct, brain)}, {"ct": _measured(ct, brain=brain)}, partial)
        for file in sorted(partial.iterdir()):  # ct.nii.gz before the record that marks it as complete
            file.replace(self.output / file.name)
        partial.rmdir()
        log.info("%s: written", self.output / "ct.nii.gz")

    def _prepare_all(self) -> None:
        patients = find_raw_patients(self.input)
        table = find_table(self.input, "clinical")
        rows = read_rows(table, patients)
        waiting = {one: times for one, times in patients.items() if not self._is_done(self._target(one), times)}
        if len(waiting) < len(patients):
            log.info("%d patients are prepared already, skipped", len(patients) - len(waiting))
        if alone := [folder.name for folder, times in patients.items() if len(times) == 1]:
            log.warning("no follow-up, prepared for prediction only: %s", ", ".join(alone))
        self.output.mkdir(parents=True, exist_ok=True)
        write_table(self.output / "clinical.csv", copied(rows, table), [row.columns for row in rows.values()])
        each = track(waiting.items(), "preparing patients")
        failed = [folder.name for folder, times in each if not self._prepare(folder, times)]
        shutil.rmtree(self.output / ".partial", ignore_errors=True)
        if failed:
            raise ValueError(
                f"{len(failed)} of {len(patients)} patients could not be prepared ({some(failed)}); "
                "the log says why; correct them and run again"
            )

    def _target(self, folder: Path) -> Path:
        return self.output / folder.relative_to(self.input)

    def _prepare(self, folder: Path, times: Sequence[str]) -> bool:
        """Prepare a patient in a temporary folder that is moved into place once complete."""
        partial = self.output / ".partial" / folder.relative_to(self.input)
        shutil.rmtree(partial, ignore_errors=True)
        try:
            images, record = self._process(folder, times)
        except (ValueError, FileNotFoundError) as error:
            log.error("%s", error)
            return False
        self._write(images, record, partial)
        final = self._target(folder)
        if final.exists():  # prepared before the follow-up arrived
            shutil.rmtree(final)
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(final)
        return True

    def _process(self, folder: Path, times: Sequence[str]) -> tuple[dict[str, sitk.Image], dict[str, Any]]:
        """Prepared images of a patient by name, such as `baseline/ct`, and measurements on them."""
        scans = {time: read_scan(folder / time, self.slice_spacing, self.series) for time in times}
        if not sitk.GetArrayViewFromImage(scans["baseline"].iph).any():
            file = folder / "baseline" / "iph.nii.gz"
            raise ValueError(f"{file}: empty; a follow-up is forecast from an intraparenchymal bleed")
        baseline = scans["baseline"].map(lambda image: with_pixel_size(image, self.pixel_size))
        if "followup" in scans:
            transform = self.registration(baseline.ct, scans["followup"].ct, folder.name)
            scans["followup"] = scans["followup"].map(lambda image: onto_baseline(image, baseline.ct, transform))
        scans["baseline"] = baseline
        record: dict[str, Any] = {}
        brains = {}
        for time, scan in scans.items():
            iph, ivh = (sitk.GetArrayViewFromImage(mask) > 0 for mask in (scan.iph, scan.ivh))
            scan.ct, brains[time] = self._strip(scan.ct, f"{folder.name}, {time}", iph | ivh)
            record[time] = _measured(scan.ct, brain=brains[time], iph=iph, ivh=ivh)
        if len(brains) > 1 and self.skull_strip:
            record["brain_dice"] = _overlap(brains["baseline"], brains["followup"], folder.name)
        images = {f"{time}/{kind}": image for time, scan in scans.items() for kind, image in vars(scan).items()}
        return {name: crop_in_plane(image, brains["baseline"]) for name, image in images.items()}, record

    def _strip(self, ct: sitk.Image, name: str, bleed: np.ndarray | None = None) -> tuple[sitk.Image, np.ndarray]:
        """The CT with 0 HU outside the brain, and the brain mask; without skull strip the mask covers everything."""
        if self.skull_strip is None:
            return ct, np.ones(ct.GetSize()[::-1], bool)
        brain = self.skull_strip(ct, name, bleed)
        return like(np.where(brain, sitk.GetArrayViewFromImage(ct), 0).astype(np.int16), ct), brain

    def _is_done(self, folder: Path, times: Sequence[str]) -> bool:
        """Whether all time points of a patient are prepared with these settings.

        Raises:
            ValueError: If they were prepared with other settings.
        """
        file = folder / "preparation.json"
        if not file.is_file():
            return False
        record = read_json(file)
        settings = json.loads(json.dumps(self._settings))
        other = [name for name in settings if record["settings"].get(name) != settings[name]]
        if other:
            raise ValueError(f"{file}: prepared with other {', '.join(other)}; set another preparation.output")
        return all(time in record for time in times)

    def _write(self, images: Mapping[str, sitk.Image], record: Mapping[str, Any], folder: Path) -> None:
        for name, image in images.items():
            file = folder / f"{name}.nii.gz"
            file.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(image, str(file), useCompression=True)
        text = json.dumps({"settings": self._settings, **record}, indent=2)
        (folder / "preparation.json").write_text(text + "\n")


def _measured(ct: sitk.Image, **masks: np.ndarray) -> dict[str, Any]:
    voxel = float(np.prod(ct.GetSpacing())) / 1000
    volumes = {f"{name}_ml": round(float(mask.sum()) * voxel, 2) for name, mask in masks.items()}
    return {"spacing_mm": np.round(ct.GetSpacing(), 4).tolist(), **volumes}


def _overlap(baseline: np.ndarray, followup: np.ndarray, name: str) -> float:
    """Dice of the two brain masks on one grid; a low value suggests poor registration, skull strip or field of view."""
    dice = 2 * float((baseline & followup).sum()) / float(baseline.sum() + followup.sum())
    if dice < 0.9:
        log.warning("%s: brains of baseline and follow-up overlap by a Dice of only %.2f; inspect them", name, dice)
    return round(dice, 3)
