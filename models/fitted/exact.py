"""Fitted numbers in double precision, whatever precision and device the run has."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from medzoo.models.fitted.part import FittedPart

__all__ = ["ExactPart"]


class ExactPart(FittedPart):
    """Keeps its buffers as they were fitted: a run in bfloat16 would round an equation to two digits.

    They follow the module to its device, but for MPS, which knows no double precision.
    """

    def declare(self, *names: str, dtype: torch.dtype = torch.float64) -> None:
        """Register empty buffers, whose shapes the fit decides; in double precision where nothing else is said."""
        super().declare(*names, dtype=dtype)

    @property
    def device(self) -> torch.device:
        """Where the numbers lie."""
        return self.fitted.device

    def exact(self, value: Any) -> Tensor:
        """A tensor or array in double precision where the numbers lie."""
        return torch.as_tensor(value, dtype=torch.float64, device=None).to(self.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        place = fn(torch.empty(0, device=self.device)).device
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = buffer.to("cpu" if place.type == "mps" else place)
        for child in self.children():
            child._apply(fn)
        return self
