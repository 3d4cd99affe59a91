"""The base of what is estimated from data after the weights: calibrations, thresholds, risk models, scalers."""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["FittedPart"]


class FittedPart(nn.Module):
    """Numbers that are fitted once, between training and test, and read by everything after that.

    A subclass registers its numbers as buffers, so that they are part of every checkpoint.
    """

    fitted: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fitted", torch.tensor(False))

    def take(self, **numbers: Any) -> None:
        """Copy fitted numbers into the buffers of the same names.

        Args:
            **numbers: Arrays or scalars, shaped as the buffers.

        Raises:
            ValueError: If a name is not that of a buffer, or a shape differs.
        """
        buffers = dict(self.named_buffers(recurse=False))
        for name, value in numbers.items():
            given = torch.as_tensor(value)
            if name not in buffers or given.shape != buffers[name].shape:
                raise ValueError(f"{type(self).__name__}: {name} {tuple(given.shape)} is none of its numbers")
            buffers[name].copy_(given)
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
