"""Finds operations that would make a training step wait for a GPU, on a machine without one."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ATEN = torch.ops.aten
NUMBERS = (ATEN._local_scalar_dense, ATEN.item, ATEN.is_nonzero, ATEN.equal, ATEN.nonzero, ATEN.masked_select)
INDEXING = (ATEN.index, ATEN.index_put, ATEN.index_put_, ATEN._index_put_impl_)
TO_HOST = {Tensor.tolist, Tensor.cpu, Tensor.numpy, Tensor.item, Tensor.__array__}
FROM_HOST = {torch.tensor, torch.as_tensor, Tensor.new_tensor}


class HostSync(TorchDispatchMode):
    """Raises where a number of a device tensor is asked for: `.item()`, `if tensor`, a mask as an index, and so on.

    Args:
        device: Tensors that lie on the device; what is computed from them does too. Others are on the host.
    """

    def __init__(self, device: list[Tensor]) -> None:
        super().__init__()
        self._held: dict[int, weakref.ref] = {}
        self._functions = _Functions(self)
        self.mark(device)

    def mark(self, tensors: list[Tensor]) -> None:
        """Take tensors for tensors on the device."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            key = storage._cdata
            self._held[key] = weakref.ref(storage, lambda _, key=key: self._held.pop(key, None))

    def holds(self, *values: Any) -> bool:
        """Whether a value is a device tensor, or holds one."""
        tensors = [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
        return any(tensor.untyped_storage()._cdata in self._held for tensor in tensors)

    def __enter__(self) -> "HostSync":
        self._functions.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._functions.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operation, unless it would wait."""
        here = self.holds(args, kwargs)
        if here and func.overloadpacket in NUMBERS:
            raise AssertionError(f"{func} waits for the device")
        if func.overloadpacket in INDEXING and self.holds(args[0]):
            for index in (leaf for leaf in tree_leaves(args[1]) if isinstance(leaf, Tensor)):
                if index.dtype is torch.bool:
                    raise AssertionError(f"{func} with a mask waits: use torch.where, or rows that are known")
                if not self.holds(index):
                    raise AssertionError(f"{func}: the index is copied from the host, which waits")
        returned = func(*args, **(kwargs or {}))
        if here:
            self.mark([leaf for leaf in tree_leaves(returned) if isinstance(leaf, Tensor)])
        return returned


class _Functions(TorchFunctionMode):
    """What the dispatcher of a CPU does not see."""

    def __init__(self, mode: HostSync) -> None:
        super().__init__()
        self.mode = mode

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in TO_HOST and self.mode.holds(args[0]):
            raise AssertionError(f"{func.__name__} waits for the device")
        placed = kwargs.get("device") is not None or func is Tensor.new_tensor
        if func in FROM_HOST and placed and not self.mode.holds(args[-1:]):
            raise AssertionError(f"{func.__name__} copies from the host to the device, and waits for it")
        returned = func(*args, **kwargs)
        sent = func is Tensor.to and kwargs.get("non_blocking")
        if sent and returned is args[0]:
            returned = returned.clone()  # a copy, as on a device
        if placed or sent:
            self.mode.mark([leaf for leaf in tree_leaves(returned) if isinstance(leaf, Tensor)])
        return returned
