"""What the runtime asks of datamodules, modules, writers and the other parts that a config names.

Each Protocol holds one contract: what to write, when it is called, and what it must return. `DataModule` and
`LogsMetrics` are required. All others are optional: a part that defines the members of one takes part in it, and no
base class is needed. `tests/runtime/test_contracts.py` holds every class of the zoo to these signatures.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning as L
from torch import Tensor

__all__ = [
    "Begins",
    "CaseTables",
    "ChecksCases",
    "ChecksFolder",
    "Compares",
    "DataModule",
    "DescribesBatch",
    "Exports",
    "Finalizes",
    "Fitted",
    "HasImages",
    "KeepsEntries",
    "KnowsSeen",
    "LeavesOut",
    "LogsMetrics",
    "NamesClasses",
    "Normalises",
    "OrderedSplits",
    "PatientTables",
    "Prepares",
    "PreparesBatches",
    "Pretrained",
    "Receives",
    "SaysItsSteps",
    "SaysItsStrategy",
    "TakesOptions",
    "TellsWaiting",
    "UsesClasses",
    "Waits",
    "Writer",
]


# Datamodules


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


# Modules


@runtime_checkable
class LogsMetrics(Protocol):
    """A module; `monitor` and `optimized_metric` must be among its metrics."""

    @property
    def metric_names(self) -> Sequence[str]:
        """Names of all metrics that it logs."""


@runtime_checkable
class Receives(Protocol):
    """A module that starts from what earlier stages learnt.

    It is called before training. What it takes over belongs into its own state, so that its checkpoint needs no other.
    """

    def receive(self, stages: Mapping[str, L.LightningModule]) -> None:
        """Copy from the trained modules of earlier stages, by name.

        Raises:
            ValueError: If a stage is missing or does not fit.
        """


@runtime_checkable
class Finalizes(Protocol):
    """A module that fits numbers after training: a threshold, a calibration, a regression, a nomogram.

    It is called once between training and test, on the first process, in evaluation mode and without gradients, with
    the weights that are tested. It may use training and validation cases. Results go into buffers
    (`models/fitted/part.py`), which the checkpoint keeps and other processes get; nothing is fitted later.
    """

    def finalize(self, datamodule: Any) -> None:
        """Fit to the training and validation cases of a datamodule that is set up.

        Raises:
            ValueError: If they cannot be fitted.
        """


@runtime_checkable
class PreparesBatches(Protocol):
    """A module that changes what training batches hold when training starts, such as images into cached latents."""

    def prepared(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch as the datamodule describes it (`DescribesBatch`), changed so."""


@runtime_checkable
class SaysItsSteps(Protocol):
    """A module of which some steps cannot take a training batch.

    `dry_steps` names those of `training_step` and `predict_step` that can: they are tried on two examples before
    training, and `predict_step` on test examples before `evaluate.py`. Without it both are tried.
    """

    dry_steps: Sequence[str]


@runtime_checkable
class SaysItsStrategy(Protocol):
    """A module that needs a strategy of its own when `trainer.strategy` is `auto` and there are several devices."""

    @property
    def ddp_strategy(self) -> str:
        """Such as `ddp_find_unused_parameters_true`."""


@runtime_checkable
class ChecksCases(Protocol):
    """A module that can tell before it runs that it cannot read some cases."""

    def check_cases(self, datamodule: Any, split: str) -> None:
        """Check the cases of `test` or `predict`.

        Raises:
            ValueError: If one cannot be read.
        """


@runtime_checkable
class TakesOptions(Protocol):
    """A module whose prediction takes options: the keys of `conf/predict.yaml` of the same names.

    It defines only the arguments that it takes; others are refused by name.
    """

    def set_prediction(
        self,
        *,
        expansion: str | float | None = None,
        perturb: Mapping[str, Sequence[float]] | None = None,
        prevalence: float | None = None,
        samples: int | None = None,
    ) -> None:
        """Change the next predictions.

        Raises:
            ValueError: If a value is out of range.
        """


@runtime_checkable
class Exports(Protocol):
    """A module whose prediction is one graph from a batch of images; `export.py` writes it."""

    def export_step(self, image: Tensor) -> Tensor:
        """Predict images (B, C, *spatial), with tensor operations alone."""


@runtime_checkable
class Fitted(Protocol):
    """A part of a module that `finalize` fits; a checkpoint from before that is refused."""

    def check_fitted(self) -> None:
        """Complain when it is read before it is fitted.

        Raises:
            ValueError: If it has not been fitted.
        """


@runtime_checkable
class Pretrained(Protocol):
    """A network with pretrained weights that expect normalised images.

    `trained_on` holds the means and the standard deviations of the channels of the images it was trained on, for
    intensities in [0, 1]. Data that are normalised otherwise are refused.
    """

    trained_on: tuple[Sequence[float], Sequence[float]]


# What else a config names


class Writer(Protocol):
    """The callback `predict_writer`: it writes what `predict.py` predicts and is stored in every checkpoint.

    It is built with `output`, where null leaves the choice to it, and replaces a file that is there.
    """

    written: Path | None
    """The file or folder that it wrote."""


@runtime_checkable
class Begins(Protocol):
    """A writer that continues in a folder of earlier predictions, or refuses it."""

    def begin(self, module: L.LightningModule, datamodule: Any, made_by: dict[str, Any]) -> None:
        """Look at the folder before anything is predicted.

        Args:
            module: The model.
            datamodule: With its input set; cases that are done are left out of it (`LeavesOut`).
            made_by: The path of the `checkpoint` and the options of the prediction.

        Raises:
            ValueError: If the folder holds predictions of another origin.
        """


class Compares(Protocol):
    """An entry of `comparisons`, called when all stages are tested."""

    def __call__(self, run: Path, name: str) -> None:
        """Read the stages' folders in `run`; write `test_<name>.csv` and `figures/<name>*.png` for the report."""


class Prepares(Protocol):
    """`preparation` of `prepare.py`: brings raw files into a layout."""

    def run(self) -> None:
        """Write the layout.

        Raises:
            OSError: If files are missing, or output is there already.
        """


class KeepsEntries(Protocol):
    """`kept` of `prepare.py store=...`: what is read once and mapped ever after."""

    folder: Path

    def entries(self) -> Sequence[tuple[Path, int, float]]:
        """Folder, bytes and time of the last use of every entry, the least recently used first."""

    def shrink(self, most: float) -> int:
        """Delete the least recently used entries until `most` bytes are left, and count them."""


class ChecksFolder(Protocol):
    """`checks` of `prepare.py check=<folder>`."""

    def run(self) -> int:
        """Read a folder, print what is in it, and return the number of faults."""
