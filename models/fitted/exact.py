"""Fitted numbers in double precision, whatever the precision and device of the run."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from medzoo.models.fitted.part import FittedPart

__all__ = ["ExactPart"]


class ExactPart(FittedPart):
    """Keeps its buffers as they were fitted: a run in bfloat16 would round an equation to two digits.

    They follow the module to its device, except to MPS, which has no double precision.
    """

    def declare(self, *names: str, dtype: torch.dtype = torch.float64) -> None:
        """Register empty buffers, in double precision by default, whose shapes the fit determines."""
        super().declare(*names, dtype=dtype)

    @property
    def device(self) -> torch.device:
        """Device of the numbers."""
        return self.fitted.device

    def exact(self, value: Any) -> Tensor:
        """A tensor or array in double precision, on the device of the numbers."""
        return torch.as_tensor(value, dtype=torch.float64, device=None).to(self.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        place = fn(torch.empty(0, device=self.device)).device
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = buffer.to("cpu" if place.type == "mps" else place)
        for child in self.children():
            child._apply(fn)
        return self
