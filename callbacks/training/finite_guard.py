"""Stops a run when the loss is no longer finite, and names the first tensor that is not."""

from collections.abc import Iterator

import lightning as L
import torch
from torch import Tensor, nn

__all__ = ["FiniteGuard"]


class FiniteGuard(L.Callback):
    """Raises `FloatingPointError` at the first loss that is NaN or infinite, naming the first bad tensor.

    It looks in the order of cause and effect: the batch, the weights, then the layers in another forward pass. The
    check waits for the loss; on a GPU a larger `every_n_steps` is faster and finds the fault later.

    Args:
        every_n_steps: Check every n-th training step.
    """

    def __init__(self, every_n_steps: int = 1) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps={every_n_steps} must be at least 1")
        self.every_n_steps = every_n_steps
        self._batch: object = None

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Keep the batch for the check."""
        self._batch = batch

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        """Check the loss before it spoils the weights."""
        if trainer.global_step % self.every_n_steps or torch.isfinite(loss).all():
            return
        where = _first_bad(pl_module, self._batch)
        raise FloatingPointError(
            f"the loss is {loss.detach().float().mean().item()} at epoch {trainer.current_epoch}, step "
            f"{trainer.global_step}; first bad tensor: {where}. Try a lower learning rate, "
            "trainer.gradient_clip_val=1, or trainer.precision=32-true; debug=detect_anomaly shows the operation"
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
