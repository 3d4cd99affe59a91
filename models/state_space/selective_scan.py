"""The selective scan of Mamba in plain PyTorch: any device, any length, memory that does not grow with the states.

Gu and Dao 2023 (arXiv:2312.00752), section 3; with A discretised by zero-order hold and B by Euler's rule, as in
github.com/state-spaces/mamba (Apache-2.0):

    h_t = exp(dt_t A) * h_{t-1} + dt_t u_t B_t,    y_t = <C_t, h_t>,    h_{-1} = 0

A sequence of length L is cut into chunks that are walked side by side: L steps become `chunk` steps on all chunks at
once. The state at the end of a chunk is known only after the walk, so each chunk is walked twice: first from zero, for
its final state, then from its true initial state. All factors are exp(dt A) <= 1, so nothing can overflow. The
backward pass recomputes from states stored every few steps, so no tensor has the size L * D * N.
"""

import importlib.util
import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.function import once_differentiable

__all__ = ["Method", "selective_scan"]

Method = Literal["auto", "chunked", "loop", "kernel"]

_STATES = {"cpu": 2**17, "cuda": 2**22}
"""States processed together: few enough for a CPU's cache, enough to fill a GPU."""


def selective_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, *, method: Method = "auto", chunk: int | None = None
) -> Tensor:
    """The scan, in float32 (float64 if `u` is) also under autocast: bfloat16 would round a decay of 0.999 to 1.

    Args:
        u: (B, L, D) input.
        dt: (B, L, D) step sizes, not negative.
        A: (D, N) decay rates, negative.
        B: (B, L, N) input weights.
        C: (B, L, N) output weights.
        method: `chunked`; `loop`, one step after another, the slow reference; `kernel`, that of the package mamba_ssm;
            `auto`, the kernel on a GPU where it is installed, else `chunked`.
        chunk: Length of a chunk; by default one that suits the device.

    Returns:
        (B, L, D), without the skip connection D * u.

    Raises:
        ValueError: If shapes do not fit.
    """
    _check(u, dt, A, B, C)
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    with torch.autocast(u.device.type, enabled=False):
        u, dt, A, B, C = (part.to(dtype) for part in (u, dt, A, B, C))
        if method == "kernel" or (method == "auto" and u.is_cuda and _has_kernel()):
            return _kernel(u, dt, A, B, C)
        if method == "loop":
            return _loop(u, dt, A, B, C)
        length = chunk or _chunk_length(u, A)
        return _Chunked.apply(u, dt, A, B, C, min(length, u.shape[1]))


def _check(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> None:
    batch, length, channels = u.shape
    states = A.shape[-1]
    expected = {"dt": (dt, u.shape), "A": (A, (channels, states))}
    expected |= {name: (part, (batch, length, states)) for name, part in (("B", B), ("C", C))}
    for name, (part, shape) in expected.items():
        if tuple(part.shape) != tuple(shape):
            raise ValueError(f"{name} has the shape {tuple(part.shape)}; u {tuple(u.shape)} needs {tuple(shape)}")


def _chunk_length(u: Tensor, A: Tensor) -> int:
    device = "cuda" if isinstance(u, FakeTensor) else u.device.type  # shapes alone are those of a run on a GPU
    at_once = _STATES.get(device, _STATES["cpu"])
    chunks = max(1, at_once // (u.shape[0] * A.numel()))
    return max(1, math.ceil(u.shape[1] / chunks))


def _loop(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """One step after another."""
    state = u.new_zeros(u.shape[0], *A.shape)
    outputs = []
    for u_t, dt_t, B_t, C_t in zip(u.unbind(1), dt.unbind(1), B.unbind(1), C.unbind(1), strict=True):
        write = (dt_t * u_t)[:, :, None] * B_t[:, None, :]
        state = torch.exp(dt_t[:, :, None] * A) * state + write
        outputs.append((state * C_t[:, None, :]).sum(-1))
    return torch.stack(outputs, dim=1)


def _has_kernel() -> bool:
    return importlib.util.find_spec("mamba_ssm") is not None


def _kernel(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # compiled for the GPU at hand; optional

    last = [part.transpose(1, 2).contiguous() for part in (u, dt, B, C)]
    return selective_scan_fn(last[0], last[1], A, last[2], last[3]).transpose(1, 2)


class _Chunked(torch.autograd.Function):
    """Inside, time comes first and states come before channels: (Q, R, ...) for Q steps of R = B * chunks rows."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk: int) -> Tensor:
        rows = [_to_rows(part, chunk) for part in (u, dt, B, C)]
        rates = A.T.contiguous()  # (N, D)
        start, block = _start_states(rows, rates, len(u)), _block_length(chunk)
        y, kept = _outputs(rows, rates, start, block)
        ctx.save_for_backward(*rows, rates, kept)
        ctx.batch, ctx.length, ctx.block = len(u), u.shape[1], block
        return _from_rows(y, ctx.batch, ctx.length)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        *rows, rates, kept = ctx.saved_tensors
        gradients = _gradients(rows, rates, kept, _to_rows(dy, len(rows[0])), ctx.batch, ctx.block)
        du, ddt, dB, dC = (_from_rows(part, ctx.batch, ctx.length) for part in gradients[:4])
        return du, ddt, gradients[4].T, dB, dC, None


def _to_rows(x: Tensor, chunk: int) -> Tensor:
    """(B, L, K) to (Q, B * chunks, K). Padding has dt = 0, which neither decays a state nor writes to it."""
    batch, length, channels = x.shape
    chunks = math.ceil(length / chunk)
    x = torch.nn.functional.pad(x, (0, 0, 0, chunks * chunk - length))
    return x.view(batch, chunks, chunk, channels).permute(2, 0, 1, 3).reshape(chunk, batch * chunks, channels)


def _from_rows(x: Tensor, batch: int, length: int) -> Tensor:
    return x.unflatten(1, (batch, -1)).permute(1, 2, 0, 3).flatten(1, 2)[:, :length]


def _block_length(chunk: int) -> int:
    """Steps between states that are kept for the backward pass: as many blocks as steps in a block, up to 32."""
    return max(1, min(32, math.isqrt(chunk)))


def _steps(count: int, walked: Tensor) -> range:
    """Numbers of all steps; of tensors with shapes alone the first says all, since nothing in a step outlives it."""
    return range(min(count, 1) if isinstance(walked, FakeTensor) else count)


def _decay(dt: Tensor, rates: Tensor, out: Tensor) -> Tensor:
    return torch.mul(dt[..., None, :], rates, out=out).exp_()


def _start_states(rows: list[Tensor], rates: Tensor, batch: int) -> Tensor:
    """(R, N, D) states at the start of each chunk."""
    u, dt, B, _ = rows
    state = u.new_zeros(u.shape[1], *rates.shape)
    decay = torch.empty_like(state)
    for q in _steps(len(u), u):
        state.mul_(_decay(dt[q], rates, decay)).addcmul_(B[q, :, :, None], (dt[q] * u[q])[:, None])
    return _link(state, _decay(dt.sum(0), rates, decay), batch)


def _link(end: Tensor, decay: Tensor, batch: int) -> Tensor:
    """What enters each chunk, of what leaves it when nothing enters, and the share of what enters that leaves."""
    end, decay = end.unflatten(0, (batch, -1)), decay.unflatten(0, (batch, -1))
    enter = torch.zeros_like(end)
    for chunk in _steps(end.shape[1], end)[1:]:
        torch.addcmul(end[:, chunk - 1], decay[:, chunk - 1], enter[:, chunk - 1], out=enter[:, chunk])
    return enter.flatten(0, 1)


def _outputs(rows: list[Tensor], rates: Tensor, start: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Outputs (Q, R, D), and the states before every `block`-th step (blocks, R, N, D)."""
    u, dt, B, C = rows
    y, state, decay = torch.empty_like(u), start, torch.empty_like(start)
    kept = start.new_empty(math.ceil(len(u) / block), *start.shape)
    for q in _steps(len(u), u):
        if q % block == 0:
            kept[q // block] = state
        state.mul_(_decay(dt[q], rates, decay)).addcmul_(B[q, :, :, None], (dt[q] * u[q])[:, None])
        torch.bmm(C[q, :, None], state, out=y[q, :, None])
    return y, kept


def _gradients(
    rows: list[Tensor], rates: Tensor, kept: Tensor, dy: Tensor, batch: int, block: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of u, dt, B, C (all in rows) and of the rates (N, D).

    With g_t = C_t dy_t + a_{t+1} g_{t+1}, the gradient of state t: dC_t = <dy_t, h_t>, dB_t = dt_t <u_t, g_t>,
    d(dt_t u_t) = <B_t, g_t>, and d(dt_t A) = g_t a_t h_{t-1}.
    """
    u, dt, B, C = rows
    carry = _end_gradients(rows, rates, dy, batch)  # a_{t+1} g_{t+1}
    du, ddt, dB, dC, drates = (torch.zeros_like(part) for part in (u, dt, B, C, rates))
    for index in reversed(_steps(len(kept), u)):
        part = slice(index * block, (index + 1) * block)
        before, decay = _states_of_block(kept[index], u[part], dt[part], B[part], rates)
        gradient = torch.empty_like(decay)
        for q in reversed(_steps(len(decay), u)):
            torch.addcmul(carry, C[part][q, :, :, None], dy[part][q, :, None], out=gradient[q])
            torch.mul(gradient[q], decay[q], out=carry)
        written = _over_states(B[part], gradient)
        dC[part] = _over_channels(before[1:], dy[part])
        dB[part] = _over_channels(gradient, dt[part] * u[part])
        exponent = gradient.mul_(decay).mul_(before[:-1])
        du[part] = written * dt[part]
        ddt[part] = torch.mul(exponent, rates, out=decay).sum(2).addcmul_(written, u[part])
        drates += exponent.mul_(dt[part][:, :, None]).sum((0, 1))
        del before, decay, gradient, exponent, written  # else they would lie beside those of the next block
    return du, ddt, dB, dC, drates


def _over_states(weights: Tensor, states: Tensor) -> Tensor:
    """Sum of states (Q, R, N, D) with weights (Q, R, N): (Q, R, D)."""
    return torch.bmm(weights.flatten(0, 1)[:, None], states.flatten(0, 1)).view(*states.shape[:2], -1)


def _over_channels(states: Tensor, weights: Tensor) -> Tensor:
    """Sum of states (Q, R, N, D) with weights (Q, R, D): (Q, R, N)."""
    return torch.bmm(states.flatten(0, 1), weights.flatten(0, 1)[:, :, None]).view(*states.shape[:2], -1)


def _end_gradients(rows: list[Tensor], rates: Tensor, dy: Tensor, batch: int) -> Tensor:
    """(R, N, D) what the chunks after each one add to the gradient of its last state."""
    _, dt, _, C = rows
    carry = dy.new_zeros(dy.shape[1], *rates.shape)
    decay = torch.empty_like(carry)
    for q in reversed(_steps(len(dy), dy)):
        carry.addcmul_(C[q, :, :, None], dy[q, :, None]).mul_(_decay(dt[q], rates, decay))
    whole = _decay(dt.sum(0), rates, decay)
    return _backwards(_link(_backwards(carry, batch), _backwards(whole, batch), batch), batch)


def _backwards(rows: Tensor, batch: int) -> Tensor:
    """The chunks of each sequence, last one first."""
    return rows.unflatten(0, (batch, -1)).flip(1).flatten(0, 1)


def _states_of_block(start: Tensor, u: Tensor, dt: Tensor, B: Tensor, rates: Tensor) -> tuple[Tensor, Tensor]:
    """States before and after each step of a block (steps + 1, R, N, D), and decays (steps, R, N, D)."""
    decay = _decay(dt, rates, start.new_empty(len(u), *start.shape))
    states = start.new_empty(len(u) + 1, *start.shape)
    states[0] = start
    for q in _steps(len(u), u):
        torch.mul(states[q], decay[q], out=states[q + 1])
        states[q + 1].addcmul_(B[q, :, :, None], (dt[q] * u[q])[:, None])
    return states, decay
