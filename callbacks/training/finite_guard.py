"""Stops a run when the loss is no longer finite, and names the first tensor that is not."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor, nn

from medzoo.callbacks.training.later import Later

__all__ = ["FiniteGuard"]


class _Seen(NamedTuple):
    """A loss that is checked later, and where it came from."""

    loss: Later
    batch: object
    epoch: int
    step: int


class FiniteGuard(L.Callback):
    """Raises `FloatingPointError` at the first loss that is NaN or infinite, naming the first bad tensor.

    It looks in the order of cause and effect: the batch, the weights, then the layers in another forward pass. On a CPU
    a loss is checked before it spoils the weights. On a GPU it is checked at the next backward pass, so that no step
    waits for it, and in any case before weights are saved; the weights may then be bad too.

    Args:
        every_n_steps: Check every n-th training step.
    """

    def __init__(self, every_n_steps: int = 1) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps={every_n_steps} must be at least 1")
        self.every_n_steps = every_n_steps
        self._batch: object = None
        self._waiting: list[_Seen] = []

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Keep the batch for the check."""
        self._batch = batch

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Check the loss: on a CPU this one, on a GPU the one before."""
        self._check(pl_module)
        if trainer.global_step % self.every_n_steps == 0:
            mean = Later(loss.detach().float().mean())
            self._waiting.append(_Seen(mean, self._batch, trainer.current_epoch, trainer.global_step))
        if self._is_here(loss):
            self._check(pl_module)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Check what is waiting: no checkpoint is written after a bad loss."""
        self._check(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check what is waiting."""
        self._check(pl_module)

    def _is_here(self, loss: Tensor) -> bool:
        return not loss.is_cuda

    def _check(self, module: L.LightningModule) -> None:
        waiting, self._waiting = self._waiting, []
        for seen in waiting:
            loss = float(seen.loss.read())
            if math.isfinite(loss):
                continue
            raise FloatingPointError(
                f"the loss is {loss} at epoch {seen.epoch}, step {seen.step}; first bad tensor: "
                f"{_first_bad(module, seen.batch)}. Try a lower learning rate, trainer.gradient_clip_val=1, or "
                "trainer.precision=32-true; debug=detect_anomaly shows the operation"
            )


def _first_bad(module: L.LightningModule, batch: object) -> str:
    """Name of the first tensor with NaN or infinity: in the batch, the weights or the outputs of layers."""
    for name, tensor in _tensors(batch, "batch"):
        if not torch.isfinite(tensor).all():
            return f"{name} {tuple(tensor.shape)}"
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            return f"weights of {name} {tuple(tensor.shape)}"
    return _first_bad_output(module, batch) or "the loss itself (every layer's output is finite)"


def _first_bad_output(module: L.LightningModule, batch: object) -> str | None:
    found: list[str] = []

    def look(name: str, output: object) -> None:
        for _, tensor in _tensors(output, ""):
            if not found and not torch.isfinite(tensor).all():
                found.append(f"output of {name} {tuple(tensor.shape)}")

    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: look(name, output))
        for name, layer in module.named_modules()
        if name and not isinstance(layer, nn.ModuleList) and not next(layer.children(), None)
    ]
    log, module.log = module.log, lambda *_, **__: None  # type: ignore[method-assign] # other ranks do not log now
    try:
        with torch.no_grad(), module.trainer.precision_plugin.forward_context():
            module.training_step(batch, 0)
    finally:
        module.log = log  # type: ignore[method-assign]
        for hook in hooks:
            hook.remove()
    return found[0] if found else None


def _tensors(value: object, name: str) -> Iterator[tuple[str, Tensor]]:
    """Floating-point tensors in nested dicts and sequences, with their names."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield name, value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _tensors(entry, f"{name}['{key}']")
    elif isinstance(value, (list, tuple)):
        for index, entry in enumerate(value):
            yield from _tensors(entry, f"{name}[{index}]")
