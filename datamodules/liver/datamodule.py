"""A cohort with CT, MR, histology, clinical columns and gene expression, any of which a patient may lack."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from datamodules.base import BaseDataModule
from datamodules.batches import Augmentation
from datamodules.liver.batches import CohortBatches
from datamodules.liver.columns import Columns
from datamodules.liver.matching import inputs_of, marks_of, match_inputs
from datamodules.liver.preprocessing import ClinicalPreparation, GenePreparation
from datamodules.liver.reading import ImageSizes, read_images, stack_tables
from datamodules.liver.records import MODALITIES, Outcome, Patient, read_patients
from datamodules.liver.splits import chosen_by_scanner, drop_modalities, split_patients
from datamodules.liver.volumes import Around
from datamodules.outcomes import check_predictors, check_telling
from datamodules.phantoms.liver import LiverPhantom
from datamodules.seen import SPLITS, matched

__all__ = ["LiverCohortDataModule"]

log = logging.getLogger(__name__)


class LiverCohortDataModule(BaseDataModule):
    """Patients in the general layout (`datamodules/liver/records.py`), given as `CohortBatches`.

    All images are read into memory once, as uint8. Filling of gaps, scales and the choice of genes are learnt from the
    training patients alone and kept in the checkpoint.

    Args:
        root: Folder of the cohort; of a phantom, the folder that holds its cohort.
        clinical: Clinical columns with [lowest, highest] or {word: number}.
        label: Column of the class.
        class_names: In order.
        months: Column of the time to death or end of follow-up.
        event: Column of 1 for dead.
        logarithm: Clinical columns of which log10(x + 1) is taken.
        known_before: Clinical columns that are known before the outcome although they are called like it, or tell it
            of nearly every training patient; all other such columns are refused.
        use: Modalities that batches hold, null for all.
        missing_rate: Share of what patients have that is taken away, the same in every run with this `split_seed`; what
            a lower rate takes away a higher takes too. Nobody loses the last of `use`.
        spatial_size: Voxels z, y, x of CT and MR.
        spacing_mm: Of a voxel, z, y, x.
        around: What they are cut around: `image`, `liver` or `lesion`, the largest of the label 2. Where that is not
            labelled, the liver is taken, then the middle of the image.
        hu_window: HU that become 0 and 1.
        tiles: In a bag.
        tile_size: Edge of a tile in pixels.
        macenko: Whether the stains of tiles are normalised.
        genes: How many of the genes that vary most, or which.
        val_share: Of the patients, where the table has no column `split`.
        test_share: Likewise.
        split_seed: Of the split, apart from the seed of training.
        train_scanners: Scanners whose patients are trained on and chosen by; null for all.
        test_scanners: Scanners whose patients are tested on; null for all.
        batch_size: Patients.
        augment: Augments training volumes in [0, 1].
        augment_tiles: Likewise tiles.
        phantom: Written to `root` where it is missing.
        seed: Of order and augmentation.

    Raises:
        ValueError: If an argument is out of range, or a clinical column tells the outcome.
    """

    layout = "datamodule.root to a cohort with patients.csv"
    task = "binary"

    def __init__(
        self,
        root: str | Path,
        *,
        clinical: Mapping[str, list[float] | dict[str, float]],
        label: str = "label",
        class_names: Sequence[str] = ("no", "yes"),
        months: str | None = None,
        event: str | None = None,
        logarithm: Sequence[str] = (),
        known_before: Sequence[str] = (),
        use: Sequence[str] | None = None,
        missing_rate: float = 0.0,
        spatial_size: Sequence[int] = (32, 64, 64),
        spacing_mm: Sequence[float] = (5.0, 5.5, 5.5),
        around: Around = "liver",
        hu_window: Sequence[float] = (-160.0, 240.0),
        tiles: int = 8,
        tile_size: int = 64,
        macenko: bool = False,
        genes: int | list[str] = 64,
        val_share: float = 0.15,
        test_share: float = 0.25,
        split_seed: int = 0,
        train_scanners: Sequence[str] | None = None,
        test_scanners: Sequence[str] | None = None,
        batch_size: int = 16,
        augment: Augmentation | None = None,
        augment_tiles: Augmentation | None = None,
        phantom: LiverPhantom | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(root, phantom)
        self.columns = Columns(dict(clinical), tuple(logarithm), tuple(known_before))
        check_predictors(self.columns.names, (label, months, event), known=known_before)
        self.outcome = Outcome(label, tuple(class_names), months, event)
        unknown = set(use or ()) - set(MODALITIES)
        if unknown or (use is not None and not use):
            raise ValueError(f"use={list(use or ())}: choose at least one of {', '.join(MODALITIES)}")
        if not 0 <= missing_rate < 1 or val_share <= 0 or test_share <= 0 or val_share + test_share >= 1:
            raise ValueError(
                f"missing_rate={missing_rate} must be a share below 1, val_share={val_share} and "
                f"test_share={test_share} positive and together below 1"
            )
        if len(spatial_size) != 3 or len(spacing_mm) != 3 or hu_window[0] >= hu_window[1] or batch_size < 1:
            raise ValueError("spatial_size and spacing_mm are z, y, x; hu_window rises; batch_size is positive")
        self.use = tuple(name for name in MODALITIES if use is None or name in use)
        self.missing_rate, self.split_seed = missing_rate, split_seed
        self.sizes = ImageSizes(
            tuple(spatial_size), tuple(spacing_mm), tuple(hu_window), tiles, tile_size, macenko, around
        )
        self.genes, self.shares = genes, {"val": val_share, "test": test_share}
        self.scanners = {"train": train_scanners, "val": train_scanners, "test": test_scanners}
        self.augment = {"ct": augment, "mr": augment, "histology": augment_tiles}
        self.batch_size, self.seed = batch_size, seed
        self._patients: dict[str, list[Patient]] = {}
        self._batches: dict[str, CohortBatches] = {}
        self._order: list[int] | None = None
        self._known_classes: list[str] = []

    @property
    def modalities(self) -> tuple[str, ...]:
        """In the order of `present`."""
        return self.use

    @property
    def class_names(self) -> list[str]:
        """In order of the label."""
        return self._known_classes or list(self.outcome.class_names)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.outcome.class_names)

    @property
    def in_channels(self) -> dict[str, int]:
        """Of the modalities that are images."""
        return {name: count for name, count in {"ct": 1, "mr": 2, "histology": 3}.items() if name in self.use}

    @property
    def spatial_dims(self) -> int:
        """CT and MR are volumes."""
        return 3

    @property
    def spatial_size(self) -> list[int]:
        """Voxels z, y, x of CT and MR."""
        return list(self.sizes.size)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(C, D, H, W) of the CT."""
        return (1, *self.spatial_size)

    @property
    def clinical_names(self) -> list[str]:
        """Columns, then which of them were missing."""
        return [*self.columns.names, *(f"{name}_missing" for name in self.columns.names)]

    @property
    def num_clinical(self) -> int:
        """How many there are."""
        return len(self.clinical_names)

    @property
    def gene_names(self) -> list[str]:
        """Those that are named, or that the training patients chose."""
        if "genes" in self._state:
            return list(self._state["genes"]["names"])
        if isinstance(self.genes, int):
            raise ValueError("the genes that vary most are known when the training patients have been read: setup()")
        return list(self.genes)

    @property
    def num_genes(self) -> int:
        """How many there are."""
        return self.genes if isinstance(self.genes, int) else len(self.genes)

    @property
    def split(self) -> dict[str, list[str]]:
        """Ids of every split."""
        return {name: [patient.id for patient in patients] for name, patients in self._patients.items()}

    def setup(self, stage: str | None = None) -> None:
        """Read all patients, once; prediction needs none of them."""
        if stage == "predict" or self._patients:
            return
        patients, genes = self._read_tables(self.root)
        usable = [patient for patient in patients if patient.label >= 0 and any(map(patient.has.get, self.use))]
        if len(usable) < len(patients):
            log.warning(
                "%s: %d patients left out, without a label or any of %s",
                self.root, len(patients) - len(usable), ", ".join(self.use),
            )  # fmt: skip
        splits = self._split(usable)
        if not self._state:
            self._state = {
                "scanners": sorted({patient.scanner for patient in patients} - {""}),
                "inputs": inputs_of(self.columns, self.use),
            }
            self._state |= self._fit(splits["train"], genes)
        self._batches = {name: self._read(splits[name], genes) for name in SPLITS if splits[name]}
        self._patients = splits

    def table(self, split: str) -> dict[str, Any]:
        """What is known of the patients of a split beside their images.

        Returns:
            `id`, a list of N names, and arrays: `present` (N, M), `label`, `time`, `event` (N,), and of those that are
            used `clinical` (N, K) and `genomics` (N, G), as batches hold them.
        """
        batches = self._batches[split]
        tables = {name: values for name, values in batches.modalities.items() if name in ("clinical", "genomics")}
        return {
            "id": list(batches.ids),
            **{name: value.numpy() for name, value in {**batches.beside, **tables}.items()},
        }

    def true_log_odds(self, ids: Sequence[str], present: np.ndarray) -> np.ndarray:
        """Of a phantom, the log-odds of the last class given some modalities: the best score that there is.

        Args:
            ids: N patients.
            present: (N, M) bool, of the modalities that are used.

        Returns:
            (N,)
        """
        if not isinstance(self.maker, LiverPhantom):
            raise ValueError("only of a phantom the truth is known")
        return self.maker.log_odds(self.root, ids, present, self.use)

    def train_dataloader(self) -> CohortBatches:
        """Shuffled, augmented batches."""
        return self._loader(self._batches["train"], shuffle=True, augment=self.augment)

    def val_dataloader(self) -> CohortBatches:
        """Every validation patient once, in order."""
        return self._loader(self._batches["val"])

    def test_dataloader(self) -> CohortBatches:
        """Every test patient once, in order."""
        return self._loader(self._batches["test"])

    def ordered_dataloader(self, split: str) -> CohortBatches:
        """Every patient of a split once, in order, on every process: to fit something on them."""
        data = self._batches[split]
        return CohortBatches(data.modalities, data.beside, data.ids, batch_size=self.batch_size)

    def set_predict_input(self, path: str | Path) -> None:
        """Read whom to predict on.

        Args:
            path: A folder in the general layout; label, time and event may be missing.
        """
        self._predicting = True
        patients, genes = self._read_tables(Path(path))
        usable = [patient for patient in patients if any(map(patient.has.get, self.use))]
        if not usable:
            raise ValueError(f"{path}: no patient has any of {', '.join(self.use)}")
        self._batches["predict"] = self._read(usable, genes)

    def predict_dataloader(self) -> CohortBatches:
        """The patients that `set_predict_input` read, in their order."""
        if "predict" not in self._batches:
            raise ValueError("nothing to predict on: call set_predict_input(path) first")
        return self._loader(self._batches["predict"])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over `state_dict`, so that new patients are read as those of the training were.

        Raises:
            ValueError: If columns or modalities are not those of the training; in another order they are matched.
        """
        super().load_state_dict(state_dict)
        if "inputs" in state_dict:
            self.columns = match_inputs(self.columns, self.use, state_dict["inputs"])

    def use_classes(self, names: Sequence[str]) -> None:
        """Let labels mean the classes of a model; see `BaseDataModule`."""
        self._order = matched(self.class_names, names, "classes")
        self._known_classes = list(names)

    def _read_tables(self, root: Path) -> tuple[list[Patient], tuple[str, ...]]:
        """Patients, labelled as the classes of the model stand, and the names of genes."""
        patients, genes = read_patients(root, self.columns, self.outcome)
        order = dict(enumerate(self._order or ()))
        return [replace(patient, label=order.get(patient.label, patient.label)) for patient in patients], genes

    def _split(self, patients: Sequence[Patient]) -> dict[str, list[Patient]]:
        """By the table or at random, or of a checkpoint's test."""
        by_name = {patient.id: patient for patient in patients}
        found: dict[str, list[Patient]] = {}

        def rule() -> dict[str, list[str]]:
            how = self.shares, self.split_seed, self.scanners, self.class_names
            found.update(split_patients(patients, self.root, *how))
            return {name: [patient.id for patient in each] for name, each in found.items()}

        splits = self.divide({name: marks_of(patient) for name, patient in by_name.items()}, rule, self.root)
        if self._seen is None:
            return found
        splits["test"] = chosen_by_scanner(splits["test"], by_name, self.scanners["test"], self.root)
        for number, said in enumerate(self.class_names):
            if not any(by_name[name].label == number for name in splits["test"]):
                raise ValueError(f"{self.root}: no test patient of class {said}; give at least one of each")
        return {name: [by_name[one] for one in each] for name, each in splits.items()}

    def _fit(self, train: Sequence[Patient], genes: Sequence[str]) -> dict[str, Any]:
        state: dict[str, Any] = {}
        if "clinical" in self.use:
            rows = np.stack([patient.clinical for patient in train if patient.has["clinical"]])
            label, months = (
                np.array([getattr(patient, name) for patient in train if patient.has["clinical"]])
                for name in ("label", "months")
            )
            check_telling(rows, self.columns.names, label, months, known=self.columns.known_before)
            state["clinical"] = ClinicalPreparation.fit(rows, self.columns.names).state()
        if "genomics" in self.use:
            measured = [patient.genes for patient in train if patient.genes is not None]
            if not measured:
                raise ValueError(f"{self.root}: no training patient stands in genomics.tsv; leave genomics out of use")
            state["genes"] = GenePreparation.fit(np.stack(measured), genes, self.genes).state()
        return state

    def _read(self, patients: Sequence[Patient], genes: Sequence[str]) -> CohortBatches:
        present = drop_modalities(patients, self.use, self.missing_rate, self.split_seed)
        tensors = {
            name: self._table(patients, present[:, number], name, genes)
            if name in ("clinical", "genomics")
            else read_images(patients, present[:, number], name, self.sizes)
            for number, name in enumerate(self.use)
        }
        scanners = {name: number for number, name in enumerate(self._state["scanners"])}
        beside = {
            "present": torch.from_numpy(present),
            "label": torch.tensor([patient.label for patient in patients], dtype=torch.int64),
            "time": torch.tensor([patient.months for patient in patients], dtype=torch.float32),
            "event": torch.tensor([patient.event for patient in patients], dtype=torch.bool),
            "scanner": torch.tensor([scanners.get(patient.scanner, -1) for patient in patients]),
        }
        return CohortBatches(tensors, beside, [patient.id for patient in patients], batch_size=self.batch_size)

    def _table(self, patients: Sequence[Patient], present: np.ndarray, name: str, genes: Sequence[str]) -> Tensor:
        """(N, K) or (N, G) float32, 0 where it is missing."""
        if name == "clinical":
            rows = stack_tables([patient.clinical for patient in patients], present, len(self.columns.names))
            values = ClinicalPreparation.load(self._state["clinical"])(rows)
        else:
            rows = stack_tables([patient.genes for patient in patients], present, len(genes))
            values = GenePreparation.load(self._state["genes"])(rows, genes)
        return torch.from_numpy(np.where(present[:, None], values, 0).astype(np.float32))

    def _loader(self, data: CohortBatches, **options: Any) -> CohortBatches:
        return CohortBatches(
            data.modalities, data.beside, data.ids, batch_size=self.batch_size, seed=self.seed, **self.ranks, **options
        )
