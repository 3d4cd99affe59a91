"""Classification of images that are held in memory."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from medzoo.datamodules.base import BaseDataModule
from medzoo.datamodules.batches import Augmentation, Ranks, TensorBatches
from medzoo.datamodules.phantoms.phantom import Phantom
from medzoo.datamodules.radiomics import (
    FeatureScaler,
    RadiomicsSettings,
    choose_mask,
    extract,
    extract_cached,
    feature_names,
    to_grey,
)
from medzoo.datamodules.radiomics.masks import make_masks
from medzoo.datamodules.readers import read_images
from medzoo.datamodules.seen import mark, matched
from medzoo.datamodules.store import StoredRows

__all__ = ["Images", "InMemoryDataModule", "Split", "Task", "chosen_of", "joined"]

log = logging.getLogger(__name__)

Task = Literal["binary", "multiclass", "ordinal", "multilabel"]
Images = np.ndarray | StoredRows
"""(N, C, *spatial) uint8, in memory or in the store."""
Split = tuple[Images, np.ndarray, list[str]]
"""Images, labels (N,) int64 or (N, L) float32, N ids."""


class InMemoryDataModule(BaseDataModule):
    """Batches of `{"image": (B, C, *spatial) float32, "label": (B,) int64 or (B, L) float32, "id": list[str]}`.

    Images are kept as uint8, in memory or in the store; batches hold (x / 255 - mean) / std. Subclasses implement
    `read` and `read_shape`, and `fetch` where something has to be downloaded or made.

    Args:
        source: The file or folder of the images; of a phantom, the folder that holds it.
        phantom: Written below `source` where it is missing.
        task: Kind of the labels.
        class_names: Name of each class (or of each label for `multilabel`), in order.
        batch_size: Images in a batch of one device.
        augment: Augments training batches, images in [0, 1].
        mean: Mean intensity, in units of full scale.
        std: Standard deviation of the intensity, in units of full scale.
        shuffle: Whether each training epoch has its own order.
        balanced: Whether every training batch holds as many images of each class.
        drop_last: Whether training drops a last batch that is not full: few images make poor batch statistics.
        seed: Seed of order and augmentation.
        radiomics: Settings of hand-crafted radiomics. Batches then hold `hcr` (B, F) float32, computed before
            augmentation, not standardised, NaN where a feature is undefined. `mask=auto` is settled by validation
            (`radiomics/choice.py`) before any are kept; the choice goes into the checkpoint.
        give_mask: Whether batches also hold the masks of the radiomics, as `mask` (B, 1, *spatial) bool.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        phantom: Phantom | None = None,
        task: Task,
        class_names: Sequence[str],
        batch_size: int = 128,
        augment: Augmentation | None = None,
        mean: float = 0.5,
        std: float = 0.5,
        shuffle: bool = True,
        drop_last: bool = False,
        balanced: bool = False,
        seed: int = 0,
        radiomics: RadiomicsSettings | None = None,
        give_mask: bool = False,
    ) -> None:
        super().__init__(source, phantom)
        if give_mask and (radiomics is None or augment is not None):
            told = "needs datamodule/radiomics, whose masks they are, and datamodule/augment=null"
            raise ValueError(f"give_mask=true {told}")
        if task == "binary" and len(class_names) != 2:
            raise ValueError(f"task=binary has two classes, but class_names are {list(class_names)}")
        if batch_size < 1 or std <= 0:
            raise ValueError(f"batch_size={batch_size} and std={std} must be positive")
        self.task, self.class_names = task, list(class_names)
        self.batch_size, self.augment, self.mean, self.std = batch_size, augment, mean, std
        self.shuffle, self.drop_last, self.balanced, self.seed = shuffle, drop_last, balanced, seed
        if task == "multilabel" and radiomics and radiomics.mask == "auto":
            raise ValueError("radiomics.mask=auto needs one label for each image, and these have several: name a mask")
        self.radiomics, self.give_mask = radiomics, give_mask
        self.mask_choice: list[dict[str, Any]] = []
        """Masks of the radiomics that `auto` compared, the best first; empty if the mask was named."""
        self._data: dict[str, dict[str, Any]] = {}
        self._image_shape: tuple[int, ...] | None = None
        self._predict_input: dict[str, Any] | None = None
        self._order: list[int] | None = None

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape (C, *spatial) of one image, read if it is not known yet."""
        if self._image_shape is None:
            self._image_shape = self.read_shape()
        return self._image_shape

    @property
    def image_size(self) -> list[int]:
        """Edges of an image in pixels, without channels."""
        return list(self.image_shape[1:])

    @property
    def hcr_names(self) -> list[str]:
        """Names of the hand-crafted radiomics; empty if batches hold none."""
        return feature_names(self.radiomics, self.spatial_dims, self.in_channels) if self.radiomics else []

    @property
    def hcr_features(self) -> int:
        """Number of hand-crafted radiomics."""
        return len(self.hcr_names)

    def hcr_scaler(self) -> FeatureScaler:
        """Scaler of the radiomics, fitted on the training images."""
        return FeatureScaler.fit(self._data["train"]["beside"]["hcr"].numpy(), self.hcr_names)

    @property
    def split(self) -> dict[str, list[str]]:
        """Ids of every split."""
        return {name: data["ids"] for name, data in self._data.items()}

    def read(self) -> dict[str, Split]:
        """Read `train`, `val` and `test`."""
        raise NotImplementedError

    def read_shape(self) -> tuple[int, ...]:
        """Shape (C, *spatial) of an image, without reading all images."""
        raise NotImplementedError

    def setup(self, stage: str | None = None) -> None:
        """Read all splits, once; prediction needs none of them."""
        if stage == "predict" or self._data:
            return
        read = self.read()
        self._settle_mask(read)
        for name, (images, labels, ids) in read.items():
            beside = self._described(images, name) if ids else {}
            self._data[name] = _tensors(images, ids, beside, torch.from_numpy(self._in_order(labels)))
        self._image_shape = tuple(self._data["test"]["images"].shape[1:])
        self._check_classes()
        self._report_duplicates()

    def empty_batch(self) -> dict[str, Any]:
        """Zeros of the shapes and types of a training batch, and labels of all classes; see the class."""
        count = self.batch_size
        label = torch.arange(count) % self.num_classes
        label = torch.zeros(count, self.num_classes) if self.task == "multilabel" else label
        batch = {"image": torch.zeros(count, *self.image_shape), "label": label, "id": [""] * count}
        batch |= {"hcr": torch.zeros(count, self.hcr_features)} if self.radiomics else {}
        return batch | ({"mask": torch.zeros(count, 1, *self.image_size).bool()} if self.give_mask else {})

    def plain(self, split: str) -> Iterator[dict[str, Any]]:
        """Batches of `ordered_dataloader` with images in [0, 1], for figures."""
        for batch in self.ordered_dataloader(split):
            yield {**batch, "image": batch["image"] * self.std + self.mean}

    def set_predict_input(self, path: str | Path) -> None:
        """Read images to predict (`datamodules/readers.py`), with the size and channels of the training images."""
        ids, images = read_images(Path(path), self.image_shape, below=True)
        self._predict_on(ids, images)

    def _predict_on(self, ids: list[str], images: np.ndarray) -> None:
        self._predicting = True
        self._predict_input = _tensors(images, ids, self._described(images))

    def predict_dataloader(self) -> TensorBatches:
        """The images read by `set_predict_input`, in order."""
        if self._predict_input is None:
            raise ValueError("nothing to predict: call set_predict_input(path) first")
        return self._batches(self._predict_input)

    def state_dict(self) -> dict[str, Any]:
        """What prediction needs from the training data; saved in every checkpoint."""
        state = {"image_shape": list(self.image_shape), "hcr_names": self.hcr_names}
        return state | ({"mask": self.radiomics.mask, "mask_choice": self.mask_choice} if self.radiomics else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load `state_dict`, so that images can be read without the training file.

        Raises:
            ValueError: If the radiomics differ from those of the training.
        """
        self._image_shape = tuple(state_dict["image_shape"])
        mask, self.mask_choice = state_dict.get("mask"), list(state_dict.get("mask_choice", []))
        if self.radiomics and mask:
            if self.radiomics.mask not in ("auto", mask):
                raise ValueError(
                    f"the model was trained on radiomics inside {mask}, not {self.radiomics.mask}: leave "
                    "datamodule.radiomics.mask as it was in the training"
                )
            self.radiomics = replace(self.radiomics, mask=mask)
        known = state_dict.get("hcr_names", self.hcr_names)
        if known and list(known) != self.hcr_names:
            raise ValueError(
                f"the model knows {len(known)} radiomics ({', '.join(known[:3])}, ...), the data give "
                f"{len(self.hcr_names)} others: leave datamodule.radiomics as it was in the training"
            )

    def use_classes(self, names: Sequence[str]) -> None:
        """Map labels to the classes of a model; see `BaseDataModule`."""
        self._order = matched(self.class_names, names, "classes")
        self.class_names = list(names)

    def _in_order(self, labels: np.ndarray) -> np.ndarray:
        """Labels (N,) or (N, L) in the order of the model's classes."""
        if self._order is None:
            return labels
        return labels[:, np.argsort(self._order)] if labels.ndim == 2 else np.asarray(self._order)[labels]

    def divided(
        self,
        given: dict[str, Split],
        patient_of: Callable[[str], str],
        check: Callable[[dict[str, Split]], None] = lambda _: None,
    ) -> dict[str, Split]:
        """The splits as read, or divided for the test of a checkpoint; see `BaseDataModule.divide`.

        `patient_of` gives the patient of an id. `check` is applied to the data of a training only.
        """
        marks: dict[str, list[int]] = {}
        for images, _, ids in given.values():
            for number, name in zip(_marks(images), ids, strict=True):
                marks.setdefault(patient_of(name), []).append(number)

        def rule() -> dict[str, list[str]]:
            check(given)
            return {name: list(dict.fromkeys(map(patient_of, ids))) for name, (*_, ids) in given.items()}

        splits = self.divide(marks, rule, self.root)
        if self._seen is None:
            return given
        images, labels, ids = joined([*given.values()])
        found = {}
        for name, patients in splits.items():
            chosen = set(patients)
            found[name] = chosen_of(np.array([patient_of(one) in chosen for one in ids], bool), images, labels, ids)
        return found

    def loader(self, split: str, *, training: bool = False, **ranks: Unpack[Ranks]) -> TensorBatches:
        """Images of a split; for training shuffled and augmented."""
        if not training:
            return self._batches(self._data[split], **ranks)
        order = {"shuffle": self.shuffle, "drop_last": self.drop_last, "balanced": self.balanced}
        return self._batches(self.learnt(self._data[split]), augment=self.augment, **order, **ranks)

    def learnt(self, data: dict[str, Any]) -> dict[str, Any]:
        """What training batches hold of a split: all of it."""
        return data

    def _batches(self, data: dict[str, Any], **options: Any) -> TensorBatches:
        given: dict[str, Any] = {"mean": self.mean, "std": self.std, "seed": self.seed, **self.ranks, **options}
        return TensorBatches(**data, batch_size=self.batch_size, **given)

    def _described(self, images: Images, split: str | None = None) -> dict[str, Tensor]:
        """Radiomics and masks of images; those of a split are cached in a file beside the data."""
        if self.radiomics is None:
            return {}
        images = np.asarray(images)
        if split is None:
            features = extract(images, None, self.radiomics)[0]
        else:
            features = extract_cached(self.root, split, images, None, self.radiomics)[0]
        beside = {"hcr": torch.from_numpy(features).float()}
        if self.give_mask:
            grey = images[:, 0] if images.shape[1] == 1 else to_grey(images)
            beside["mask"] = torch.from_numpy(make_masks(grey, None, self.radiomics.mask))[:, None]
        return beside

    def _settle_mask(self, read: dict[str, Split]) -> None:
        """Choose the mask of the radiomics by training and validation images, where it is `auto`."""
        if self.radiomics is None or self.radiomics.mask != "auto":
            return
        labels = {name: self._in_order(read[name][1]) for name in ("train", "val")}

        def extracted(name: str, settings: RadiomicsSettings) -> tuple[np.ndarray, list[str]]:
            return extract_cached(self.root, name, np.asarray(read[name][0]), None, settings)[:2]

        self.mask_choice = choose_mask(extracted, labels, self.num_classes, self.radiomics)
        self.radiomics = replace(self.radiomics, mask=self.mask_choice[0]["mask"])

    def _check_classes(self) -> None:
        """Refuse a split without an example of a class: nothing could be learnt, and no AUC computed."""
        for split, data in self._data.items():
            if self._seen and split != "test":
                continue
            labels = data["labels"]
            if labels.ndim == 2:
                present = labels.any(0) & ~labels.all(0)
            else:
                present = torch.bincount(labels, minlength=self.num_classes) > 0
            missing = [name for name, found in zip(self.class_names, present.tolist(), strict=True) if not found]
            if missing:
                told = f"no {split} image of class {', '.join(missing)}; give at least one of each"
                raise ValueError(f"{self.root}: {told}")

    def _report_duplicates(self) -> None:
        """Warn if training images occur in another split too; official sets are left as published."""
        marks = {name: _marks(data["images"]) for name, data in self._data.items()}
        for name in ("val", "test"):
            count = len([*filter({*marks["train"]}.__contains__, marks[name])])
            if count:
                log.warning("%s: %d of the %s images also occur in the training images", self.root.name, count, name)


def _marks(images: Images | Tensor) -> list[int]:
    """Hashes of the images."""
    return images.marks.tolist() if isinstance(images, StoredRows) else [mark(np.asarray(image)) for image in images]


def _tensors(images: Images, ids: list[str], beside: dict[str, Tensor], labels: Tensor | None = None) -> dict[str, Any]:
    """Arguments of `TensorBatches`."""
    kept = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    return {"images": kept, "labels": labels, "ids": ids, "beside": beside}


def chosen_of(chosen: np.ndarray, images: Images, labels: np.ndarray, ids: list[str]) -> Split:
    """The images, labels and ids selected by `chosen` (N,) bool."""
    kept = images.of(chosen) if isinstance(images, StoredRows) else images[chosen]
    return kept, labels[chosen], [name for name, kept in zip(ids, chosen, strict=True) if kept]


def joined(parts: Sequence[Split]) -> Split:
    """Several splits as one."""
    images, labels, ids = zip(*parts, strict=True)
    stored = [each for each in images if isinstance(each, StoredRows)]
    return (
        StoredRows.joined(stored) if stored else np.concatenate(images),
        np.concatenate(labels),
        [one for part in ids for one in part],
    )
