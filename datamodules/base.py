"""What all datamodules share: a root or a phantom, prediction, ranks, and the split by patient."""

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Any, Protocol, Unpack

import lightning as L

from medzoo.datamodules.batches import Ranks, ResumableBatches
from medzoo.datamodules.phantoms.phantom import Phantom
from medzoo.datamodules.seen import SPLITS, Seen, mark, matched, telling

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

    A subclass says what its `layout` is, reads it in `setup`, and splits patients by `divide`; what prediction must
    know of the training goes into `_state`, which is part of every checkpoint.

    Loaders mean the same everywhere, and subclasses make them by `loader`: training has another order in each epoch and
    is augmented; validation, test and prediction give all once, in order and as it is, shared out between the ranks;
    `ordered_dataloader` gives a split so to every rank, to fit something on it.

    Args:
        root: File or folder of the data; of a phantom, the folder that holds its cohort.
        phantom: Written below `root` where it is missing.
    """

    layout = "datamodule.root to a folder of data"
    """What to set to what, for the message where there is nothing."""
    processes = 1
    """Of the run that is prepared, as long as there is no trainer to ask."""

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
    def split(self) -> dict[str, list[str]]:
        """Ids of every split, known after `setup`."""
        return {name: [one.id for one in items] for name, items in self._items.items()}

    @property
    def waiting(self) -> str:
        """What is missing that an earlier stage has to leave behind; empty where nothing is."""
        return ""

    @property
    def ranks(self) -> Ranks:
        """`rank` and `world_size`, as batches take them."""
        if self.trainer:
            return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
        return {"rank": 0, "world_size": self.processes}

    def prepare_data(self) -> None:
        """Get the data where they are missing; prediction needs none."""
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
        """Shuffled, augmented batches."""
        return self.loader("train", training=True)

    def val_dataloader(self) -> ResumableBatches:
        """The validation split once, in order."""
        return self.loader("val")

    def test_dataloader(self) -> ResumableBatches:
        """The test split once, in order."""
        return self.loader("test")

    def ordered_dataloader(self, split: str) -> ResumableBatches:
        """A split once, in order and as it is, on every process: to fit something on it."""
        return self.loader(split, rank=0, world_size=1)

    def loader(self, split: str, *, training: bool = False, **ranks: Unpack[Ranks]) -> ResumableBatches:
        """Batches of a split, for the ranks that are given or those of this run."""
        raise NotImplementedError

    def leave_out(self, done: Sequence[str]) -> None:
        """Do not predict these (again)."""
        self._predict = [one for one in self._predict if one.id not in done]

    def state_dict(self) -> dict[str, Any]:
        """What prediction needs to know of the training."""
        return self._state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over `state_dict`, so that new data are read as those of the training were."""
        self._state = dict(state_dict)

    @property
    def seen(self) -> dict[str, Any] | None:
        """Marks of the patients of every split, for the checkpoint; known after `setup`."""
        return self._recorded.state() if self._recorded else None

    def evaluate_as(self, seen: Mapping[str, Any] | None) -> None:
        """Let `setup` test whom a training has never seen, as its `seen` says, and nobody whom it was trained on.

        Without `seen` the test is that of the data's own split.
        """
        self._seen = Seen.load(seen) if seen else None

    def use_classes(self: _Described, names: Sequence[str]) -> None:
        """Let labels mean the classes of a model, in its order.

        Raises:
            ValueError: If the data have other classes.
        """
        order = matched(self.class_names, names, "classes")
        if order != list(range(len(names))):
            raise ValueError(f"the classes {', '.join(names)} of the model stand in another order in these data")

    def divide(
        self,
        patients: Mapping[str, Sequence[int]],
        rule: Callable[[], Mapping[str, Sequence[str]]],
        source: Path,
    ) -> dict[str, list[str]]:
        """Who is trained on, validated on and tested on.

        Args:
            patients: All there are, with the marks of their files.
            rule: Gives the patients of each split as the arguments of the datamodule say.
            source: Where they come from.

        Returns:
            Names by `train`, `val` and `test`. Of a checkpoint's own data it is what the rule says, of other data
            everybody is tested; of a mixture those who are new and those whom the training held out for the test.

        Raises:
            ValueError: If nobody is left to test on.
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
            raise ValueError(f"{source}: the model was trained on all that would be tested; name other data")
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
    """The splits, if nobody stands in two of them; the test may be those who validate, or some of them."""
    splits = {name: list(names) for name, names in given.items()}
    for one, other in combinations(splits, 2):
        both = set(splits[one]) & set(splits[other])
        if both and not (one == "val" and other == "test" and both == set(splits["test"])):
            raise ValueError(f"{source}: patient {sorted(both)[0]} stands in {one} and in {other}")
    return splits
