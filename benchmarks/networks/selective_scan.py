"""The selective scan, forward and backward, by the zoo, by a step-by-step loop and by mambapy's parallel scan.

One sequence of D = 64 channels with N = 16 states, float32, at three lengths; the longest is close to U-Mamba's second
stage on a patch of 16 x 320 x 320. The loop is `selective_scan(method="loop")`, the recurrence as autograd records it;
mambapy is `mambapy.pscan` as its `MambaBlock` calls it (`pip install -e '.[benchmarks]'`). Runs that take longer than
two minutes are stopped, and their row says so: at the longest length the loop had used 7 GB and was unfinished after
eighteen minutes. Each measurement runs in a process of its own, which warms up on a short sequence. Memory is the peak
resident size minus the peak before the scan, 0 if it stays below what importing torch took (on a GPU: the same for
allocated memory). Outputs and gradients of all three are compared first, on a short sequence.
"""

import gc
import json
import resource
import subprocess
import sys
import time

import torch
from torch import Tensor

from benchmarks import ROOT
from benchmarks.tables.row import Row, not_installed, print_rows
from medzoo.models.state_space import selective_scan

__all__ = ["run", "scan"]

CHANNELS, STATES = 64, 16
LENGTHS = (4_096, 32_768, 262_144)
PEERS = ("loop", "mambapy")
GOALS = {"loop": 0.1, "mambapy": 1.0}
MEMORY_GOAL_MB = 1500.0
PATIENCE_S = 120.0


def run() -> list[Row]:
    """Measure every length and method, each in a process of its own."""
    missing = {peer: not_installed(peer, "-e '.[benchmarks]'") for peer in PEERS if peer != "loop"}
    for peer in PEERS:
        if not missing.get(peer):
            _check(peer)
    rows = []
    for length in LENGTHS:
        ours = _measured("chunked", length)
        for peer in PEERS:
            case = f"L = {length:,}, peer {peer}"
            if told := missing.get(peer):
                rows.append(Row(case, "s", ours["seconds"], None, GOALS[peer], False, told))
                continue
            theirs = _measured(peer, length)
            what = "forward and backward" if "mb" in theirs else f"the peer was stopped after {PATIENCE_S:g} s"
            rows.append(Row(case, "s", ours["seconds"], theirs["seconds"], GOALS[peer], False, what))
            if "mb" not in theirs:
                continue
            remark = f"goal at the longest: {MEMORY_GOAL_MB:g} MB" if length == LENGTHS[-1] else ""
            rows.append(Row(f"{case}: memory", "MB", ours["mb"], theirs["mb"], 1.0, False, remark))
    return rows


def scan(method: str, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """Run one of the three methods on the arguments of `selective_scan`."""
    if method != "mambapy":
        return selective_scan(u, dt, A, B, C, method=method)
    from mambapy.pscan import pscan

    states = pscan(torch.exp(dt[..., None] * A), (dt[..., None] * B[:, :, None]) * u[..., None])
    return (states @ C[..., None]).squeeze(3)


def _inputs(length: int, device: str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, length, CHANNELS), (1, length, CHANNELS), (1, length, STATES), (1, length, STATES)]
    u, dt, B, C = (torch.randn(shape, generator=generator) for shape in shapes)
    rates = -torch.arange(1, STATES + 1).float().repeat(CHANNELS, 1)
    parts = (u, 0.1 * dt.sigmoid(), rates, B, C)
    return [part.to(device).requires_grad_() for part in parts]


def _check(peer: str) -> None:
    results = []
    for method in ("chunked", peer):
        parts = _inputs(300, "cpu")
        y = scan(method, *parts)
        y.square().sum().backward()
        results.append([y.detach(), *(part.grad for part in parts)])
    for ours, theirs in zip(*results, strict=True):
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max(), f"{peer} gives a different result"


def _measured(method: str, length: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.networks.selective_scan", method, str(length)]
    try:
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return {"seconds": PATIENCE_S}
    return json.loads(done.stdout)


def _measure(method: str, length: int) -> dict[str, float]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scan(method, *_inputs(256, device)).sum().backward()
    parts = _inputs(length, device)
    gc.disable()  # the loop's millions of tensors would trigger garbage collection all the time
    before = _peak_mb(device)
    start = time.perf_counter()
    scan(method, *parts).sum().backward()
    if device == "cuda":
        torch.cuda.synchronize()
    return {"seconds": time.perf_counter() - start, "mb": _peak_mb(device) - before}


def _peak_mb(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
    else:
        print_rows("selective_scan", run())
