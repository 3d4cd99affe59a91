"""One training batch for each kind of module in the experiments: what a test of the step trains on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medzoo.runtime.build import instantiate
from medzoo.runtime.contracts import Waits
from medzoo.runtime.plan import make_plan
from tests.tiny import FULL, tiny


@dataclass
class Step:
    """A stage of an experiment, made small, and a batch of it."""

    name: str
    config: dict[str, Any]
    batch: dict[str, Any]

    def module(self, **settings: Any) -> Any:
        """The module in training mode, with the same weights every time."""
        torch.manual_seed(0)
        return instantiate({**self.config["lightning_module"], **settings}, "lightning_module").train()


def training_steps(folder: Path, data: Path) -> Iterator[Step]:
    """The first stage of each combination of module and networks; tables, on which nothing is trained, are left out."""
    known = set()
    for experiment in FULL:
        for stage, config in make_plan(tiny(experiment, folder / experiment, data)).stages.items():
            kind = _targets(config["lightning_module"])
            if config["trainer"]["max_epochs"] == 0 or kind in known:
                continue
            datamodule = instantiate(config["datamodule"], "datamodule")
            if isinstance(datamodule, Waits) and datamodule.waiting:
                continue
            known.add(kind)
            datamodule.prepare_data()
            datamodule.setup("fit")
            batch = next(iter(datamodule.train_dataloader()))
            few = len(batch["id"]) if "present" in batch else 4  # of a cohort all: a loss needs several deaths
            batch = {name: value[:few] for name, value in batch.items()}
            yield Step("/".join([experiment, stage]).rstrip("/"), config, batch)


_RATES = ("optimizer", "scheduler", "mi_optimizer", "discriminator_optimizer")


def _targets(node: Any) -> tuple[str, ...]:
    if not isinstance(node, dict):
        return ()
    own = (str(node["_target_"]),) if "_target_" in node else ()
    return own + tuple(target for key, value in node.items() if key not in _RATES for target in _targets(value))
