"""A cohort with CT, MR, histology, clinical columns and gene expression, any of which may be missing."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from medzoo.datamodules.base import BaseDataModule
from medzoo.datamodules.batches import Augmentation, BatchOptions, Ranks
from medzoo.datamodules.liver.batches import CohortBatches, outcomes_of
from medzoo.datamodules.liver.columns import Columns
from medzoo.datamodules.liver.images import Around, ImageSizes
from medzoo.datamodules.liver.preprocessing import fit_tables, scaled_table
from medzoo.datamodules.liver.records import IMAGES, MODALITIES, Outcome, Patient, read_patients
from medzoo.datamodules.liver.splits import check_tested, chosen_by_scanner, drop_modalities, split_patients
from medzoo.datamodules.liver.stored import read_images
from medzoo.datamodules.outcomes import check_predictors
from medzoo.datamodules.phantoms.liver import LiverPhantom
from medzoo.datamodules.seen import SPLITS, matched
from medzoo.datamodules.splits import few
from medzoo.datamodules.store import Store

__all__ = ["LiverCohortDataModule"]

log = logging.getLogger(__name__)


class LiverCohortDataModule(BaseDataModule):
    """Patients in the general layout (`datamodules/liver/records.py`), given as `CohortBatches`.

    Images are read into the store once, as uint8. Imputation, scales and the choice of genes are fitted on the
    training patients only and kept in the checkpoint.

    Args:
        root: Folder of the cohort; of a phantom, the folder that holds its cohort.
        clinical: Clinical columns with [lowest, highest] or {word: number}.
        label: Column of the class; null for survival alone, where splits are stratified by the event.
        class_names: Classes in order.
        months: Column of the months to death or end of follow-up.
        event: Column that is 1 if the patient has died.
        logarithm: Clinical columns transformed by log10(x + 1).
        known_before: Clinical columns that are known before the outcome although their names look like it, or their
            values give it away in the training patients; all other such columns are refused.
        use: Modalities that batches hold, null for all.
        missing_rate: Share of modalities to drop, the same in every run with this `split_seed`; a higher rate drops all
            that a lower one drops. No patient loses the last one.
        spatial_size: Voxels z, y, x of CT and MR, each of `spacing_mm`.
        around: Centre of their crop: `image`, `liver` or `lesion`, the largest of label 2. Without a lesion the liver
            is used, without a liver the middle of the image.
        hu_window: HU that become 0 and 1.
        tiles: Tiles in a bag, each of `tile_size` pixels squared.
        macenko: Whether to normalise the stains of tiles.
        genes: Number of the most variable genes, or their names.
        val_share: Share of the patients for validation, if the table has no column `split`; `test_share` likewise.
        split_seed: Seed of the split, independent of the seed of training.
        test_sites: Sites (column `site`) whose patients are the test, instead of a share of all: nothing is fitted to
            them. Validation patients are then `val_share` of the others.
        train_scanners: Scanners of the patients for training and validation; null for all.
        test_scanners: Scanners of the patients for the test; null for all.
        batch_size: Patients in a batch.
        augment: Augments training volumes in [0, 1]; `augment_tiles` augments tiles.
        phantom: Written to `root` if it is missing.
        seed: Seed of order and augmentation.

    Raises:
        ValueError: If an argument is out of range, a clinical column leaks the outcome, or there is neither a class nor
            survival to learn.
    """

    layout = "datamodule.root to a cohort with patients.csv"
    task = "binary"

    def __init__(
        self,
        root: str | Path,
        *,
        clinical: Mapping[str, list[float] | dict[str, float]],
        label: str | None = "label",
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
        test_sites: Sequence[str] = (),
        train_scanners: Sequence[str] | None = None,
        test_scanners: Sequence[str] | None = None,
        batch_size: int = 16,
        augment: Augmentation | None = None,
        augment_tiles: Augmentation | None = None,
        phantom: LiverPhantom | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(root, phantom)
        if label is None:
            if not (months and event):
                raise ValueError("label=null is survival alone: give the columns months and event")
            label, class_names = event, ("no event", "event")
        check_predictors(clinical, (label, months, event), known=known_before)
        self.columns = Columns(dict(clinical), tuple(logarithm), tuple(known_before))
        self.num_clinical = 2 * len(clinical)
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
            raise ValueError(
                "spatial_size and spacing_mm have three values (z, y, x); hu_window=[a, b] needs a below b; "
                "batch_size must be positive"
            )
        self.modalities = tuple(name for name in MODALITIES if use is None or name in use)
        self.class_names, self.missing_rate, self.split_seed = list(class_names), missing_rate, split_seed
        window = tuple(hu_window)
        self.sizes = ImageSizes(tuple(spatial_size), tuple(spacing_mm), window, tiles, tile_size, macenko, around)
        self.spatial_size, self.image_shape = list(spatial_size), self.sizes.shape("ct")
        self.genes, self.num_genes = genes, genes if isinstance(genes, int) else len(genes)
        self.shares = {"val": val_share, "test": test_share}
        self.test_sites = list(test_sites)
        self.scanners = {"train": train_scanners, "val": train_scanners, "test": test_scanners}
        self.augment = {"ct": augment, "mr": augment, "histology": augment_tiles}
        self.batch_size, self.seed = batch_size, seed
        self._data: dict[str, dict[str, Any]] = {}

    @property
    def in_channels(self) -> dict[str, int]:  # type: ignore[override]
        """Channels of each image modality."""
        return {name: count for name, count in IMAGES.items() if name in self.modalities}

    @property
    def clinical_names(self) -> list[str]:
        """Names of the columns, then of the flags for missing values."""
        return [*self.columns.names, *(f"{name}_missing" for name in self.columns.names)]

    @property
    def gene_names(self) -> list[str]:
        """The named genes, or those chosen on the training patients."""
        if "genes" in self._state:
            return list(self._state["genes"]["names"])
        if isinstance(self.genes, int):
            raise ValueError("the genes that vary most are known when the training patients have been read: setup()")
        return list(self.genes)

    def setup(self, stage: str | None = None) -> None:
        """Read all patients, and their images into the store, once; prediction needs none of them."""
        if stage == "predict" or self._items:
            return
        patients, genes = read_patients(self.root, self.columns, self.outcome)
        usable = {one.id: one for one in patients if one.label >= 0 and one.has_any(self.modalities)}
        if left := len(patients) - len(usable):
            names = ", ".join(self.modalities)
            log.warning("%s: %d patients left out, without a label or any of %s", self.root, left, names)
        splits = self._split(usable)
        if not self._state:
            scanners = sorted({patient.scanner for patient in patients} - {""})
            inputs = {"modalities": list(self.modalities), **self.columns.meaning()}
            learnt = fit_tables(splits["train"], self.modalities, self.columns, genes, self.genes, self.root)
            self._state = {"scanners": scanners, "inputs": inputs, **learnt}
        if stage == "rehearse":
            splits = {name: _few(patients) for name, patients in splits.items()}
        self._data = {name: self._read(patients, genes, self.store) for name, patients in splits.items() if patients}
        self._items = splits

    def table(self, split: str) -> dict[str, Any]:
        """The data of the patients of a split without their images.

        Returns:
            `id`, a list of N names, and arrays: `present` (N, M), `label`, `time`, `event` (N,), and if used `clinical`
            (N, K) and `genomics` (N, G), as in batches.
        """
        data = self._data[split]
        tables = {name: values for name, values in data["modalities"].items() if name not in IMAGES}
        return {"id": data["ids"], **{name: value.numpy() for name, value in {**data["beside"], **tables}.items()}}

    def true_log_odds(self, ids: Sequence[str], present: np.ndarray) -> np.ndarray:
        """The true log-odds (N,) of the last class for patients of a phantom: the best possible score.

        Args:
            ids: N patients.
            present: (N, M) bool, which of the used modalities are known.
        """
        if not isinstance(self.maker, LiverPhantom):
            raise ValueError("the truth is known for phantoms only")
        return self.maker.log_odds(self.root, ids, present, self.modalities)

    def loader(self, split: str, *, training: bool = False, **ranks: Unpack[Ranks]) -> CohortBatches:
        """Batches of a split; see `BaseDataModule`."""
        augment = self.augment if training else None
        options: BatchOptions = {"batch_size": self.batch_size, "seed": self.seed, **self.ranks, **ranks}
        return CohortBatches(**self._data[split], augment=augment, shuffle=training, **options)

    def empty_batch(self) -> dict[str, Any]:
        """Zeros of the shapes and types of a training batch with all modalities; see `CohortBatches`."""
        count, tables = self.batch_size, {"clinical": (self.num_clinical,), "genomics": (self.num_genes,)}
        shapes = {name: tables.get(name) or self.sizes.shape(name) for name in self.modalities}
        return {
            **{name: torch.zeros(count, *shape) for name, shape in shapes.items()},
            "present": torch.ones(count, len(shapes)).bool(),
            "label": torch.arange(count) % self.num_classes,
            "time": torch.zeros(count),
            "event": torch.zeros(count).bool(),
            "scanner": torch.zeros(count).long(),
            "id": [""] * count,
        }

    def set_predict_input(self, path: str | Path) -> None:
        """Read patients to predict from a folder in the general layout; label, time and event may be missing."""
        self._predicting = True
        patients, genes = read_patients(Path(path), self.columns, self.outcome)
        usable = [patient for patient in patients if patient.has_any(self.modalities)]
        if not usable:
            raise ValueError(f"{path}: no patient has any of {', '.join(self.modalities)}")
        self._data["predict"] = self._read(usable, genes)

    def predict_dataloader(self) -> CohortBatches:
        """The patients that `set_predict_input` read, in their order."""
        if "predict" not in self._data:
            raise ValueError("nothing to predict: call set_predict_input(path) first")
        return self.loader("predict")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load `state_dict`, so that new patients are read as the training patients were.

        Columns and modalities in another order are matched.

        Raises:
            ValueError: If columns or modalities differ from those of the training.
        """
        super().load_state_dict(state_dict)
        if inputs := state_dict.get("inputs"):
            matched(self.modalities, inputs["modalities"], "modalities")
            if "clinical" in self.modalities:
                self.columns = self.columns.matched(inputs)

    def use_classes(self, names: Sequence[str]) -> None:
        """Map labels to the classes of a model; see `BaseDataModule`."""
        self.outcome = replace(self.outcome, order=tuple(matched(self.class_names, names, "classes")))
        self.class_names = list(names)

    def _split(self, patients: Mapping[str, Patient]) -> dict[str, list[Patient]]:
        """Split by the table or at random, or for the test of a checkpoint."""
        of_files = self.marks_of({name: patient.telling for name, patient in patients.items()})
        marks = {name: patient.marks(of_files[name]) for name, patient in patients.items()}
        how = self.shares, self.split_seed, self.scanners, self.class_names, self.test_sites
        splits = self.divide(marks, lambda: split_patients(patients, self.root, *how), self.root)
        if self._seen:
            splits |= chosen_by_scanner({"test": splits["test"]}, patients, self.scanners, self.root)
            check_tested([patients[name] for name in splits["test"]], self.class_names, self.root)
        return {name: [patients[one] for one in splits[name]] for name in SPLITS}

    def _read(self, patients: Sequence[Patient], genes: Sequence[str], store: Store | None = None) -> dict[str, Any]:
        present = drop_modalities(patients, self.modalities, self.missing_rate, self.split_seed)
        modalities = {
            name: read_images(patients, there, name, self.sizes, store)
            if name in IMAGES
            else scaled_table(patients, there, name, self._state, genes)
            for name, there in zip(self.modalities, present.T, strict=True)
        }
        beside = {"present": torch.from_numpy(present), **outcomes_of(patients, self._state["scanners"])}
        return {"modalities": modalities, "beside": beside, "ids": [patient.id for patient in patients]}


def _few(patients: Sequence[Patient]) -> list[Patient]:
    """Two patients to rehearse with, of two classes and with as many modalities as can be."""
    return few(sorted(patients, key=lambda one: -sum(one.has.values())), lambda one: one.label)
