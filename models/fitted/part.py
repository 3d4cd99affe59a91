"""Base of everything fitted after the weights: calibrations, thresholds, risk models, scalers."""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["FittedPart"]


class FittedPart(nn.Module):
    """Numbers fitted once, between training and test, and only read afterwards.

    A subclass registers them as buffers, so that checkpoints contain them. A declared buffer is empty before the fit
    and takes the shape of the fitted or loaded value.
    """

    fitted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.tensor(False))
        self._open: set[str] = set()

    def declare(self, *names: str, dtype: torch.dtype = torch.float32) -> None:
        """Register empty buffers, whose shapes the fit determines."""
        for name in names:
            self.register_buffer(name, torch.empty(0, dtype=dtype))
        self._open.update(names)

    def take(self, **numbers: Any) -> None:
        """Copy fitted numbers into the buffers of the same names.

        Args:
            **numbers: Arrays or scalars of the buffers' shapes; declared buffers take any shape.

        Raises:
            ValueError: If there is no buffer of that name, or its shape differs.
        """
        buffers = dict(self.named_buffers(recurse=False))
        for name, value in numbers.items():
            if name not in buffers:
                raise ValueError(f"{type(self).__name__}: no buffer {name}; there are {', '.join(buffers)}")
            own = buffers[name]
            given = torch.as_tensor(value, dtype=own.dtype, device=own.device).clone()
            if given.shape != own.shape and name not in self._open:
                raise ValueError(f"{type(self).__name__}: {name} is {tuple(given.shape)}, not {tuple(own.shape)}")
            self._buffers[name] = given
        self.fitted.fill_(True)

    def check_fitted(self) -> None:
        """Refuse to be read before the fit.

        Raises:
            ValueError: If it has not been fitted; names the remedy.
        """
        if not bool(self.fitted):
            raise ValueError(
                f"{type(self).__name__} has not been fitted: take the checkpoint that was tested, such as best.ckpt"
            )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Resize declared buffers to the loaded values."""
        for name in self._open:
            if prefix + name in state_dict:
                own: Tensor = getattr(self, name)
                self._buffers[name] = own.new_empty(state_dict[prefix + name].shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)
