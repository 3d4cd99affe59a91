"""Memory of a selective scan, from its shapes alone."""

import math
from dataclasses import dataclass

from medzoo.models.state_space.selective_scan import _STATES, _block_length

__all__ = ["ScanMemory", "chunked", "mambapy"]

_MB = 2**20
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class ScanMemory:
    """MB of one scan in float32, beside its inputs u, dt, A, B and C.

    Args:
        kept: Held from the forward pass to the backward pass, the output included.
        peak: Held at once in the backward pass, beside the gradient that comes in.
    """

    kept: float
    peak: float


def chunked(batch: int, length: int, channels: int, states: int, *, device: str = "cuda") -> ScanMemory:
    """Of `selective_scan(method="chunked")`, read off its code.

    Kept are u, dt, B and C in rows of chunks, states before every block, and the output. In the backward pass come
    the gradient in rows and the gradients of u, dt, B and C; then, one after the other, the states, decays and
    gradients of one block, and a copy of the gradients in the order of the sequence.

    Args:
        batch: B, sequences.
        length: L of each.
        channels: D.
        states: N of each channel.
        device: `cpu` or `cuda`, which sets the length of a chunk.
    """
    steps = math.ceil(length / max(1, _STATES[device] // (batch * channels * states)))
    rows, block = batch * math.ceil(length / steps), min(_block_length(steps), steps)
    wide, narrow, state = rows * steps * channels, rows * steps * states, rows * states * channels
    kept = 3 * wide + 2 * narrow + state * math.ceil(steps / block)
    in_block = wide + state * (3 * block + 2) + 2 * block * rows * channels
    peak = kept + 2 * wide + 2 * narrow + max(in_block, 2 * wide + 2 * narrow)
    return ScanMemory(kept * _FLOAT / _MB, peak * _FLOAT / _MB)


def mambapy(batch: int, length: int, channels: int, states: int) -> ScanMemory:
    """Of `mambapy.pscan` as its `MambaBlock` calls it, whose tensors have the size B * L * D * N.

    Kept are the decays exp(dt A), dt B, all states padded to a power of two, and a copy of them where several
    sequences are padded. In the backward pass come the gradient of the states, its copy, a shifted copy of the
    decays, the gradient of the decays and a product, all but the first padded too; the decays are padded once more
    where L is no power of two.

    Args:
        batch: B, sequences.
        length: L of each.
        channels: D.
        states: N of each channel.
    """
    tensor = batch * length * channels * states
    padded = batch * 2 ** math.ceil(math.log2(length)) * channels * states
    kept = 2 * tensor + padded + batch * length * channels
    peak = kept + tensor + (4 if padded == tensor else 5) * padded
    copy = tensor if batch > 1 and padded > tensor else 0  # gone when the backward pass reaches the scan
    return ScanMemory((kept + copy) * _FLOAT / _MB, peak * _FLOAT / _MB)
