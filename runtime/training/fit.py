"""One stage of a run: built, checked, trained, and tested with its best checkpoint."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint

from medzoo.runtime.build import instantiate, instantiate_all, make_trainer
from medzoo.runtime.checkpoints import checkpoint
from medzoo.runtime.checkpoints.matching import check_same_order, waiting
from medzoo.runtime.contracts import Finalizes, Receives
from medzoo.runtime.errors import user_errors
from medzoo.runtime.output import run_folder
from medzoo.runtime.training.cost import Cost
from medzoo.runtime.training.finalize import finalize
from medzoo.runtime.training.ranks import fitting_strategy, processes
from medzoo.runtime.training.start import SameSchedule, check_intensities, goes_on, starting_point, try_out

__all__ = ["Stage", "fit"]

_JUDGED = ("test/", "development/")
"""Metrics that the test logs."""


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
        self.datamodule = instantiate(self.config["datamodule"], "datamodule")
        part = self.config["lightning_module"]
        part = checkpoint.without_pretrained(part) if goes_on(self.config, self.folder) else part
        self.module = instantiate(part, "lightning_module")
        self.strategy = fitting_strategy(self.config["trainer"], self.module)
        self.start = starting_point(self.config, self.folder, self.module)

    def clear(self) -> None:
        """Free both: the data of one stage should not fill the memory while another trains."""
        self.datamodule = self.module = None

    @property
    def waiting(self) -> str:
        """What is missing that an earlier stage will write; empty when nothing is."""
        return waiting(self.datamodule)

    def prepare(self) -> None:
        """Fetch and check the data, try two examples, and write the first files; on the first process only.

        Data that wait for an earlier stage are checked as far as they exist.
        """
        with user_errors("datamodule"):
            self.datamodule.prepare_data()
            if self.waiting:
                return
            self.datamodule.setup("fit")
            self.datamodule.processes = processes(self.config.get("trainer", {}))  # all ranks need full batches
            batches = self.datamodule.train_dataloader()
        check_intensities(self.module, self.datamodule)
        try_out(self.module, batches)
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


class _Results(Mapping[str, L.LightningModule]):
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


def fit(stage: Stage, earlier: list[Stage]) -> dict[str, float]:
    """Train a stage, test it with the checkpoint that `test_checkpoint` names, and set `stage.trained`.

    Args:
        stage: Built.
        earlier: Finished stages; a module with a method `receive` gets their modules by name.

    Returns:
        Its metrics, flat names and values.
    """
    module, config = stage.module, stage.config
    L.seed_everything(config["seed"], workers=True, verbose=False)  # independent of what was built or trained before
    if isinstance(module, Receives):
        stage.check_handed_on(earlier)
        with user_errors("lightning_module"):
            module.receive(_Results(earlier))
    cost = Cost()
    trainer = _trainer(stage, cost, SameSchedule())
    try:
        began = time.monotonic()
        trainer.fit(module, stage.datamodule, ckpt_path=stage.start, weights_only=True)
        minutes = (time.monotonic() - began) / 60
        tested = _tested_checkpoint(trainer, config["test_checkpoint"])
        best = _tested_checkpoint(trainer, "best")
        if tested and best and best != tested and isinstance(module, Finalizes):  # users predict with either
            _finish(stage, trainer, best)
        stage.trained = _finish(stage, trainer, tested)
        metrics = _metrics(trainer)
        if config["test_checkpoint"] == "best":  # instead of the validation metrics of the last epoch
            metrics = {name: value for name, value in metrics.items() if not name.startswith("val/")}
            metrics |= _best_score(trainer)
        trainer.test(module, stage.datamodule, verbose=False)
        trainer.strategy.barrier()  # a later stage of another process reads this checkpoint
        metrics |= {name: value for name, value in _metrics(trainer).items() if name.startswith(_JUDGED)}
    except BaseException:
        _close_loggers(trainer, "failed")
        raise
    _close_loggers(trainer, "success")
    return (
        metrics
        | cost.metrics
        | {
            "fit/minutes": minutes,
            "fit/epochs": trainer.current_epoch,
            "fit/steps": trainer.global_step,
            "model/parameters": sum(parameter.numel() for parameter in module.parameters()),
        }
    )


def _trainer(stage: Stage, *extra: L.Callback) -> L.Trainer:
    config, run = stage.config, stage.folder.parent if stage.name else stage.folder
    group = "/".join(run.parts[-2:])
    name = "/".join(part for part in (group, stage.name) if part) + (" (phantom)" if stage.datamodule.phantom else "")
    step = checkpoint.read(stage.start)["global_step"] if stage.start else 0
    known: dict[str, Any] = {"csv": {"step": step}, "wandb": {"run_name": name, "config": config}}
    if stage.name and not ((config["logger"] or {}).get("wandb") or {}).get("group"):  # a sweep has a group already
        known["wandb"]["group"] = group
    loggers = [
        built(save_dir=stage.folder, **known.get(key, {}))
        for key, built in zip(config["logger"] or {}, instantiate_all(config["logger"], "logger"), strict=True)
    ]
    callbacks = [checkpoint.EmbedConfig(config), *extra, *instantiate_all(config["callbacks"], "callbacks")]
    if not loggers:  # Lightning's monitor refuses to run without one
        callbacks = [callback for callback in callbacks if not isinstance(callback, LearningRateMonitor)]
    trainer = {**config["trainer"], "strategy": stage.strategy}
    return make_trainer(trainer, stage.folder, callbacks=callbacks, logger=loggers)


def _metrics(trainer: L.Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def _tested_checkpoint(trainer: L.Trainer, which: str) -> Path | None:
    """The checkpoint to test; None if none was written: then the current weights are tested."""
    if which == "last":
        last = Path(trainer.default_root_dir) / run_folder.LAST
        return last if last.is_file() else None
    best = _monitoring(trainer)
    return Path(best.best_model_path) if best and best.best_model_path else None


def _finish(stage: Stage, trainer: L.Trainer, path: Path | None) -> Path | None:
    """Finalize the module with the weights of a checkpoint, or the current ones, and save the result with them."""
    module = stage.module
    if path:
        checkpoint.initialise(module, checkpoint.read(path), path)
    finalize(trainer, module, stage.datamodule)
    path = path or _untrained_checkpoint(trainer, stage.config["test_checkpoint"])
    if path and trainer.is_global_zero:
        checkpoint.refresh(path, module)
    return path


def _untrained_checkpoint(trainer: L.Trainer, which: str) -> Path | None:
    """Save a checkpoint of a module that is only fitted: without training no callback writes one."""
    if trainer.max_epochs != 0 or not trainer.checkpoint_callbacks:
        return None
    path = Path(trainer.default_root_dir) / (run_folder.BEST if which == "best" else run_folder.LAST)
    trainer.save_checkpoint(path, weights_only=False)
    return path


def _best_score(trainer: L.Trainer) -> dict[str, float]:
    """The monitored metric at the best checkpoint, instead of that of the last epoch."""
    best = _monitoring(trainer)
    if best is None or best.monitor is None or best.best_model_score is None:
        return {}
    return {best.monitor: float(best.best_model_score)}


def _monitoring(trainer: L.Trainer) -> ModelCheckpoint | None:
    """The callback that keeps the best checkpoint."""
    return next((c for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.monitor), None)


def _close_loggers(trainer: L.Trainer, status: str) -> None:
    for logger in trainer.loggers:
        logger.finalize(status)
    if any(type(logger).__name__ == "WandbLogger" for logger in trainer.loggers):
        import wandb

        wandb.finish(exit_code=int(status != "success"))
