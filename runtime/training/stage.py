"""A stage of a run: built, rehearsed on two examples, and read again when it is trained."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L

from medzoo.runtime.build import instantiate, make_datamodule
from medzoo.runtime.checkpoints import checkpoint
from medzoo.runtime.checkpoints.matching import check_same_order, waiting
from medzoo.runtime.contracts import Receives
from medzoo.runtime.errors import user_errors
from medzoo.runtime.output import run_folder
from medzoo.runtime.training.ranks import processes
from medzoo.runtime.training.start import check_intensities, goes_on, starting_point, try_out
from medzoo.runtime.training.strategy import fitting_strategy

__all__ = ["Results", "Stage"]


@dataclass
class Stage:
    """What is trained and tested at once: a run, or a named stage of it.

    Args:
        name: Empty if the run has one stage.
        config: Plain.
        folder: Where its files go.
        trained: The checkpoint for later stages; None until the stage is trained.
    """

    name: str
    config: dict[str, Any]
    folder: Path
    trained: Path | None = None
    datamodule: Any = None
    module: Any = None
    start: Path | None = None
    prepared: bool = False
    strategy: str | dict[str, Any] = "auto"

    def build(self) -> None:
        """Make the datamodule and the module, with the weights that training starts from."""
        L.seed_everything(self.config["seed"], workers=True, verbose=False)
        self.datamodule = make_datamodule(self.config)
        part = self.config["lightning_module"]
        part = checkpoint.without_pretrained(part) if goes_on(self.config, self.folder) else part
        self.module = instantiate(part, "lightning_module")
        self.strategy = fitting_strategy(self.config["trainer"], self.module)
        self.start = starting_point(self.config, self.folder, self.module)

    def whole(self) -> L.LightningModule:
        """Put together a module that was trained in shards; every process gets all of its weights."""
        weights = self.module.state_dict()
        self.module = instantiate(checkpoint.without_pretrained(self.config["lightning_module"]), "lightning_module")
        self.module.load_state_dict(weights)
        return self.module

    def clear(self) -> None:
        """Free both: the data of one stage should not fill the memory while another trains."""
        self.datamodule = self.module = None

    @property
    def waiting(self) -> str:
        """What is missing that an earlier stage will write; empty when nothing is."""
        return waiting(self.datamodule)

    def prepare(self) -> None:
        """Fetch the data, try two examples, read and check all, and write the first files; on the first process only.

        Data that wait for an earlier stage are checked as far as they exist.
        """
        with user_errors("datamodule"):
            self.datamodule.prepare_data()
            if self.waiting:
                return
            few = make_datamodule(self.config)
            few.setup("rehearse")
            batches = few.train_dataloader()
        check_intensities(self.module, few)
        try_out(self.module, batches)
        with user_errors("datamodule"):
            self.datamodule.setup("fit")
            self.datamodule.processes = processes(self.config.get("trainer", {}))  # all ranks need full batches
            self.datamodule.train_dataloader()
        data = self.datamodule
        if self.config["init_from"]:
            path = self.config["init_from"]
            check_same_order(checkpoint.read(path)["medzoo"], data, f"init_from={path}")
        run_folder.write_start(self.folder, self.config, data.split, phantom=data.phantom)
        self.prepared = True

    def check_handed_on(self, earlier: Iterable["Stage"]) -> None:
        """Refuse weights of a finished stage if its classes have another order than those of this stage's data."""
        for stage in earlier if isinstance(self.module, Receives) and not self.waiting else ():
            if stage.trained:
                check_same_order(checkpoint.read(stage.trained)["medzoo"], self.datamodule, str(stage.trained))

    def result(self) -> L.LightningModule:
        """The trained module, for later stages."""
        if self.trained is None:  # a run that writes no checkpoints, such as debug=fast_dev_run
            return self.module
        return checkpoint.rebuild(self.config, checkpoint.read(self.trained), self.trained)


class Results(Mapping[str, L.LightningModule]):
    """Trained modules of stages by name; each is read from its checkpoint on first use, since most are never used."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = {stage.name: stage for stage in stages}

    def __getitem__(self, name: str) -> L.LightningModule:
        return self._stages[name].result()

    def __contains__(self, name: object) -> bool:  # Mapping's own would read the checkpoint
        return name in self._stages

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)

    def __len__(self) -> int:
        return len(self._stages)
