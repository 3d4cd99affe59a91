"""Runs PyTorch on shapes alone: networks of full size without memory."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop, sdpa_flop

__all__ = ["Flops", "Shapes", "shapes_only"]

aten = torch.ops.aten
_SMALL = 2**14  # elements
_FLOPS = {
    **flop_registry,
    aten._scaled_dot_product_flash_attention_for_cpu: sdpa_flop,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: sdpa_backward_flop,
}


@contextmanager
def shapes_only() -> Iterator["Shapes"]:
    """Inside, all tensors but small ones have shapes without values.

    Small tensors that are not computed from large ones, such as labels, keep their values. Where a value is asked for
    that nobody knows, a condition is true, a number is 1, and a mask selects all. Networks are not compiled.
    """
    with ExitStack() as inside:
        inside.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        inside.enter_context(torch.compiler.set_stance("force_eager"))
        inside.enter_context(patch.object(nn.Module, "_apply", lambda module, *_, **__: module))  # nothing is moved
        # It draws until no value lies outside its bounds, and nobody knows the values.
        inside.enter_context(patch.object(nn.init, "trunc_normal_", lambda tensor, *_, **__: tensor))
        yield inside.enter_context(Shapes())


class Flops(TorchDispatchMode):
    """Counts the floating-point operations of convolutions, matrix products and attention, forward and backward.

    A multiplication and an addition are two. As `torch.utils.flop_counter.FlopCounterMode` counts, and attention on a
    CPU too.

    Attributes:
        count: Operations so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """Run an operation and count it."""
        returned = func(*args, **(kwargs or {}))
        if count := _FLOPS.get(func._overloadpacket):
            self.count += count(*args, **(kwargs or {}), out_val=returned)
        return returned


class Shapes(TorchDispatchMode):
    """Computes with small tensors, and answers what only the values of others could tell; see `shapes_only`."""

    def __init__(self) -> None:
        super().__init__()
        self._small = _SMALL

    def take(self, module: nn.Module) -> None:
        """Make all weights of a module shapes alone, the small ones too."""
        made: dict[int, nn.Parameter] = {}  # weights may be shared
        self._small = -1
        for weights in (part._parameters for part in module.modules()):
            for name, weight in ((name, weight) for name, weight in weights.items() if weight is not None):
                new = nn.Parameter(torch.empty_like(weight), weight.requires_grad)
                weights[name] = made.setdefault(id(weight), new)
        self._small = _SMALL

    def __torch_dispatch__(
        self, func: OpOverload, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        """Run an operation."""
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if given and all(map(self._has_values, given)):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        if func is aten._local_scalar_dense.default:
            dtype = args[0].dtype
            return dtype == torch.bool or (1.0 if dtype.is_floating_point else 1)
        if func is aten.nonzero.default:
            return self._nonzero(args[0])
        if func is aten.masked_select.default:
            return torch.broadcast_tensors(*args)[0].reshape(-1).clone()
        if func in (aten.index.Tensor, aten.index_put.default, aten.index_put_.default):
            args = (args[0], self._without_masks(args[1]), *args[2:])
        returned = func(*args, **kwargs)
        if not given and isinstance(returned, Tensor) and returned.numel() <= self._small:
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        return returned

    def _has_values(self, tensor: Tensor) -> bool:
        return not isinstance(tensor, FakeTensor) and tensor.numel() <= self._small

    def _without_masks(self, indices: list[Tensor | None]) -> list[Tensor | None]:
        """Indices with masks replaced by the indices of what they select."""
        found: list[Tensor | None] = []
        for index in indices:
            mask = index is not None and index.dtype == torch.bool
            found += list(self._nonzero(index).unbind(1)) if mask else [index]  # type: ignore[arg-type]
        return found

    def _nonzero(self, mask: Tensor) -> Tensor:
        if not self._has_values(mask):
            return mask.new_zeros(mask.numel(), mask.ndim, dtype=torch.int64)
        with unset_fake_temporarily():
            return mask.nonzero()
