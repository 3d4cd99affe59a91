"""Between training and test: what a module fits to training and validation cases once its weights are final."""

from typing import Any

import lightning as L
import torch

from medzoo.runtime.contracts import DataModule, Finalizes
from medzoo.runtime.errors import UserError

__all__ = ["finalize"]


def finalize(trainer: L.Trainer, module: L.LightningModule, datamodule: DataModule) -> None:
    """Call `module.finalize(datamodule)` on the first process and hand its state to the others.

    The module is on its device, in evaluation mode, under the precision of the run. It may use training and validation
    cases; whatever it fits lies in buffers, so that the checkpoint keeps it.

    Args:
        trainer: After `fit`.
        module: With its final weights; left alone where it has no `finalize`.
        datamodule: Set up for training.

    Raises:
        UserError: If the data cannot be fitted; on every process.
    """
    if not isinstance(module, Finalizes):
        return
    module.to(trainer.strategy.root_device).eval()
    told = _fitted(trainer, module, datamodule) if trainer.is_global_zero else ""
    told, state = trainer.strategy.broadcast((told, _state(module)))
    if told:
        raise UserError(told)
    module.load_state_dict(state)


def _fitted(trainer: L.Trainer, module: Finalizes, datamodule: DataModule) -> str:
    """Fit; what went wrong is told to all processes, since the others wait."""
    try:
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            module.finalize(datamodule)
    except (ValueError, UserError) as error:
        return str(error)
    return ""


def _state(module: L.LightningModule) -> dict[str, Any]:
    return {
        name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in module.state_dict().items()
    }
