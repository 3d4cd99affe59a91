"""Settings of the training step that every module takes: speed and memory, for the same losses."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.utils.checkpoint import checkpoint

__all__ = ["StepSettings", "fused", "prepare"]

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
"""Memory formats of the weights of convolutions, by their number of axes."""


class StepSettings(TypedDict, total=False):
    """Settings of `OptimizedModule`, which every module passes on."""

    compile: bool
    gradient_checkpointing: bool
    channels_last: bool


def prepare(networks: Iterable[nn.Module], settings: StepSettings) -> None:
    """Apply the settings to networks, in place; names of weights stay the same.

    Raises:
        ValueError: If no network has blocks to compute again.
    """
    networks = list(networks)
    if settings.get("channels_last"):
        _channels_last(networks)
    if settings.get("gradient_checkpointing"):
        blocks = [block for net in networks for block in blocks_of(net)]
        if not blocks:
            names = ", ".join(dict.fromkeys(type(net).__name__ for net in networks))
            raise ValueError(f"gradient_checkpointing=true: {names} has no blocks to compute again; set it to false")
        for block in blocks:
            _recompute(block)
    if settings.get("compile"):
        for part in (part for net in networks for part in called_of(net)):
            part.compile()


def fused(optimizer: Callable[..., Any]) -> Callable[..., Any]:
    """An optimiser of torch that updates all weights in one kernel; others, and those that say `fused`, as they are."""
    kind = optimizer.func if isinstance(optimizer, partial) else optimizer
    said = optimizer.keywords if isinstance(optimizer, partial) else {}
    takes = inspect.isclass(kind) and "fused" in inspect.signature(kind).parameters
    return partial(optimizer, fused=True) if takes and not {"fused", "foreach"} & said.keys() else optimizer


def called_of(net: nn.Module) -> list[nn.Module]:
    """The parts that are called, which can be compiled: the network, those that it names, or its children."""
    if hasattr(net, "called_parts"):
        return list(cast(Iterable[nn.Module], net.called_parts))
    return [net] if type(net).forward is not nn.Module.forward else list(net.children())


def blocks_of(net: nn.Module) -> list[nn.Module]:
    """Blocks whose activations may be computed again in the backward pass.

    They are those that `recomputed_blocks` of the network names; else the entries of its lists and sequences, the
    outermost ones that are more than a single layer.
    """
    if hasattr(net, "recomputed_blocks"):
        return list(cast(Iterable[nn.Module], net.recomputed_blocks))
    return [block for child in net.children() for block in (_entries(child) if _lists(child) else blocks_of(child))]


def _entries(listed: nn.Module) -> list[nn.Module]:
    """The blocks of a list or sequence."""
    found = []
    for entry in listed.children():
        inner = _entries(entry) if _lists(entry) else []
        found += inner or ([entry] if next(entry.children(), None) is not None else [])
    return found


def _lists(part: nn.Module) -> bool:
    return type(part) in (nn.ModuleList, nn.Sequential)


def _channels_last(networks: list[nn.Module]) -> None:
    """Store the weights of convolutions with the channels last; their outputs follow."""
    for weight in (weight for net in networks for weight in net.parameters() if weight.ndim in FORMATS):
        weight.data = weight.data.contiguous(memory_format=FORMATS[weight.ndim])
    for part in (part for net in networks for part in net.modules() if isinstance(part, _InstanceNorm)):
        part.register_forward_hook(_ask_for_plain_gradient)


def _ask_for_plain_gradient(_norm: nn.Module, _inputs: object, output: Tensor) -> None:
    """On a CPU, instance norms of torch 2.14 give wrong gradients for one image whose gradient has channels last."""
    if output.requires_grad and not output.is_cuda:
        output.register_hook(Tensor.contiguous)


class _Recomputed(nn.Module):
    """Mixed into the class of a block: keeps its input and output only, and computes the rest again when needed."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        run = super().forward
        if not torch.is_grad_enabled():
            return run(*args, **kwargs)
        if torch.compiler.is_compiling():  # the compiler computes statistics once
            return checkpoint(run, *args, use_reentrant=False, **kwargs)
        contexts = lambda: (nullcontext(), _without_statistics(self))  # noqa: E731
        return checkpoint(run, *args, use_reentrant=False, context_fn=contexts, **kwargs)


def _recompute(block: nn.Module) -> None:
    if not isinstance(block, _Recomputed):
        block.__class__ = type(type(block).__name__, (_Recomputed, type(block)), {})


@contextmanager
def _without_statistics(block: nn.Module) -> Iterator[None]:
    """Inside, batch norms do not count a batch, which they have seen before, in their running statistics."""
    norms = [part for part in block.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
