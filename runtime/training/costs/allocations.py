"""Memory of a computation, counted tensor by tensor."""

import weakref
from collections.abc import Callable
from functools import partial

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Allocations"]

_MB = 2**20


class Allocations(TorchDispatchMode):
    """Counts the MB of all tensors that are made inside this context, from their creation until they are freed.

    It sees what operations return, also in the backward pass on a CPU, but not the workspace inside an operation.
    Under `torch._subclasses.FakeTensorMode`, which computes shapes only, it measures what would not fit here.

    Attributes:
        now: MB held at the moment.
        peak: The largest `now`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0.0
        self._held: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, func: Callable, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        """Run an operation and count what it returned."""
        returned = func(*args, **(kwargs or {}))
        self.count(*(leaf for leaf in tree_leaves(returned) if isinstance(leaf, Tensor)))
        return returned

    def count(self, *tensors: Tensor) -> None:
        """Count tensors that exist already; views of one storage count once."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes() / _MB
            if key not in self._held:
                self._held[key] = weakref.ref(storage, partial(self._end, key, size))
                self.now += size
                self.peak = max(self.peak, self.now)

    def _end(self, key: int, size: float, _: object) -> None:
        del self._held[key]
        self.now -= size
