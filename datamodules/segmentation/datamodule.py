"""Images with label maps: planned, normalised, split by patient, served as patches."""

import functools
import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from rich.progress import track

from datamodules.io.label_pictures import class_colours
from datamodules.io.pictures import is_picture
from datamodules.phantoms.phantom import Phantom
from datamodules.segmentation.batches import Augment, CaseBatches, PatchBatches
from datamodules.segmentation.cases import Case, Intensities, geometries, measure, raw_image, read_case
from datamodules.segmentation.files import CaseFiles, DatasetFiles, find_images, read_dataset
from datamodules.segmentation.matching import MatchedCases
from datamodules.segmentation.pictures import alike, listed, read_pictures, several_of_one_name
from datamodules.segmentation.plan import Plan, make_plan
from datamodules.segmentation.results import WrittenCases
from datamodules.skull import bone_share, check_skull, skull_of_all
from datamodules.splits import held_out

__all__ = ["SegmentationDataModule"]

log = logging.getLogger(__name__)


class SegmentationDataModule(MatchedCases, WrittenCases):
    """A data set in nnU-Net's raw layout (`datamodules/segmentation/files.py`), or pictures (`pictures.py`).

    Training gives `PatchBatches`; validation, test and prediction give `CaseBatches`. The test is on `imagesTs` where
    it has masks, else on the validation fold; of other data than the training's it is on all cases with masks, whose
    classes and channels may stand in another order. Intensities are measured on the training cases of the fold alone
    and kept in the checkpoint.

    Args:
        root: Folder with `dataset.json`, or with `images` and `masks`; of a phantom, the folder that holds its own.
        phantom: Written below `root` where it is missing.
        fold: Which of the folds is for validation.
        folds: Into how many the patients of `imagesTr` are split.
        patient: Regular expression whose first group is the patient in the name of a case: all scans of a patient go
            into one fold. Null is for slices as pictures whose names do not say it: `patients.csv` beside them does, or
            else one quite unlike the slice before begins a new patient, and where likeness does not tell, it is asked.
        plan: Spacing, patch, batch size, strides, kernels and features (`Plan`); null has them planned from the data.
        classes: Names of the classes by label value; null takes those of `dataset.json`, of pictures background and
            foreground. Where masks are coloured pictures, the colours too: `{liver: [255, 0, 0]}`; the background is
            what is called so, else what is black.
        channels: Names of the channels; likewise.
        gb: GPU memory that the planner aims at.
        window: Intensities that become 0 and 1, where they are not to be measured: those of a network that was trained
            before; or `image` for the 0.5th to 99.5th percentile of each image, since MR has no unit.
        labelled: Share of the training patients who are used, drawn by `seed`; at least one.
        batches: In an epoch.
        foreground: Share of patches drawn around foreground.
        augment: Augments patches.
        threads: Batches made ahead of the training.
        seed: Seed of patches and augmentation.

    Raises:
        ValueError: If a number is out of range.
    """

    layout = "datamodule.root to a data set in nnU-Net's raw layout, or pictures"
    task = "segmentation"

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
        gb: float = 8.0,
        window: Sequence[float] | Literal["image"] | None = None,
        labelled: float = 1.0,
        batches: int = 250,
        foreground: float = 0.33,
        augment: Augment | None = None,
        threads: int = 2,
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
        coloured = class_colours(classes) if isinstance(classes, Mapping) else {}
        self._classes, self._colours = list(coloured) or classes, list(coloured.values())  # type: ignore[assignment]
        self._plan, self._channels, self.gb = plan, channels, gb
        self.batches, self.foreground, self.augment = batches, foreground, augment
        self.threads, self.seed = threads, seed
        self._cases: dict[str, list[Case]] = {}
        self._predict: list[CaseFiles] = []

    @functools.cached_property
    def files(self) -> DatasetFiles:
        """What is in the folder, which is fetched or written first where that can be done."""
        self.fetch()
        flat = (self.root / "images").is_dir() and not (self.root / "dataset.json").is_file()
        if flat:
            return read_pictures(self.root, self._classes or (), self._colours)
        if self._colours:
            raise ValueError(f"{self.root}: colours of datamodule.classes are for masks in masks/; name classes alone")
        return read_dataset(self.root)

    @functools.cached_property
    def plan(self) -> Plan:
        """Sizes for the data set: as given, as the training had them, or from the headers of all training cases."""
        if given := self._state.get("plan") or self._plan:
            return Plan(**given)
        spacings, shapes = zip(*geometries(self.files.train), strict=True)
        return make_plan(spacings, shapes, classes=self.num_classes, gb=self.gb)

    @property
    def class_names(self) -> tuple[str, ...]:
        """By label value, or of regions; the first is the background."""
        return tuple(self._known_classes or self._state.get("classes") or self._data_classes)

    @property
    def in_channels(self) -> int:
        """Of an image."""
        return len(self._state.get("intensities") or self._channels or self.files.channels)

    @property
    def spatial_dims(self) -> int:
        """3, or 2 for pictures, and for volumes where all have one slice."""
        return len(self.patch_size)

    @property
    def patch_size(self) -> list[int]:
        """Voxels of a patch."""
        return list(self.plan.patch)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(C, *patch), of a patch: images have any size."""
        return (self.in_channels, *self.patch_size)

    @property
    def batch_size(self) -> int:
        """Patches in a batch."""
        return self.plan.batch_size

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

    @property
    def split(self) -> dict[str, list[str]]:
        """Ids of every split."""
        return {name: [case.id for case in cases] for name, cases in self._cases.items()}

    def setup(self, stage: str | None = None) -> None:
        """Read all cases, once; prediction needs none of them."""
        if stage == "predict" or self._cases:
            return
        splits = self._split()
        if not self._state:
            self._state = {
                "classes": list(self._data_classes),
                "channels": list(self._data_channels),
                "plan": vars(self.plan).copy(),
                "intensities": [vars(each) if each else None for each in self._intensities(splits["train"])],
            } | ({"regions": self.regions} if self.regions else {})
        chosen = [(name, case) for name, cases in splits.items() for case in cases]
        self._cases = {name: [] for name in splits}
        for name, case in track(chosen, "reading images", transient=True, disable=len(chosen) < 20):
            self._cases[name].append(self._read(case))
        if "skull" not in self._state:
            self._state["skull"] = (
                skull_of_all([case.bone for case in self._cases["train"]])
                if self.spatial_dims == 3 and self._in_hu
                else None
            )
        self.check_trained(self._state)

    def train_dataloader(self) -> PatchBatches:
        """Random, augmented patches."""
        return PatchBatches(
            self._cases["train"],
            self.patch_size,
            batches=self.batches,
            foreground=self.foreground,
            augment=self.augment,
            threads=self.threads,
            ignore=self.ignore,
            regions=self.regions,
            batch_size=self.batch_size,
            seed=self.seed,
            **self.ranks,
        )

    def val_dataloader(self) -> CaseBatches:
        """Every validation case once."""
        return CaseBatches(self._cases["val"], **self.ranks)

    def test_dataloader(self) -> CaseBatches:
        """Every test case once."""
        return CaseBatches(self._cases["test"], **self.ranks)

    def predict_dataloader(self) -> CaseBatches:
        """The images that were found by `set_predict_input`, read one by one."""
        return CaseBatches(self._predict, self._read_new, **self.ranks)

    def held_out_dataloader(self, names: Collection[str]) -> Iterable[dict[str, Any]]:
        """Those of `held_out_cases` that have one of these names, read one by one."""
        ranks, cases = self.ranks, [case for case in self.held_out_cases if case.id in names]
        yield from map(self._batch, cases[ranks["rank"] :: ranks["world_size"]])

    @property
    def held_out_cases(self) -> list[CaseFiles]:
        """Of patients that are not trained on: the validation fold, the test, and cases without masks."""
        if self._seen and not self._cases["train"]:
            return [case.files for case in self._cases["test"]]
        files, train = self.files, {case.id for case in self._cases["train"]}
        patients = {self._patient_of(case) for case in files.train if case.id in train}
        return [case for case in (*files.train, *files.test, *files.other) if self._patient_of(case) not in patients]

    def set_predict_input(self, path: str | Path) -> None:
        """Find what to predict on.

        Args:
            path: A volume (file, or folder of a DICOM series) or a picture, or a folder of them and of folders; with
                several channels, volumes named as in `imagesTr`.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If the first head CT has its skull and those of the training had none, or the other way round;
                of the others it is asked when they are read.
        """
        self._predicting = True
        self._predict = list(find_images(Path(path), self.in_channels, self.spatial_dims))
        if trained := self._state.get("skull"):
            check_skull(((case.images[0], bone_share(raw_image(case))) for case in self._predict[:1]), trained)

    def leave_out(self, done: Sequence[str]) -> None:
        """Do not predict these cases (again)."""
        self._predict = [case for case in self._predict if case.id not in done]

    @property
    def patients(self) -> dict[str, str]:
        """Whom each test case is of, by id."""
        return {case.id: self._patient_of(case.files) for case in self._cases["test"]}

    def raw(self, name: str) -> np.ndarray:
        """First channel of a test case as it stands in its file, z first."""
        case = next(case for case in self._cases["test"] if case.id == name)
        return raw_image(case.files, self.spatial_dims)

    def _fold_cases(self) -> dict[str, list[CaseFiles]]:
        files, parts = self.files, self._folds()
        for given, known, key in (
            (self._classes, files.classes, "classes"),
            (self._channels, files.channels, "channels"),
        ):
            if given and list(given) != list(known):
                kind = "regions" if self.regions and key == "classes" else "those"
                where = f"{self.root / 'dataset.json'}" if files.labels else f"{self.root}"
                raise ValueError(f"datamodule.{key}={list(given)}, but {kind} of {where} are {list(known)}")
        train = self._labelled([case for case in files.train if self._patient_of(case) not in parts])
        val = [case for case in files.train if self._patient_of(case) in parts]
        return {"train": train, "val": val, "test": list(files.test) or val}

    def check_trained(self, state_dict: dict[str, Any]) -> None:
        """Compare validation and test images with those that a network was trained on.

        Args:
            state_dict: Of the datamodule of that training.

        Raises:
            ValueError: If a head CT has its skull and those of the training had none, or the other way round.
        """
        cases = [*self._cases["val"], *self._cases["test"]]
        check_skull(((case.files.images[0], case.bone) for case in cases), state_dict.get("skull"))

    @property
    def _in_hu(self) -> bool:
        """Whether the first channel is CT as the scanner gives it."""
        channels = self._state.get("channels") or self.files.channels
        return self.window != "image" and channels[0].lower() == "ct"

    def _read(self, case: CaseFiles) -> Case:
        intensities = [Intensities(**each) if each else None for each in self._state["intensities"]]
        if self._images and case not in self._predict:  # what is predicted on has the channels of the model
            case = replace(case, images=tuple(case.images[index] for index in self._images))
        return read_case(case, self.labels.count, self.plan.spacing, intensities, self._order, ct=self._in_hu)

    def _read_new(self, files: CaseFiles) -> Case:
        """A case to predict on, which has to be of the kind of the training's."""
        case = self._read(files)
        check_skull([(files.images[0], case.bone)], self._state.get("skull"))
        return case

    def _intensities(self, train: Sequence[CaseFiles]) -> Sequence[Intensities | None]:
        if self.window is None:
            return measure(train, self.labels.count, ignore=self.ignore)
        channels = len(self.files.channels)
        return [None if isinstance(self.window, str) else Intensities.window(*self.window)] * channels

    def _labelled(self, train: list[CaseFiles]) -> list[CaseFiles]:
        """Cases of the share of patients whose masks are used."""
        if self.labelled == 1:
            return train
        patients = sorted({self._patient_of(case) for case in train})
        order = np.random.default_rng(self.seed).permutation(len(patients))
        used = {patients[index] for index in order[: max(1, round(self.labelled * len(patients)))]}
        return [case for case in train if self._patient_of(case) in used]

    def _batch(self, case: CaseFiles) -> dict[str, Any]:
        return CaseBatches([self._read(case)]).batch(torch.tensor(0), 0)

    @functools.cached_property
    def _alike(self) -> dict[str, str]:
        """Patients of slices whose names do not say them; where all are tested, each may stand for itself."""
        cases = [*self.files.train, *self.files.test, *self.files.other]
        if (said := listed(self.root, cases)) is not None:
            return said
        try:
            return alike(cases, self.root)
        except ValueError:
            if self._seen is None:
                raise
            return {case.id: case.id for case in cases}

    def _patient_of(self, case: CaseFiles) -> str:
        if self.patient is None:
            return self._alike[case.id]
        found = self.patient.fullmatch(case.id)
        if found is None:
            raise ValueError(f"datamodule.patient={self.patient.pattern!r} does not match the case {case.id}")
        return found.group(1)

    def _folds(self) -> set[str]:
        """Patients of the validation fold."""
        patients = sorted({self._patient_of(case) for case in self.files.train})
        self._tell_patients(len(patients))
        if len(patients) < self.folds:
            raise ValueError(
                f"{self.root}: {len(patients)} patients make no {self.folds} folds; set datamodule.folds lower"
            )
        both = set(map(self._patient_of, self.files.train)) & set(map(self._patient_of, self.files.test))
        if both:
            raise ValueError(f"{self.root}: patient {sorted(both)[0]} stands in imagesTr and in imagesTs")
        return held_out(patients, self.fold, self.folds)

    def _tell_patients(self, count: int) -> None:
        """That every picture counts as a patient, where names look as if several were of one."""
        names, alone = [case.id for case in self.files.train], self.patient is not None
        pattern = several_of_one_name(names)
        if pattern and alone and count == len(names) and is_picture(self.files.train[0].images[0]):
            log.warning(
                "%s: every picture counts as a patient of its own; if names such as %s are of a patient's slices, set "
                "datamodule.patient='%s'",
                self.root, names[0], pattern,
            )  # fmt: skip
