"""What all datamodules share: a root or a phantom, prediction, ranks, and the split by patient."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, combinations, islice
from pathlib import Path
from typing import Any, Protocol, Unpack

import lightning as L

from medzoo.datamodules.batches import Ranks, ResumableBatches
from medzoo.datamodules.phantoms.phantom import Phantom
from medzoo.datamodules.seen import SPLITS, Seen, mark, mark_file, matched, telling
from medzoo.datamodules.store import Store

__all__ = ["BaseDataModule"]

log = logging.getLogger(__name__)


class _Described(Protocol):
    """What a subclass knows of its data before it reads them."""

    @property
    def class_names(self) -> Sequence[str]: ...

    @property
    def image_shape(self) -> tuple[int, ...]: ...


class BaseDataModule(L.LightningDataModule):
    """Data of one layout.

    A subclass describes its `layout`, reads it in `setup`, and splits patients with `divide`. What prediction needs
    from training goes into `_state`, which is saved in every checkpoint.

    What is read is kept in `store`. `setup("rehearse")` reads two items of each split, enough to
    try a model on; `setup("fit")` reads all.

    Subclasses build their loaders in `loader`. Training batches are reshuffled in each epoch and augmented.
    Validation, test and prediction give every item once, in order and unchanged, shared out between the ranks;
    `ordered_dataloader` does so on every rank, to fit something on a split.

    Args:
        root: File or folder of the data; of a phantom, the folder that holds its cohort.
        phantom: Written below `root` where it is missing.
    """

    layout = "datamodule.root to a folder of data"
    """Which setting to change, for the message when there are no data."""
    processes = 1
    """Number of processes of the coming run, used until there is a trainer to ask."""
    workers = 0
    """Processes that make batches ahead and fill the store, for each process of the run."""
    store_dir: str | Path | None = None
    """Folder of the store; None for its default."""

    def __init__(self, root: str | Path, phantom: Phantom | None = None) -> None:
        super().__init__()
        self.maker = phantom
        self.root = Path(root) / phantom.name if phantom else Path(root)
        self._state: dict[str, Any] = {}
        self._items: dict[str, list[Any]] = {}
        self._predict: list[Any] = []
        self._predicting = False
        self._seen: Seen | None = None
        self._recorded: Seen | None = None

    @functools.cached_property
    def store(self) -> Store:
        """Where what is read is kept."""
        return Store(self.store_dir, workers=self.workers + 1)

    @property
    def phantom(self) -> bool:
        """Whether the data are synthetic."""
        return self.maker is not None

    @property
    def num_classes(self: _Described) -> int:
        """Number of classes, or of labels where an image has several."""
        return len(self.class_names)

    @property
    def in_channels(self: _Described) -> int:
        """Channels of an image."""
        return self.image_shape[0]

    @property
    def spatial_dims(self: _Described) -> int:
        """2 for images, 3 for volumes."""
        return len(self.image_shape) - 1

    @property
    def batches_of_epoch(self) -> int | None:
        """Training batches of an epoch on one device; None if only the data tell."""
        return None

    @property
    def split(self) -> dict[str, list[str]]:
        """Ids of every split, known after `setup`."""
        return {name: [one.id for one in items] for name, items in self._items.items()}

    @property
    def waiting(self) -> str:
        """The output of an earlier stage that is still missing; empty if there is none."""
        return ""

    @property
    def ranks(self) -> Ranks:
        """`rank`, `world_size` and `workers`, as batches take them."""
        if self.trainer:
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
            return {"rank": rank, "world_size": world_size, "workers": self.workers}
        return {"rank": 0, "world_size": self.processes, "workers": self.workers}

    def prepare_data(self) -> None:
        """Fetch the data if they are missing; prediction needs none."""
        if not self._predicting:
            self.fetch()

    def fetch(self) -> None:
        """Write the phantom; a user's own data must be there already.

        Raises:
            FileNotFoundError: If they are not.
        """
        if self.maker:
            self.maker.write(self.root)
        elif not self.root.exists():
            kind = "file" if self.root.suffix else "folder"
            raise FileNotFoundError(f"no {kind} {self.root}: set {self.layout}")

    def train_dataloader(self) -> ResumableBatches:
        """Shuffled, augmented batches; pictures that fit into memory are augmented on the GPU, if there is one."""
        batches = self.loader("train", training=True)
        batches.on_device = self._on_gpu
        return batches

    @property
    def _on_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """Finish a training batch on the device that it is on now."""
        if not isinstance(batch, dict) or "draw" not in batch:
            return batch
        assert self.trainer is not None
        batches: Any = self.trainer.train_dataloader
        key = batch.pop("draw")
        return batches.finish(batch, key)

    def val_dataloader(self) -> ResumableBatches:
        """The validation split once, in order."""
        return self.loader("val")

    def test_dataloader(self) -> ResumableBatches:
        """The test split once, in order."""
        return self.loader("test")

    def ordered_dataloader(self, split: str) -> ResumableBatches:
        """A split once, in order and as it is, on every process: to fit something on it."""
        return self.loader(split, rank=0, world_size=1, workers=self.workers)

    def loader(self, split: str, *, training: bool = False, **ranks: Unpack[Ranks]) -> ResumableBatches:
        """Batches of a split, for the given rank or else the rank of this run."""
        raise NotImplementedError

    def leave_out(self, done: Sequence[str]) -> None:
        """Skip cases that are already predicted."""
        self._predict = [one for one in self._predict if one.id not in done]

    def state_dict(self) -> dict[str, Any]:
        """What prediction needs from training."""
        return self._state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load `state_dict`, so that new data are read as the training data were."""
        self._state = dict(state_dict)

    @property
    def seen(self) -> dict[str, Any] | None:
        """Marks of the patients of every split, for the checkpoint; known after `setup`."""
        return self._recorded.state() if self._recorded else None

    def evaluate_as(self, seen: Mapping[str, Any] | None) -> None:
        """Let `setup` test patients whom a training has not seen, by its `seen`, and none that it was trained on.

        Without `seen`, the test split of the data is used.
        """
        self._seen = Seen.load(seen) if seen else None

    def use_classes(self: _Described, names: Sequence[str]) -> None:
        """Map labels to the classes of a model, in its order.

        Raises:
            ValueError: If the data have other classes.
        """
        order = matched(self.class_names, names, "classes")
        if order != list(range(len(names))):
            raise ValueError(f"the classes {', '.join(names)} of the model come in another order in these data")

    def marks_of(self, patients: Mapping[str, Sequence[Path]]) -> dict[str, list[int]]:
        """Marks of the files of each patient, for `divide`; a file is read for its mark once."""
        found = iter(self.store.known(chain(*patients.values()), "mark", mark_file))
        return {one: [*islice(found, len(files))] for one, files in patients.items()}

    def divide(
        self,
        patients: Mapping[str, Sequence[int]],
        rule: Callable[[], Mapping[str, Sequence[str]]],
        source: Path,
    ) -> dict[str, list[str]]:
        """Divide the patients into training, validation and test.

        Args:
            patients: Every patient, with the marks of the files.
            rule: Returns the patients of each split, as the arguments of the datamodule ask.
            source: Where the data are, for messages.

        Returns:
            Names by `train`, `val` and `test`. For the data of the training, the rule decides. For other data,
            everybody is tested. For a mixture, new patients and those held out for the test are tested.

        Raises:
            ValueError: If no patient is left to test.
        """
        place = source.resolve()
        content = telling(patients)
        marks = {
            one: ([mark(f"{place}/{one}")], [mark(f"{one} {sorted(given)}")], content[one])
            for one, given in patients.items()
        }
        if self._seen is None:
            splits = _disjoint(rule(), source)
            self._recorded = Seen.of({one: [*chain(*given)] for one, given in marks.items()}, splits)
            return splits
        before = {one: self._seen.splits_of(*given) for one, given in marks.items()}
        new = [one for one, where in before.items() if not where]
        if len(new) == len(before):
            self._tell_all(new, source)
            return {"train": [], "val": [], "test": new}
        if new or len(before) != self._seen.patients:
            splits = {name: [one for one, where in before.items() if name in where] for name in SPLITS}
        else:
            splits = {name: list(names) for name, names in rule().items()}
        trained = {one for one, where in before.items() if "train" in where or where == {"val"}}
        tested = [one for one in splits["test"] if one not in trained]
        left = len(splits["test"]) - len(tested)
        if not (new or tested):
            raise ValueError(f"{source}: the model was trained on all patients that could be tested; name other data")
        if new or left:
            log.warning(
                "%s: tested are %d patients whom the training never saw and %d whom it held out; "
                "%d whom it was trained or chosen on are left out",
                source, len(new), len(tested), len(trained) if new else left,
            )  # fmt: skip
        return {**splits, "test": [*tested, *new]}

    def _tell_all(self, new: Sequence[str], source: Path) -> None:
        assert self._seen is not None
        log.info("%s: no patient of it was seen in training, so all %d are tested", source, len(new))
        same = sum(mark(one) in self._seen.marks["names"] for one in new)
        if same and not self.phantom:
            log.warning(
                "%s: %d of its patients have names of the training data, but other files: they count as others",
                source, same,
            )  # fmt: skip


def _disjoint(given: Mapping[str, Sequence[str]], source: Path) -> dict[str, list[str]]:
    """Check that no patient is in two splits; the test set may be the validation set or a part of it."""
    splits = {name: list(names) for name, names in given.items()}
    for one, other in combinations(splits, 2):
        both = set(splits[one]) & set(splits[other])
        if both and not (one == "val" and other == "test" and both == set(splits["test"])):
            raise ValueError(f"{source}: patient {sorted(both)[0]} is in both {one} and {other}")
    return splits
