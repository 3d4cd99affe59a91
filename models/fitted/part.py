"""Base of everything fitted after the weights: calibrations, thresholds, risk models, scalers."""

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

__all__ = ["ExactPart", "FittedPart"]


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
