"""Keeps the best checkpoint; the validation loss breaks ties of the monitored metric."""

import logging
import math
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

__all__ = ["BestCheckpoint"]

log = logging.getLogger(__name__)

_TOLERANCE = 1e-6  # relative: the order of a float32 sum changes less


class BestCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, with ties broken; by itself it keeps the first of several equal values.

    With few validation cases, an area under the curve reaches 1 long before a network is trained. Of all epochs with
    the best value of `monitor`, the one with the lowest `tie_break` is kept, and the log says so after training.

    Args:
        monitor: Metric that decides which epoch is best.
        mode: Whether it should be high (`max`) or low (`min`).
        tie_break: Metric that decides between equal ones, lower being better; null, or a metric that is not logged,
            breaks no ties.
        save_top_k: How many checkpoints are kept; ties are broken only with 1.
        **options: Further arguments of Lightning's callback.
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: str = "min",
        tie_break: str | None = "val/loss",
        save_top_k: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(monitor=monitor, mode=mode, save_top_k=save_top_k, **options)
        self.tie_break = tie_break
        self._tied: list[dict[str, Any]] = []  # all with the best score, the kept one first; `value` is tie_break's
        self._now: dict[str, Any] = {}

    def check_monitor_top_k(self, trainer: L.Trainer, current: Tensor | None = None) -> bool:
        """Whether this epoch is the best, on which all ranks agree."""
        if current is None or self.save_top_k != 1 or not self.best_k_models:
            return super().check_monitor_top_k(trainer, current)
        score, best = self._score(current), self._score(self.best_k_models[self.kth_best_model_path])
        better = score > best if self.mode == "max" else score < best
        if self._is_tied(current):
            better = self._now["value"] < self._tied[0]["value"]
        return trainer.strategy.reduce_boolean_decision(better)

    def state_dict(self) -> dict[str, Any]:
        """Lightning's state, and the tied epochs."""
        return {**super().state_dict(), "tied": self._tied}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore ties in the folder where the checkpoint was written; elsewhere Lightning starts anew, as ties do."""
        super().load_state_dict(state_dict)
        if self.dirpath == state_dict.get("dirpath", self.dirpath):
            self._tied = list(state_dict.get("tied", []))

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log which tie was broken."""
        if len(self._tied) < 2 or not trainer.is_global_zero or self.best_model_score is None:
            return
        kept, first = self._tied[0], min(self._tied, key=lambda each: each["order"])
        tied = f"{self.monitor} is {float(self.best_model_score):.4g} after {len(self._tied)} validations"
        why = f"{self.tie_break} is lowest, {kept['value']:.4g}"
        if kept is not first:
            log.info("%s: kept %s, whose %s (%s: %.4g)", tied, kept["when"], why, first["when"], first["value"])
        else:
            log.info("%s: kept the first, %s, whose %s", tied, kept["when"], why)

    def _save_monitor_checkpoint(self, trainer: L.Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        """Note the metrics of this epoch, and save it if it is the best."""
        loss = monitor_candidates.get(self.tie_break or "") if self.monitor != self.tie_break else None
        self._now = {"when": _position(trainer), "order": trainer.global_step}
        if loss is not None and not torch.isnan(loss):
            self._now["value"] = float(loss)
        super()._save_monitor_checkpoint(trainer, monitor_candidates)
        if self._now not in self._tied and self._is_tied(monitor_candidates.get(self.monitor or "")):
            self._tied.append(self._now)

    def _update_best_and_save(self, current: Tensor, trainer: L.Trainer, monitor_candidates: dict[str, Tensor]) -> None:
        """Put this epoch first before the checkpoint, which holds this state, is written."""
        others = self._tied if self._is_tied(current) else []
        self._tied = [self._now, *others] if "value" in self._now else []
        super()._update_best_and_save(current, trainer, monitor_candidates)

    def _is_tied(self, current: Tensor | None) -> bool:
        if current is None or "value" not in self._now or not self._tied or self.best_model_score is None:
            return False
        score, best = self._score(current), self._score(self.best_model_score)
        return math.isclose(score, best, rel_tol=_TOLERANCE)

    def _score(self, value: Tensor) -> float:
        """The value as a number; NaN is the worst, as in Lightning."""
        worst = -math.inf if self.mode == "max" else math.inf
        return worst if torch.isnan(value) else float(value)


def _position(trainer: L.Trainer) -> str:
    """The epoch or step, as the progress bar counts it."""
    if trainer.max_epochs in (None, -1):
        return f"step {trainer.global_step}"
    return f"epoch {trainer.current_epoch + 1}"
