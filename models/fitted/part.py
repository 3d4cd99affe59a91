"""The base of what is estimated from data after the weights: calibrations, thresholds, risk models, scalers."""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["FittedPart"]


class FittedPart(nn.Module):
    """Numbers that are fitted once, between training and test, and read by everything after that.

    A subclass registers its numbers as buffers, so that they are part of every checkpoint. A buffer that is empty until
    the fit takes the shape of what is fitted, or loaded.
    """

    fitted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.tensor(False))
        self._open: set[str] = set()

    def declare(self, *names: str, dtype: torch.dtype = torch.float32) -> None:
        """Register empty buffers, whose shapes the fit decides."""
        for name in names:
            self.register_buffer(name, torch.empty(0, dtype=dtype))
        self._open.update(names)

    def take(self, **numbers: Any) -> None:
        """Copy fitted numbers into the buffers of the same names.

        Args:
            **numbers: Arrays or scalars, shaped as the buffers; of any shape for those that were declared.

        Raises:
            ValueError: If a name is not that of a buffer, or a shape differs.
        """
        buffers = dict(self.named_buffers(recurse=False))
        for name, value in numbers.items():
            if name not in buffers:
                raise ValueError(f"{type(self).__name__}: {name} is none of its numbers")
            own = buffers[name]
            given = torch.as_tensor(value, dtype=own.dtype, device=own.device).clone()
            if given.shape != own.shape and name not in self._open:
                raise ValueError(f"{type(self).__name__}: {name} is {tuple(given.shape)}, not {tuple(own.shape)}")
            self._buffers[name] = given
        self.fitted.fill_(True)

    def check_fitted(self) -> None:
        """Refuse to be read before it is fitted.

        Raises:
            ValueError: If it has not been; names the remedy.
        """
        if not bool(self.fitted):
            raise ValueError(
                f"{type(self).__name__} has not been fitted: take the checkpoint that was tested, such as best.ckpt"
            )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Give declared buffers the shapes of what is loaded."""
        for name in self._open:
            if prefix + name in state_dict:
                own: Tensor = getattr(self, name)
                self._buffers[name] = own.new_empty(state_dict[prefix + name].shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)
