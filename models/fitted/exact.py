"""Fitted numbers in double precision, whatever precision and device the run has."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor

from models.fitted.part import FittedPart

__all__ = ["ExactPart"]


class ExactPart(FittedPart):
    """Keeps its buffers as they were fitted: a run in bfloat16 would round an equation to two digits.

    They follow the module to its device, but for MPS, which knows no double precision.
    """

    def declare(self, *names: str, dtype: torch.dtype = torch.float64) -> None:
        """Register empty buffers, whose shapes the fit decides."""
        for name in names:
            self.register_buffer(name, torch.empty(0, dtype=dtype))

    def take(self, **numbers: Any) -> None:  # TEMPORARY
        for name, value in numbers.items():
            given = torch.as_tensor(value).to(self._buffers[name])
            self._buffers[name] = given.clone()
        self.fitted.fill_(True)

    def _load_from_state_dict(self, state_dict, prefix, *rest):  # TEMPORARY
        for name, buffer in self._buffers.items():
            if prefix + name in state_dict:
                self._buffers[name] = buffer.new_empty(state_dict[prefix + name].shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)

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
