"""Numbers that are read after the device has computed them, so that no step waits."""

import torch
from torch import Tensor

__all__ = ["Later"]


class Later:
    """A small tensor on its way to the host; on a CPU it is there at once.

    Args:
        tensor: Copied without waiting for the device.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._host = tensor.detach().to("cpu", non_blocking=True)
        self._copied: torch.cuda.Event | None = None
        if tensor.is_cuda:
            self._copied = torch.cuda.Event()
            self._copied.record()

    def read(self) -> Tensor:
        """The tensor on the host; waits if the device has not got there yet."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._host
