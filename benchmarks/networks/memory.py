"""Estimates the memory of a selective scan from its shapes."""

import math
from dataclasses import dataclass

from medzoo.models.state_space.selective_scan import _STATES, _block_length

__all__ = ["ScanMemory", "chunked", "mambapy"]

_MB = 2**20
_FLOAT = 4  # bytes


@dataclass(frozen=True)
class ScanMemory:
    """Memory of one float32 scan in MB, in addition to its inputs u, dt, A, B and C.

    Args:
        kept: Held from the forward to the backward pass, including the output.
        peak: Largest amount held in the backward pass, in addition to the incoming gradient.
    """

    kept: float
    peak: float


def chunked(batch: int, length: int, channels: int, states: int, *, device: str = "cuda") -> ScanMemory:
    """Memory of `selective_scan(method="chunked")`, derived from its code.

    It keeps u, dt, B and C in rows of chunks, the states before every block, and the output. The backward pass adds
    the gradient in rows and the gradients of u, dt, B and C; then, in turn, the states, decays and gradients of one
    block, and a copy of the gradients in sequence order.

    Args:
        batch: Number of sequences, B.
        length: Length of each sequence, L.
        channels: Channels, D.
        states: States per channel, N.
        device: `cpu` or `cuda`; sets the chunk length.
    """
    steps = math.ceil(length / max(1, _STATES[device] // (batch * channels * states)))
    rows, block = batch * math.ceil(length / steps), min(_block_length(steps), steps)
    wide, narrow, state = rows * steps * channels, rows * steps * states, rows * states * channels
    kept = 3 * wide + 2 * narrow + state * math.ceil(steps / block)
    in_block = wide + state * (3 * block + 2) + 2 * block * rows * channels
    peak = kept + 2 * wide + 2 * narrow + max(in_block, 2 * wide + 2 * narrow)
    return ScanMemory(kept * _FLOAT / _MB, peak * _FLOAT / _MB)


def mambapy(batch: int, length: int, channels: int, states: int) -> ScanMemory:
    """Memory of `mambapy.pscan` as its `MambaBlock` calls it; its tensors hold B * L * D * N values.

    It keeps the decays exp(dt A), dt B, all states padded to a power of two, and a copy of them if several sequences
    are padded. The backward pass adds the gradient of the states, its copy, a shifted copy of the decays, the gradient
    of the decays and a product, all but the first also padded; the decays are padded once more if L is not a power of
    two.

    Args:
        batch: Number of sequences, B.
        length: Length of each sequence, L.
        channels: Channels, D.
        states: States per channel, N.
    """
    tensor = batch * length * channels * states
    padded = batch * 2 ** math.ceil(math.log2(length)) * channels * states
    kept = 2 * tensor + padded + batch * length * channels
    peak = kept + tensor + (4 if padded == tensor else 5) * padded
    copy = tensor if batch > 1 and padded > tensor else 0  # freed before the backward pass reaches the scan
    return ScanMemory((kept + copy) * _FLOAT / _MB, peak * _FLOAT / _MB)
