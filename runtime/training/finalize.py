"""Between training and test: a module fits numbers to training and validation cases (`Finalizes`)."""

from typing import Any

import lightning as L
import torch

from medzoo.runtime.contracts import DataModule, Finalizes
from medzoo.runtime.errors import UserError

__all__ = ["finalize"]


def finalize(trainer: L.Trainer, module: L.LightningModule, datamodule: DataModule) -> None:
    """Call `module.finalize(datamodule)` on the first process and send its state to the others.

    The module is on its device, in evaluation mode, under the precision of the run.

    Args:
        trainer: After `fit`.
        module: With its final weights; unchanged if it has no `finalize`.
        datamodule: Set up for training.

    Raises:
        UserError: If the data cannot be fitted; on every process.
    """
    if not isinstance(module, Finalizes):
        return
    module.to(trainer.strategy.root_device).eval()
    error = _fitted(trainer, module, datamodule) if trainer.is_global_zero else ""
    error, state = trainer.strategy.broadcast((error, _state(module)))
    if error:
        raise UserError(error)
    module.load_state_dict(state)


def _fitted(trainer: L.Trainer, module: Finalizes, datamodule: DataModule) -> str:
    """Fit, and return the error, if any: other processes wait, and must raise it too."""
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
