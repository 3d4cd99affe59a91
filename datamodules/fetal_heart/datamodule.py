"""Batches of four-chamber views for an autoencoder, and the table of cases for the nomogram."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from medzoo.datamodules.batches import Augmentation
from medzoo.datamodules.cases import Cases, CaseTable
from medzoo.datamodules.fetal_heart.files import read_cases, read_chambers
from medzoo.datamodules.in_memory import InMemoryDataModule, Split
from medzoo.datamodules.io import find_table
from medzoo.datamodules.outcomes import check_predictors as check_names
from medzoo.datamodules.outcomes import telling
from medzoo.datamodules.phantoms.fetal_heart import FetalHeartPhantom
from medzoo.datamodules.readers import read_images
from medzoo.datamodules.seen import SPLITS, mark, matched
from medzoo.evaluation.measures.morphology import CHAMBERS
from medzoo.evaluation.regression.predictors import polarity_note

__all__ = ["FetalHeartDataModule"]

log = logging.getLogger(__name__)


class FetalHeartDataModule(CaseTable, InMemoryDataModule):
    """Reads `datamodules/fetal_heart/files.py`; a case is in one split with all its images.

    Args:
        root: Folder of the cohort; of a phantom, the folder that holds its cohort.
        phantom: Written to `root` where it is missing.
        image_size: Height and width in pixels that images are brought to.
        channels: `grey`, or `grey_and_masks`: the image, then LV, RV, LA and RA as zeros and ones.
        case: Regular expression whose first group is the case in the name of an image.
        predictors: Predictors of the nomogram, besides the image score.
        candidates: Further candidate predictors: they get univariable odds ratios and are counted.
        known_before: Predictors and candidates known before the outcome although their names look like it.
        missing: Whether a missing predictor is an error or is imputed.
        smaller_in_positive: A predictor that is smaller in label 1, to detect swapped labels. Null skips this check.
        learn_from: Which training cases the autoencoder learns from: `all`, or only those of label 0 (`normal`).
        class_names: Names of label 0 and of label 1, the outcome, for tables and figures.
        val_share: Share of each class for validation, if the table has no column `split`.
        test_share: Share of each class for the test.
        split_seed: Seed of the split.
        **options: `batch_size`, `augment`, `mean`, `std`, `shuffle`, `drop_last`, `balanced`, `seed` of
            `InMemoryDataModule`.

    Raises:
        ValueError: If shares leave nothing for training, or a predictor is named twice.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        phantom: FetalHeartPhantom | None = None,
        image_size: Sequence[int] = (128, 128),
        channels: Literal["grey", "grey_and_masks"] = "grey",
        case: str = "(.+)_[^_]*",
        predictors: Sequence[str] = ("LV_diameter", "LA_RA_area_ratio", "LV_RV_area_ratio"),
        candidates: Sequence[str] = (),
        known_before: Sequence[str] = (),
        missing: Literal["refuse", "impute"] = "refuse",
        smaller_in_positive: str | None = None,
        learn_from: Literal["all", "normal"] = "all",
        class_names: Sequence[str] = ("normal", "HLHS"),
        val_share: float = 0.1,
        test_share: float = 0.2,
        split_seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(root, phantom=phantom, task="binary", class_names=list(class_names), **options)
        if not (val_share > 0 and test_share > 0 and val_share + test_share < 1):
            raise ValueError(f"val_share={val_share} and test_share={test_share} leave no share for training")
        named = [*predictors, *candidates]
        self.check_named_once(named)
        check_names(named, ("label", "diagnosis", "HLHS"), where="predictors and candidates", known=known_before)
        self.channels, self.case, self.missing = channels, case, missing
        self.predictors, self.candidates = list(predictors), list(candidates)
        self.smaller_in_positive, self.learn_from = smaller_in_positive, learn_from
        self.val_share, self.test_share, self.split_seed = val_share, test_share, split_seed
        self._image_shape = (1 if channels == "grey" else 1 + len(CHAMBERS), *image_size)
        self._owner: dict[str, str] = {}
        if channels != "grey" and self.augment is not None:
            self.augment = _binary_masks(self.augment)

    def state_dict(self) -> dict[str, Any]:
        """What prediction needs from the training data, and the predictors in order."""
        return {**super().state_dict(), "predictors": self.predictors}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load `state_dict`; predictors in another order are matched.

        Raises:
            ValueError: If the predictors differ from those of the training.
        """
        super().load_state_dict(state_dict)
        known = state_dict.get("predictors", self.predictors)
        matched(self.predictors, known, "predictors")
        self.predictors = list(known)

    def fetch(self) -> None:
        """Write the phantom; a user's own cohort must exist."""
        if self.maker:
            super().fetch()
        elif not (self.root / "images").is_dir():
            raise FileNotFoundError(f"no folder {self.root / 'images'}: name the folder of a cohort as datamodule.root")

    def case_of(self, image: str) -> str:
        """The case of an image, after `setup`."""
        return self._owner[image]

    def read(self) -> dict[str, Split]:
        """Read the folder and check its cases."""
        ids, images = read_images(self.root / "images", (1, *self.image_size), one=True)
        cases, owners = read_cases(self.root, ids, [*self.predictors, *self.candidates], self.case)
        self._cases = cases = self._split(cases, owners, images)
        self._owner = dict(zip(ids, owners, strict=True))
        images = self._with_masks(self.root, ids, images)
        positive = np.zeros(len(cases.names), bool) if cases.positive is None else cases.positive
        truth, split = (dict(zip(cases.names, each, strict=True)) for each in (positive, cases.split))
        found: dict[str, Split] = {}
        for name in SPLITS:
            rows = [row for row, owner in enumerate(owners) if split.get(owner) == name]
            labels = np.array([truth[owners[row]] for row in rows], np.int64)
            found[name] = images[rows], labels, [ids[row] for row in rows]
        return found

    def learnt(self, data: dict[str, Any]) -> dict[str, Any]:
        """The training images, or those of normal cases."""
        if self.learn_from == "all":
            return data
        normal = (data["labels"] == 0).nonzero()[:, 0]
        beside = {name: values[normal] for name, values in data["beside"].items()}
        ids = [data["ids"][row] for row in normal.tolist()]
        return {"images": data["images"][normal], "labels": data["labels"][normal], "ids": ids, "beside": beside}

    def set_predict_input(self, path: str | Path) -> None:
        """Read images to predict, alone or with `cases.csv` beside them or above their folder `images`.

        Args:
            path: A cohort folder, whose table needs no labels; a folder of images and `cases.csv`; or images, for which
                only the image score is predicted.

        Raises:
            ValueError: If the model takes masks and there are none, or tables and images do not match.
        """
        self._predicting, folder = True, Path(path)
        if not find_table(folder, "cases").is_file():
            if self.channels != "grey":
                raise ValueError(
                    "this model takes outlined chambers beside the image: give a folder with images/, masks/ and "
                    "cases.csv, or train one with datamodule.channels=grey"
                )
            super().set_predict_input(path)
            return
        views = folder / "images" if (folder / "images").is_dir() else folder
        ids, images = read_images(views, (1, *self.image_size), one=True)
        self._predicted, owners = read_cases(folder, ids, self.predictors, self.case, labelled=False)
        self._owner |= dict(zip(ids, owners, strict=True))
        self._predict_on(ids, self._with_masks(folder, ids, images))

    def _with_masks(self, root: Path, ids: Sequence[str], images: np.ndarray) -> np.ndarray:
        """Grey images, with the chambers as further channels if the network takes them."""
        if self.channels == "grey":
            return images
        masks = np.stack([_chambers(root, name, self.image_shape[1:]) for name in ids])
        return np.concatenate([images, masks], axis=1)

    def _split(self, cases: Cases, owners: list[str], images: np.ndarray) -> Cases:
        """Cases with their split: from the table, drawn, or for the test of a checkpoint."""
        marks: dict[str, list[int]] = {name: [] for name in cases.names}
        for owner, image in zip(owners, images, strict=True):
            marks[owner].append(mark(image))

        def rule() -> dict[str, list[str]]:
            told = cases if cases.split else self._drawn(cases)
            self._check(told)
            return {name: told.of(name).names for name in SPLITS}

        splits = self.divide(marks, rule, self.root)
        if self._seen:
            self._check_tested(cases[np.flatnonzero(np.isin(cases.names, splits["test"]))])
        place = {one: name for name in SPLITS for one in splits[name]}  # the test last
        kept = np.array([row for row, name in enumerate(cases.names) if name in place], int)
        return replace(cases[kept], split=[place[cases.names[row]] for row in kept])

    def _drawn(self, cases: Cases) -> Cases:
        """Cases with a random split, stratified by class."""
        rng = np.random.default_rng(self.split_seed)
        split = np.full(len(cases.names), "train", dtype=object)
        positive = np.zeros(len(split), bool) if cases.positive is None else cases.positive
        for value in (False, True):
            rows = rng.permutation(np.flatnonzero(positive == value))
            test, val = round(self.test_share * len(rows)), round(self.val_share * len(rows))
            split[rows[:test]], split[rows[test : test + val]] = "test", "val"
        return replace(cases, split=split.tolist())

    def _check(self, cases: Cases) -> None:
        """Refuse cases that no regression can be fitted to, before a network is trained."""
        if self.smaller_in_positive not in (None, *self.predictors, *self.candidates):
            raise ValueError(f"smaller_in_positive={self.smaller_in_positive}: expected one of the predictors")
        if cases.positive is None and self.predictors:
            raise ValueError(
                f"{find_table(self.root, 'cases')}: no column label; without it set 'datamodule.predictors=[]'"
            )
        if self.learn_from == "normal":
            self._check_normal(cases)
        if cases.positive is None or not self.predictors:
            return
        counts = {name: sum(one == name for one in cases.split) for name in SPLITS}
        if min(counts.values()) == 0:
            raise ValueError(f"{find_table(self.root, 'cases')}: {counts} cases; each split needs some")
        cases.check_counts(self.class_names, find_table(self.root, "cases"))
        self._check_gaps(cases)
        developed = cases.of("train", "val")
        assert developed.positive is not None
        developed.check_predictors(self.predictors)
        x, positive = developed.matrix(self.predictors), developed.positive.astype(int)
        for name, why in telling(x, self.predictors, positive).items():
            log.warning("%s: %s; is it known before the diagnosis?", name, why)
        self._check_polarity(developed)

    def _check_normal(self, cases: Cases) -> None:
        """Refuse to learn from normal cases where none is known, or too few are left to be scored."""
        if cases.positive is None:
            raise ValueError(f"{find_table(self.root, 'cases')}: no column label; learn_from=normal needs it")
        learnt, held = (cases.of(split).counts()[0] for split in ("train", "val"))
        if not learnt or held < 3:
            told = f"learn_from=normal: {learnt} {self.class_names[0]} cases for training and {held} for validation"
            raise ValueError(f"{told}; at least 1 and 3 are needed: set datamodule.val_share")

    def _check_tested(self, cases: Cases) -> None:
        """Refuse cases that cannot be scored, before they are predicted."""
        if cases.positive is None or not self.predictors:
            return
        counts = cases.counts()
        if min(counts) < 1:
            told = " and ".join(f"{count} {name}" for count, name in zip(counts, self.class_names, strict=True))
            raise ValueError(f"{find_table(self.root, 'cases')}: {told} cases; a test needs both")
        self._check_gaps(cases)
        self._check_polarity(cases)

    def _check_gaps(self, cases: Cases) -> None:
        if self.missing == "refuse":
            cases.check_gaps(self.predictors, "fill them in")

    def _check_polarity(self, cases: Cases) -> None:
        if self.smaller_in_positive is None:
            return
        name, positive = self.smaller_in_positive, cases.positive
        assert positive is not None
        known = np.isfinite(cases.values[name])
        if polarity_note(positive[known], -cases.values[name][known], name):
            raise ValueError(
                f"{name} is larger in cases with label 1 than in those with 0: are the labels swapped? "
                "If not, set datamodule.smaller_in_positive=null"
            )

    def _check_classes(self) -> None:
        """Not needed: an autoencoder learns without labels too, and `_check` has checked the cases."""


def _chambers(root: Path, image: str, size: Sequence[int]) -> np.ndarray:
    """The chambers of an image as (4, H, W) uint8 of 0 and 255."""
    file, labels = read_chambers(root, image)
    if file is None:
        raise ValueError(f"{root / 'masks'}: no mask of image {image}; set datamodule.channels=grey")
    each = torch.from_numpy(np.stack([labels == value for value in CHAMBERS.values()])).float()[None]
    return (F.interpolate(each, list(size), mode="bilinear", antialias=True)[0] > 0.5).numpy().astype(np.uint8) * 255


def _binary_masks(augment: Augmentation) -> Callable[[Tensor, torch.Generator], Tensor]:
    """The augmentation, with masks made binary again."""

    def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
        images = augment(images, generator)
        return torch.cat([images[:, :1], (images[:, 1:] > 0.5).to(images)], dim=1)

    return augmented
