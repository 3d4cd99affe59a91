"""Images with label maps: planned, normalised, split by patient, given as patches."""

import functools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch

from medzoo.datamodules import io
from medzoo.datamodules.batches import Ranks
from medzoo.datamodules.io.pictures.labels import class_colours
from medzoo.datamodules.io.pictures.pages import is_picture, write_picture
from medzoo.datamodules.phantoms.phantom import Phantom
from medzoo.datamodules.segmentation.batches import Augment, CaseBatches, PatchBatches
from medzoo.datamodules.segmentation.cases import (
    Case,
    CaseReading,
    Intensities,
    geometries,
    make_case,
    measure,
    raw_image,
)
from medzoo.datamodules.segmentation.files import CaseFiles, find_images
from medzoo.datamodules.segmentation.matching import MatchedCases
from medzoo.datamodules.segmentation.plan import Plan, make_plan
from medzoo.datamodules.skull import bone_share, check_skull, skull_of_all

__all__ = ["SegmentationDataModule"]


class SegmentationDataModule(MatchedCases):
    """A data set in nnU-Net's raw layout (`datamodules/segmentation/files.py`), or pictures (`pictures.py`).

    Training gives `PatchBatches`; validation, test and prediction give `CaseBatches`. The test uses `imagesTs` if it
    has masks, else the validation fold. On other data than those of the training, all cases with masks are tested;
    their classes and channels may come in another order. Intensities are measured on the training cases of the fold
    only and kept in the checkpoint.

    Args:
        root: Folder with `dataset.json`, or with `images` and `masks`; of a phantom, the folder that holds its own.
        phantom: Written below `root` where it is missing.
        fold: The validation fold.
        folds: Number of folds that the patients of `imagesTr` are split into.
        patient: Regular expression whose first group is the patient in the name of a case: all scans of a patient go
            into one fold. Null is for slices as pictures whose names do not contain the patient: then `patients.csv`
            beside them is read, or patients are told apart by the likeness of neighbouring slices.
        plan: Spacing, patch, batch size, strides, kernels and features (`Plan`); null plans them from the data.
        classes: Names of the classes by label value; null takes those of `dataset.json`, or for pictures background and
            foreground. If masks are coloured pictures, the colours too: `{liver: [255, 0, 0]}`; the background is the
            class of that name, else black.
        channels: Names of the channels; null takes those of `dataset.json`.
        gpu_memory_gb: GPU memory that the planner aims at.
        window: Intensities that become 0 and 1 instead of measured ones; or `image` for the 0.5th and 99.5th percentile
            of each image, since MR has no unit.
        labelled: Share of the training patients to use, drawn by `seed`; at least one patient.
        batches: Batches in an epoch.
        foreground: Share of patches drawn around foreground.
        augment: Augments patches.
        seed: Seed of patches and augmentation.

    Raises:
        ValueError: If a number is out of range.
    """

    layout = "datamodule.root to a data set in nnU-Net's raw layout, or pictures"
    task = "segmentation"
    formats = (".png", *io.VOLUMES)
    """Allowed endings of prediction files."""

    def __init__(
        self,
        root: str | Path,
        *,
        phantom: Phantom | None = None,
        fold: int = 0,
        folds: int = 5,
        patient: str | None = "(.*)",
        plan: Mapping[str, Any] | None = None,
        classes: Sequence[str] | Mapping[str, Sequence[int]] | None = None,
        channels: Sequence[str] | None = None,
        gpu_memory_gb: float = 8.0,
        window: Sequence[float] | Literal["image"] | None = None,
        labelled: float = 1.0,
        batches: int = 250,
        foreground: float = 0.33,
        augment: Augment | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(root, phantom)
        if not 0 <= fold < folds or folds < 2:
            raise ValueError(f"fold={fold} of folds={folds}: give at least 2 folds, and one of 0 to {folds - 1}")
        if not 0 <= foreground <= 1 or batches < 1:
            raise ValueError(f"foreground={foreground} must be a share, and batches={batches} positive")
        if not 0 < labelled <= 1:
            raise ValueError(f"labelled={labelled} must be a share")
        bounds: Sequence[float] = window if window and not isinstance(window, str) else (0.0, 1.0)
        if len(bounds) != 2 or bounds[0] >= bounds[1] or (isinstance(window, str) and window != "image"):
            raise ValueError(f"window={window}: expected two numbers, the lower first, or image")
        self.fold, self.folds = fold, folds
        self.window, self.labelled = window, labelled
        self.patient = re.compile(patient) if patient else None
        if isinstance(classes, Mapping):
            coloured = class_colours(classes)
            classes, self._colours = list(coloured), list(coloured.values())
        self._classes = classes
        self._plan, self._channels, self.gpu_memory_gb = plan, channels, gpu_memory_gb
        self.batches, self.foreground, self.augment = batches, foreground, augment
        self.seed = seed

    @functools.cached_property
    def plan(self) -> Plan:
        """Sizes: as given, as in the training, or planned from the headers of all training cases."""
        if given := self._state.get("plan") or self._plan:
            return Plan(**given)
        spacings, shapes = zip(*geometries(self.files.train), strict=True)
        return make_plan(spacings, shapes, classes=self.num_classes, gpu_memory_gb=self.gpu_memory_gb)

    @property
    def in_channels(self) -> int:
        """Number of channels of an image."""
        return len(self._state.get("intensities") or self._channels or self.files.channels)

    @property
    def spatial_dims(self) -> int:
        """3, or 2 for pictures and for volumes that all have one slice."""
        return len(self.patch_size)

    @property
    def patch_size(self) -> list[int]:
        """Voxels of a patch."""
        return list(self.plan.patch)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (C, *patch) of a patch; images have any size."""
        return (self.in_channels, *self.patch_size)

    @property
    def batch_size(self) -> int:
        """Patches in a batch."""
        return self.plan.batch_size

    @property
    def batches_of_epoch(self) -> int:
        """As given."""
        return self.batches

    @property
    def strides(self) -> list[list[int]]:
        """Downsampling of each stage of the planned U-Net."""
        return [list(stride) for stride in self.plan.strides]

    @property
    def kernels(self) -> list[list[int]]:
        """Kernel size of each stage."""
        return [list(kernel) for kernel in self.plan.kernels]

    @property
    def features(self) -> list[int]:
        """Channels of each stage."""
        return list(self.plan.features)

    def setup(self, stage: str | None = None) -> None:
        """Read all cases into the store, once; prediction needs none of them."""
        if stage == "predict" or self._items:
            return
        splits, rehearse = self._split(), stage == "rehearse"
        if not self._state:
            self._state = {
                "classes": list(self._data_classes),
                "channels": list(self._data_channels),
                "plan": vars(self.plan).copy(),
                "intensities": [
                    vars(each) if each else None for each in self._intensities(splits["train"], rehearse=rehearse)
                ],
            } | ({"regions": self.regions} if self.regions else {})
        if rehearse:
            splits = {name: self._few(cases) for name, cases in splits.items()}
        made = self._read_all([case for cases in splits.values() for case in cases])
        self._items = {name: [made.pop(0) for _ in cases] for name, cases in splits.items()}
        if "skull" not in self._state:
            heads = self._items["train"] if self.spatial_dims == 3 and self._in_hu else []
            self._state["skull"] = skull_of_all([case.bone for case in heads])
        tested = [*self._items["val"], *self._items["test"]]
        check_skull(((case.files.images[0], case.bone) for case in tested), self._state.get("skull"))

    def loader(self, split: str, *, training: bool = False, **ranks: Unpack[Ranks]) -> PatchBatches | CaseBatches:
        """Random, augmented patches of the training cases; of any split, every case once."""
        ranks = ranks or self.ranks
        if not training:
            return CaseBatches(self._items[split], **ranks)
        return PatchBatches(
            self._items[split],
            self.patch_size,
            batches=self.batches,
            foreground=self.foreground,
            augment=self.augment,
            batch_size=self.batch_size,
            seed=self.seed,
            **ranks,
        )

    def empty_batch(self) -> dict[str, Any]:
        """Zeros of the shapes and types of a training batch; see `PatchBatches`."""
        count = self.batch_size
        mask = torch.zeros(count, *self.patch_size).long()
        return {"image": torch.zeros(count, *self.image_shape), "mask": mask, "id": [""] * count}

    def predict_dataloader(self) -> CaseBatches:
        """The images found by `set_predict_input`, read one by one."""
        return CaseBatches(self._predict, self._read_new, **self.ranks)

    @property
    def predict_cases(self) -> dict[str, CaseFiles]:
        """Cases to predict, by id."""
        return {case.id: case for case in self._predict}

    @property
    def predict_endings(self) -> dict[str, str]:
        """The `ending` of each prediction, by id."""
        return {case.id: self.ending(case) for case in self._predict}

    @staticmethod
    def ending(case: CaseFiles) -> str:
        """Ending of a prediction file: that of the image; `.png` for pictures and `.nii.gz` for DICOM."""
        image = case.images[0]
        return ".png" if is_picture(image) else io.volume_ending(image) or ".nii.gz"

    @staticmethod
    def write_like(array: np.ndarray, source: Path, file: Path) -> None:
        """Write a prediction in one step: a `.png` as it is, a volume on the grid of its source."""
        if file.suffix == ".png":
            write_picture(array, file)
        else:
            io.write_like(array, source, file)

    def held_out_dataloader(self, names: Collection[str]) -> Iterable[dict[str, Any]]:
        """The `held_out_cases` with these names, read one by one."""
        ranks, cases = self.ranks, [case for case in self.held_out_cases if case.id in names]
        yield from CaseBatches(cases[ranks["rank"] :: ranks["world_size"]], self._read, workers=self.workers)

    @property
    def held_out_cases(self) -> list[CaseFiles]:
        """Cases of patients that are not trained on: the validation fold, the test, and cases without masks."""
        if self._seen and not self._items["train"]:
            return [case.files for case in self._items["test"]]
        files, train = self.files, {case.id for case in self._items["train"]}
        patients = {self._patient_of(case) for case in files.train if case.id in train}
        return [case for case in (*files.train, *files.test, *files.other) if self._patient_of(case) not in patients]

    def set_predict_input(self, path: str | Path) -> None:
        """Find images to predict.

        Args:
            path: A volume (file, or folder of a DICOM series) or a picture, or a folder with these or with subfolders;
                with several channels, volumes named as in `imagesTr`.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If the first head CT has a skull and the training scans had none, or the other way round; the
                other scans are checked when they are read.
        """
        self._predicting = True
        self._predict = list(find_images(Path(path), self.in_channels, self.spatial_dims))
        if trained := self._state.get("skull"):
            check_skull(((case.images[0], bone_share(raw_image(case))) for case in self._predict[:1]), trained)

    @property
    def patients(self) -> dict[str, str]:
        """The patient of each test case, by id."""
        return {case.id: self._patient_of(case.files) for case in self._items["test"]}

    @property
    def unit(self) -> str:
        """Unit of lengths in the test: `mm`, or `px` if all cases are pictures."""
        return "px" if all(is_picture(case.files.images[0]) for case in self._items["test"]) else "mm"

    def raw(self, name: str) -> np.ndarray:
        """First channel of a test case as stored in its file, z first."""
        case = next(case for case in self._items["test"] if case.id == name)
        return raw_image(case.files, self.spatial_dims)

    @property
    def _in_hu(self) -> bool:
        """Whether the first channel is CT in HU."""
        channels = self._state.get("channels") or self.files.channels
        return self.window != "image" and channels[0].lower() == "ct"

    def _read_all(self, cases: Sequence[CaseFiles]) -> list[Case]:
        """Cases in the store, which are read from there when they are used."""
        given = [self._with_channels(case) for case in cases]
        jobs = [self.store.job(case.id, make_case, case, case.files, self._reading(case)) for case in given]
        entries = self.store.fill(jobs, "cases")
        return [
            Case.of(case, entry.arrays, entry.facts, self._known_intensities)
            for case, entry in zip(given, entries, strict=True)
        ]

    def _few(self, cases: Sequence[CaseFiles]) -> list[CaseFiles]:
        """Two cases to rehearse with, that have an annotated voxel if any has one."""
        usable = (case for case in cases if case.mask is None or not self._read_all([case])[0].blank)
        return [*islice(usable, 2)] or [*cases[:2]]

    def _read(self, case: CaseFiles) -> Case:
        """A case, read without keeping it."""
        case = self._with_channels(case)
        made = make_case(case, self._reading(case))
        return Case.of(case, dict(made.arrays), dict(made.facts), self._known_intensities)

    def _with_channels(self, case: CaseFiles) -> CaseFiles:
        """The case with its channels in the order of the model; those of images to predict have it."""
        if self._images and case not in self._predict:
            return replace(case, images=tuple(case.images[index] for index in self._images))
        return case

    def _reading(self, case: CaseFiles) -> CaseReading:
        regions = self.regions
        return CaseReading(
            classes=self.labels.count,
            spacing=tuple(self.plan.spacing),
            bounds=tuple(each.bounds if each else None for each in self._known_intensities),
            labels=tuple(self._order) if self._order else None,
            ct=self._in_hu,
            ignore=self.ignore,
            regions=tuple(tuple(values) for values in regions) if regions else None,
            colours=case.colours,
        )

    @property
    def _known_intensities(self) -> list[Intensities | None]:
        return [Intensities(**each) if each else None for each in self._state["intensities"]]

    def _read_new(self, files: CaseFiles) -> Case:
        """Read a case to predict, and check that its skull is as in the training."""
        case = self._read(files)
        check_skull([(files.images[0], case.bone)], self._state.get("skull"))
        return case

    def _intensities(self, train: Sequence[CaseFiles], *, rehearse: bool) -> Sequence[Intensities | None]:
        if self.window is None and not rehearse:
            return measure(train, self.labels.count, self.store, ignore=self.ignore)
        channels = len(self.files.channels)
        return [None if isinstance(self.window, str | None) else Intensities.window(*self.window)] * channels
