"""What the runtime asks of datamodules."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

__all__ = [
    "CaseTables",
    "DataModule",
    "DescribesBatch",
    "HasImages",
    "KnowsSeen",
    "LeavesOut",
    "NamesClasses",
    "Normalises",
    "OrderedSplits",
    "PatientTables",
    "TellsWaiting",
    "UsesClasses",
    "Waits",
]


class DataModule(Protocol):
    """A `LightningDataModule` of this zoo; `datamodules/base.py` has most of it.

    `phantom` tells whether the data are synthetic. `split` holds the ids of every split, by `train`, `val` and `test`,
    and is known after `setup`. `processes` is set before `train_dataloader` is called without a trainer: the number of
    ranks whose batches have to be full. `workers`, the number of processes that make batches ahead for each rank, and
    `store_dir`, the folder of what is read once and kept, are set before `setup`. `state_dict` returns what prediction
    must know of the training; it is stored in every checkpoint. Sizes that a network needs, such as `num_classes` and
    `image_shape`, are properties that are known without reading images; a config takes them with `${data:num_classes}`.
    """

    processes: int
    workers: int
    store_dir: str | Path | None

    @property
    def phantom(self) -> bool:
        """Whether the data are synthetic."""

    @property
    def split(self) -> dict[str, list[str]]:
        """Ids of every split."""

    def prepare_data(self) -> None:
        """Download, write or check the data, on one process."""

    def setup(self, stage: str) -> None:
        """Read what `fit`, `test` or `predict` needs; for `rehearse`, enough of every split to try a model on."""

    def train_dataloader(self) -> Iterable[Any]:
        """Shuffled, augmented batches."""

    def test_dataloader(self) -> Iterable[Any]:
        """The test split once, in order."""

    def state_dict(self) -> dict[str, Any]:
        """What prediction must know of the training."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Read new data as those of the training were read."""

    def set_predict_input(self, path: str | Path) -> None:
        """Predict on this file or folder, which is read here, so that errors come before the model runs.

        Raises:
            ValueError: If it cannot be predicted on.
        """


@runtime_checkable
class Waits(Protocol):
    """A datamodule that may need files of an earlier stage.

    While `waiting` is not empty, the data are neither set up nor tried out; it names the missing file.
    """

    @property
    def waiting(self) -> str:
        """What is missing; empty when nothing is."""


@runtime_checkable
class NamesClasses(Protocol):
    """A datamodule whose labels have names; they are stored in every checkpoint, in the order of the labels."""

    @property
    def class_names(self) -> Sequence[str]:
        """Names in the order of the labels."""


@runtime_checkable
class UsesClasses(Protocol):
    """A datamodule that can map its labels to the classes of a trained model; called before `setup`."""

    def use_classes(self, names: Sequence[str]) -> None:
        """Let labels mean these classes, in this order.

        Raises:
            ValueError: If the data have other classes.
        """


@runtime_checkable
class KnowsSeen(Protocol):
    """A datamodule that tells the patients of a training from others.

    `seen` goes into the checkpoint. `evaluate_as` gets it back before `setup`, so that no patient of the training is
    tested.
    """

    @property
    def seen(self) -> Mapping[str, Any] | None:
        """Marks of the patients of every split, without their names; known after `setup`."""

    def evaluate_as(self, seen: Mapping[str, Any] | None) -> None:
        """Test patients that the training never saw; without `seen`, test the split of the data."""


@runtime_checkable
class Normalises(Protocol):
    """A datamodule that normalises intensities in [0, 1] by `mean` and `std`; without them images stay in [0, 1]."""

    mean: float
    std: float


@runtime_checkable
class DescribesBatch(Protocol):
    """A datamodule that knows the shapes of a training batch without data, for `train.py ... estimate=true`."""

    @property
    def batches_of_epoch(self) -> int | None:
        """Training batches of an epoch on one device; None if only the data tell."""

    def empty_batch(self) -> dict[str, Any]:
        """Zeros of the keys, shapes and types of a training batch of one device."""


@runtime_checkable
class HasImages(Protocol):
    """A datamodule of images of one shape, which is known without reading them."""

    @property
    def image_shape(self) -> Sequence[int]:
        """(C, *spatial)."""


class OrderedSplits(Protocol):
    """A datamodule on whose splits a module may fit something in `finalize`."""

    def ordered_dataloader(self, split: str) -> Iterable[Any]:
        """A split once, in order and without augmentation, complete on every process."""


@runtime_checkable
class TellsWaiting(Protocol):
    """Training batches of a datamodule that know how long they were waited for."""

    @property
    def waited(self) -> float:
        """Seconds in all in which a batch was asked for and not there yet."""


class CaseTables(Protocol):
    """A datamodule with a table of cases, which a nomogram is fitted to and reads.

    `lightning_modules/nomogram/` asks for it.
    """

    def cases(self, *splits: str) -> Any:
        """The cases of these splits, or of `predict`, in order; None without a table."""


class PatientTables(Protocol):
    """A datamodule that knows more of its patients than batches of images; `FusionModule` fits baselines to it."""

    def table(self, split: str) -> dict[str, Any]:
        """`id`, a list of N names, and arrays of N rows as batches hold them, such as `label` and `clinical`."""


class LeavesOut(Protocol):
    """A datamodule whose prediction can be continued."""

    def leave_out(self, done: Sequence[str]) -> None:
        """Do not predict these cases, which were predicted before."""
