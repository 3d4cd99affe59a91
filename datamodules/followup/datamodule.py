"""The follow-up layout as training batches: slices for an autoencoder, pairs for a forecast, patients for its test."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from medzoo.datamodules.base import BaseDataModule
from medzoo.datamodules.batches import Augmentation, BatchOptions, Ranks, ResumableBatches
from medzoo.datamodules.followup.batches import PairBatches, PatientBatches, Region, SliceBatches
from medzoo.datamodules.followup.clinical import CLINICAL, read_clinical, rows_of
from medzoo.datamodules.followup.cohort import (
    Found,
    Patient,
    find_cohort,
    load_patients,
    read_patient,
    report_spacings,
)
from medzoo.datamodules.followup.files import find_patients, fitted, put_back, read_volume
from medzoo.datamodules.followup.latents import latents_of
from medzoo.datamodules.followup.scans import TIMES
from medzoo.datamodules.io import find_table, some, write_like
from medzoo.datamodules.phantoms.head import HeadPhantom
from medzoo.datamodules.skull import check_skull, skull_of_all
from medzoo.datamodules.splits import by_group, few
from medzoo.datamodules.store import StoredArray
from medzoo.evaluation.measures.bleed import SIGNS

__all__ = ["FollowupDataModule"]

log = logging.getLogger(__name__)


class FollowupDataModule(BaseDataModule):
    """Head CT at baseline and follow-up, with bleed masks and clinical variables, split by hospital.

    With `batches="slices"` all loaders give single slices (`SliceBatches`); with `"pairs"` training and validation give
    slices with context and their follow-up (`PairBatches`), test and prediction whole patients (`patient_batch`).

    Args:
        root: Folder in the follow-up layout (`datamodules/followup/files.py`); of a phantom, the folder that holds its
            cohort.
        phantom: Written below `root` where it is missing.
        val_hospitals: Hospitals for validation.
        test_hospitals: Hospitals for the test; all others are for training.
        batches: What a batch holds.
        image_size: H = W in pixels to crop or pad to; divisible by 4 for the autoencoder.
        context_mm: Distance of the two context slices from the slice to forecast.
        margin_mm: Slices within this distance of the baseline's bleed are forecast; others are copied from the
            baseline.
        whole_slices: Round the margin up to whole slices, as the original does.
        train_on: Slices of the training pairs: those to forecast, or all, as the original does.
        batch_size: Slices or pairs in a batch of one device.
        augment: Augments training slices; CT and masks in [0, 1].
        flip: Whether to flip training pairs left to right, at random.
        seed: Seed of order and augmentation.

    Raises:
        ValueError: If a number is out of range, or a hospital is in two splits.
    """

    layout = "datamodule.root to a folder in the follow-up layout"
    task = "followup"
    class_names: Sequence[str] = ("stable", "expansion")

    def __init__(
        self,
        root: str | Path,
        *,
        val_hospitals: Sequence[str],
        test_hospitals: Sequence[str],
        phantom: HeadPhantom | None = None,
        batches: Literal["slices", "pairs"] = "pairs",
        image_size: int = 384,
        context_mm: float = 5.0,
        margin_mm: float = 10.0,
        whole_slices: bool = False,
        train_on: Literal["region", "all"] = "region",
        batch_size: int = 16,
        augment: Augmentation | None = None,
        flip: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__(root, phantom)
        if batch_size < 1 or image_size < 8 or image_size % 4:
            raise ValueError(f"batch_size={batch_size} must be positive and image_size={image_size} divisible by 4")
        if both := set(val_hospitals) & set(test_hospitals):
            raise ValueError(f"hospital {', '.join(sorted(both))} is in both val_hospitals and test_hospitals")
        self.val_hospitals, self.test_hospitals = list(val_hospitals), list(test_hospitals)
        self.batches, self.image_size, self.batch_size = batches, image_size, batch_size
        self.region, self.train_on = Region(context_mm, margin_mm, whole_slices), train_on
        self.augment, self.flip, self.seed = augment, flip, seed
        self._latents: dict[tuple[str, str, bool], StoredArray] | None = None
        self.image_shape = (3, image_size, image_size)  # CT, IPH and IVH of a slice
        self.clinical_names = list(CLINICAL)
        self.clinical_ranges = [list(limits) for limits in CLINICAL.values()]  # what a batch holds as 0 and 1
        self.sign_names = list(SIGNS)

    def setup(self, stage: str | None = None) -> None:
        """Read all patients into the store, once; prediction needs none of them."""
        if stage == "predict" or self._items:
            return
        found = {one.id: one for one in find_cohort(self.root)}
        hospitals = {name: one.hospital for name, one in found.items()}
        names = self.divide(
            self.marks_of({name: _scans(one.folder) for name, one in found.items()}),
            lambda: by_group(hospitals, self.root, val=self.val_hospitals, test=self.test_hospitals),
            self.root,
        )
        splits = {split: [found[name] for name in each] for split, each in names.items()}
        if stage == "rehearse":
            splits = {split: few(each, lambda one: one.row and one.row.expansion) for split, each in splits.items()}
        self._items = self._load(splits)
        if "skull" not in self._state:
            self._state = {"skull": skull_of_all([patient.bone for patient in self._items["train"]])}
        if stage != "rehearse":
            self._check()

    def _load(self, splits: Mapping[str, Sequence[Found]]) -> dict[str, list[Patient]]:
        """The patients of each split, whose scans are in the store."""
        patients = load_patients([one for each in splits.values() for one in each], self.image_size, self.store)
        by_name = {patient.id: patient for patient in patients}
        return {split: [by_name[one.id] for one in each] for split, each in splits.items()}

    def _check(self) -> None:
        """Check that there are patients with and without expansion, and that all scans are alike."""
        report_spacings([patient for patients in self._items.values() for patient in patients])
        kinds = {split: {patient.expansion for patient in patients} for split, patients in self._items.items()}
        if len(kinds["test" if self._seen else "train"] - {-1}) < 2:
            told = "the test" if self._seen else "training"
            raise ValueError(f"{self.root}: {told} needs patients with and without expansion, at least one of each")
        tested = [*self._items["val"], *self._items["test"]]
        check_skull(((patient.folder, patient.bone) for patient in tested), self._state.get("skull"))

    def unshared_dataloader(self) -> ResumableBatches:
        """The training batches of a single process, on every process: to fit something on them."""
        return self.loader("train", training=True, rank=0, world_size=1, workers=self.workers)

    def patient_dataloader(self, split: str) -> PatientBatches:
        """Whole patients of a split, on every process: to fit something on them."""
        return PatientBatches(self._items[split], self.region, rank=0, world_size=1, workers=0)

    def predict_dataloader(self) -> PatientBatches:
        """The patients read by `set_predict_input`."""
        return PatientBatches(self._predict, self.region, **self.ranks)

    def set_predict_input(self, path: str | Path) -> None:
        """Read patients to predict.

        Args:
            path: A patient's folder (with `baseline/`), or a folder in the follow-up layout. Clinical variables come
                from the nearest `clinical.csv` (or .tsv, .xlsx) in it or up to two folders above; they are unknown for
                patients without a row.

        Raises:
            FileNotFoundError: If there is no patient.
            ValueError: If a scan or the table is invalid, or the table has a patient with almost the same id.
        """
        path, self._predicting = Path(path), True
        if not path.is_dir():
            raise FileNotFoundError(f"no folder {path}: expected a patient's, with baseline/ct.nii.gz and iph.nii.gz")
        single = (path / "baseline").is_dir()
        folders = {path.name: path} if single else find_patients(path)
        tables = [find_table(folder, "clinical") for folder in (path, path.parent, path.parent.parent)]
        file = next((table for table in tables if table.is_file()), None)
        rows = rows_of(folders, read_clinical(file), file) if file else {}
        if unknown := sorted(set(folders) - set(rows)):
            told = "%s: all clinical variables but the volume are unknown of %d patients: %s"
            log.warning(told, file or f"no clinical.csv in {path} or above it", len(unknown), some(unknown))
        self._predict = [
            read_patient(folder, name, rows.get(name), self.image_size) for name, folder in sorted(folders.items())
        ]
        check_skull(((patient.folder, patient.bone) for patient in self._predict), self._state.get("skull"))

    @property
    def predict_patients(self) -> dict[str, Patient]:
        """Patients to predict, by id."""
        return {patient.id: patient for patient in self._predict}

    def baseline_hu(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Baseline CT in HU of a patient to predict: whole (Z, Y, X), and (Z, H, W) as the network sees it."""
        whole = read_volume(self.predict_patients[name].folder / "baseline", "ct").array.astype(np.float32)
        return whole, fitted(whole, self.image_size)

    def write_on_baseline(self, array: np.ndarray, name: str, file: Path, background: np.ndarray | None = None) -> None:
        """Write a forecast onto the grid of a patient's baseline.

        Args:
            array: (Z, H, W).
            name: The patient.
            file: The file to write.
            background: (Z, Y, X), for voxels outside the forecast; 0 by default.
        """
        grid = self.predict_patients[name].grid
        write_like(put_back(array, np.zeros(grid.shape) if background is None else background), grid, file)

    def clinical(self, split: str) -> dict[str, np.ndarray]:
        """Tabular data of the patients of a split, for baselines and risk models.

        Returns:
            `id` (N,), `clinical` (N, 7) in [0, 1] with NaN, `signs` (N, S) of the baseline scan in [0, 1], `label`
            (N,), and the IPH volumes of the masks in mL: `baseline_ml` (N,), `followup_ml` (N,).
        """
        patients = self._items[split]
        return {
            "id": np.array([patient.id for patient in patients]),
            "clinical": np.stack([patient.clinical for patient in patients]),
            "signs": np.stack([patient.signs for patient in patients]),
            "label": np.array([patient.expansion for patient in patients]),
            **{f"{time}_ml": np.array([patient.iph_ml[time] for patient in patients]) for time in TIMES},
        }

    def true_followup_volumes(
        self,
        clinical: np.ndarray,
        count: int,
        do: Mapping[str, float] | None = None,
        seen: Sequence[str] | None = None,
    ) -> np.ndarray:
        """The forecast of the phantom's own causal model: the best possible one.

        Args:
            clinical: (N, 7) scaled to [0, 1].
            count: Samples for each patient.
            do: Variables set by intervention, by name, in their units.
            seen: Patients of these rows, whose scans are seen with all their signs; None for the table alone.

        Returns:
            (N, count) IPH volumes at follow-up in mL; the noise is the same for every `do`.
        """
        if not isinstance(self.maker, HeadPhantom):
            raise ValueError("the truth is known for phantoms only")
        low, high = np.array(list(CLINICAL.values())).T
        columns = dict(zip(CLINICAL, (clinical.astype(float) * (high - low) + low).T, strict=True))
        shown = None if seen is None else self.maker.shown(self.root, seen)
        return self.maker.followup_volumes(columns, count, do or {}, shown)

    @property
    def signs_act(self) -> bool:
        """Whether scans of the phantom say more about growth than the table."""
        return isinstance(self.maker, HeadPhantom) and self.maker.signs in ("published", "confounded")

    def cache_latents(self, encode: Callable[[Tensor], Tensor], key: str) -> None:
        """Encode training and validation scans once; pairs then hold latents instead of images.

        With `flip`, training scans are also encoded flipped.

        Args:
            encode: Maps (B, 3, H, W) in [0, 1] to (B, c, h, w).
            key: Stands for the encoder: latents are made once for each key.
        """
        turned = {"train": (False, True) if self.flip else (False,), "val": (False,)}
        wanted = [(one, flip) for split, flips in turned.items() for one in self._items[split] for flip in flips]
        self._latents = latents_of(wanted, encode, key, self.store)

    def loader(self, split: str, *, training: bool = False, **ranks: Unpack[Ranks]) -> ResumableBatches:
        """Slices or pairs, for training balanced and augmented; instead of pairs, the test gives whole patients."""
        patients, ranks = self._items[split], ranks or self.ranks
        options: BatchOptions = {"batch_size": self.batch_size, "seed": self.seed, **ranks}
        if self.batches == "slices":
            return SliceBatches(patients, augment=self.augment if training else None, shuffle=training, **options)
        if split == "test":
            return PatientBatches(patients, self.region, **ranks)
        every = training and self.train_on == "all"
        return PairBatches(
            patients,
            self.region,
            all_slices=every,
            flip=self.flip,
            latents=self._latents,
            shuffle=training,
            **options,
        )

    def empty_batch(self) -> dict[str, Any]:
        """Zeros of the shapes and types of a training batch; see `SliceBatches` and `PairBatches`, without latents."""
        count, (channels, *sides) = self.batch_size, self.image_shape
        batch: dict[str, Any] = {"image": torch.zeros(count, channels, *sides), "id": [""] * count}
        if self.batches == "slices":
            return batch
        return batch | {
            "image": torch.zeros(count, 3 * channels, *sides),
            "followup": torch.zeros(count, channels, *sides),
            "iph": torch.zeros(count, *sides).bool(),
            "clinical": torch.zeros(count, len(self.clinical_names)),
            "label": torch.arange(count) % 2,
        }


def _scans(folder: Path) -> list[Path]:
    """Files of a patient's scans, however they are stored."""
    return [file for time in TIMES for file in sorted((folder / time).rglob("*")) if _is_scan(file)]


def _is_scan(file: Path) -> bool:
    return file.is_file() and file.name[0] != "." and not {"iph", "ivh"} & {file.name.split(".")[0], file.parent.name}
