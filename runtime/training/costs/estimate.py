"""What a run will need, by shapes alone: `train.py ... estimate=true` trains nothing and writes nothing."""

import itertools
import json
import logging
import math
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hydra.utils
import lightning as L
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.utils._pytree import tree_leaves

from medzoo.runtime.build import instantiate, make_trainer
from medzoo.runtime.checkpoints.checkpoint import without_pretrained
from medzoo.runtime.contracts import DescribesBatch, PreparesBatches
from medzoo.runtime.errors import UserError, stage_errors, user_errors
from medzoo.runtime.plan import Plan
from medzoo.runtime.training.costs.allocations import Allocations
from medzoo.runtime.training.costs.cost import held_before_step
from medzoo.runtime.training.costs.shapes import Flops, shapes_only

__all__ = ["HERE", "Estimate", "Repeated", "estimate"]

_NOMINAL = 1000  # batches of an epoch where nobody knows how many
HERE = {  # what a trainer on shapes differs in; a step needs the same on every device
    "accelerator": "cpu",
    "devices": 1,
    "num_nodes": 1,
    "strategy": "auto",
    "limit_val_batches": 0,
    "fast_dev_run": False,
    "profiler": None,
    "detect_anomaly": False,
    **dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False),
}


@dataclass(frozen=True)
class Estimate:
    """What a stage needs on each device; memory in GB.

    Attributes:
        precision: As `trainer.precision`.
        parameters: All of the module.
        weights: Weights and buffers, and their moving average if there is one.
        gradients: Of all weights that are trained.
        optimizer: State of the optimisers.
        activations: What else is held at the peak of a step: activations and the batch.
        flops: Floating-point operations of a step, of all batches that are accumulated for it.
        batches: Batches of a step.
        steps: Of the optimiser, in all; None if only the data tell.
        store: Size of the cohort in the store, if the data are there.
        missing: What is not known, and the key that gives it.
    """

    precision: str
    parameters: int
    weights: float
    gradients: float
    optimizer: float
    activations: float
    flops: float
    batches: int
    steps: int | None
    store: float | None
    missing: str

    @property
    def peak(self) -> float:
        """Memory at the peak of a step."""
        return self.weights + self.gradients + self.optimizer + self.activations


def estimate(plan: Plan) -> dict[str, Estimate]:
    """Estimate every stage that is trained, by name.

    Raises:
        UserError: If a part cannot be built, or a datamodule does not describe its batches.
    """
    found: dict[str, Estimate] = {}
    known: dict[str, Estimate] = {}  # folds differ in their patients alone
    for name, config in plan.stages.items():
        if config["trainer"]["max_epochs"] == 0 or config["ckpt_path"]:
            continue
        data = {key: value for key, value in config["datamodule"].items() if key != "fold"}
        key = json.dumps([data, config["lightning_module"], config["trainer"]])
        with stage_errors(name):
            found[name] = known[key] = known.get(key) or _stage(config)
    return found


def _stage(config: dict[str, Any]) -> Estimate:
    datamodule = instantiate(config["datamodule"], "datamodule")
    if not isinstance(datamodule, DescribesBatch):
        raise UserError(f"datamodule: {type(datamodule).__name__} has no empty_batch(), which describes a batch")
    batches, store, missing = _cohort(datamodule)
    settings = {**config["trainer"], **HERE}
    settings["precision"] = str(settings["precision"]).replace("16-", "bf16-").replace("bfbf", "bf")  # of equal size
    step = _Step()
    with _quiet(), shapes_only() as shapes, suppress(_Measured):
        module = instantiate(without_pretrained(config["lightning_module"]), "lightning_module")
        shapes.take(module)
        batch = datamodule.empty_batch()
        batch = module.prepared(batch) if isinstance(module, PreparesBatches) else batch
        module.on_fit_start = lambda: None  # it reads the data
        trainer = make_trainer(settings, Path(), callbacks=[step])
        trainer.fit(module, datamodule=_Described(batch, batches or _NOMINAL))
    return Estimate(
        precision=str(config["trainer"]["precision"]),
        parameters=sum(weight.numel() for weight in module.parameters()),
        weights=step.weights * (1 + _averages(config.get("callbacks") or {})),
        gradients=step.gradients,
        optimizer=step.optimizer,
        activations=step.peak - step.weights - step.gradients - step.optimizer,
        flops=step.flops,
        batches=step.batches,
        steps=_steps(config["trainer"], batches, step.batches),
        store=store,
        missing=missing if batches is None else "",
    )


def _cohort(datamodule: Any) -> tuple[int | None, float | None, str]:
    """Batches of an epoch and GB in the store, as far as they are known, and what is missing."""
    batches, root = datamodule.batches_of_epoch, getattr(datamodule, "root", None)
    try:
        waiting = datamodule.waiting
    except FileNotFoundError as error:  # nothing is there to wait with
        waiting = str(error)
    if waiting or root is None or not Path(root).exists():
        return batches, None, waiting or f"no data in {root}: set {datamodule.layout}"
    began = time.time()
    with user_errors("datamodule"):
        datamodule.setup("fit")
        batches = len(datamodule.train_dataloader())
    entries = datamodule.store.entries() if hasattr(datamodule, "store") else []
    used = [size for _, size, at in entries if at >= began]
    return batches, sum(used) / 2**30 if used else None, ""


def _steps(trainer: dict[str, Any], batches: int | None, accumulated: int) -> int | None:
    """Steps of the optimiser in all."""
    limits = [trainer["max_steps"]] if trainer["max_steps"] >= 0 else []
    if batches is not None and trainer["max_epochs"] and trainer["max_epochs"] > 0:
        given = trainer.get("limit_train_batches")
        used = batches if given is None else int(batches * given) if isinstance(given, float) else min(batches, given)
        limits.append(trainer["max_epochs"] * math.ceil(used / accumulated))
    return min(limits, default=None)


def _averages(callbacks: dict[str, Any]) -> bool:
    """Whether a callback keeps an average of the weights beside them."""
    classes = [hydra.utils.get_object(entry["_target_"]) for entry in callbacks.values() if entry]
    return any(isinstance(each, type) and issubclass(each, WeightAveraging) for each in classes)


class Repeated:
    """One batch over and over."""

    def __init__(self, batch: dict[str, Any], count: int) -> None:
        self.batch, self.count = batch, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The batches of an epoch."""
        return itertools.repeat(self.batch, self.count)


class _Described(L.LightningDataModule):
    """The data of a training on shapes."""

    def __init__(self, batch: dict[str, Any], count: int) -> None:
        super().__init__()
        self.batch, self.count = batch, count

    def train_dataloader(self) -> Repeated:
        """The batches of an epoch."""
        return Repeated(self.batch, self.count)

    def ordered_dataloader(self, split: str) -> Repeated:
        """One batch, for a module that fits something between steps."""
        return Repeated(self.batch, 1)


class _Measured(Exception):
    """Ends the training."""


class _Step(L.Callback):
    """Measures the second step of the optimiser, which has a state since the first; memory in GB."""

    def __init__(self) -> None:
        self.weights = self.gradients = self.optimizer = self.peak = self.flops = 0.0
        self.batches = 0
        self._counters: tuple[Allocations, Flops] | None = None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Start to count."""
        if trainer.global_step == 1 and self._counters is None:
            trained = [weight for weight in pl_module.parameters() if weight.requires_grad]
            self.weights = _gb(pl_module.parameters(), pl_module.buffers())
            self.gradients = _gb(trained)
            self.optimizer = _gb([optimizer.state_dict() for optimizer in trainer.optimizers])
            self._counters = Allocations(), Flops()
            self._counters[0].count(*held_before_step(trainer, pl_module, batch))
            for counter in self._counters:
                counter.__enter__()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *batch: object) -> None:
        """Stop after the step.

        Raises:
            _Measured: Then.
        """
        self.batches += self._counters is not None
        if trainer.global_step == 2 and self._counters:
            for counter in reversed(self._counters):
                counter.__exit__(None, None, None)
            self.peak, self.flops = self._counters[0].peak / 1024, self._counters[1].count
            raise _Measured


def _gb(*trees: Iterable[object]) -> float:
    tensors = {id(leaf): leaf for leaf in tree_leaves([list(tree) for tree in trees]) if isinstance(leaf, Tensor)}
    return sum(tensor.nbytes for tensor in tensors.values()) / 2**30


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning, which tells of devices and of loaders."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
