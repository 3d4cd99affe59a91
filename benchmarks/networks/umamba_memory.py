"""U-Mamba-Enc at nnU-Net's plan for head CT (patch 16 x 320 x 320, batch 2), float32: memory and Mamba's share.

It was not trained at this size here: all rows marked as estimates are computed from shapes. The first rows compare the
scan of each stage, forward and backward, with chunk lengths of a GPU, against `mambapy.pscan`, whose tensors hold B x L
x D x N values (`benchmarks.networks.memory` has both formulas; D is twice the features, N = 16, voxels are tokens). The
next rows measure a step (forward and backward) of the full-width network at patch 16 x 64 x 64, batch 1, with and
without Mamba: seconds and resident memory in a separate process for each, the fastest of three steps; allocated memory
counted tensor by tensor. The last rows repeat this count at full size without computing anything (fake tensors, chunks
of a GPU). It covers weights, gradients and activations, but not Adam's moments (twice the weights, under 0.5 GB), the
convolutions' workspaces, the loss, or allocator overhead. It is compared with the small step, scaled linearly with the
voxels. The compiled kernel of mamba_ssm, which replaces the scan where it is installed, is not considered.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch._subclasses import FakeTensorMode

from benchmarks import ROOT
from benchmarks.networks.memory import chunked, mambapy
from benchmarks.tables.row import Row, print_rows
from medzoo.models import UMamba
from medzoo.models.state_space import MambaLayer
from medzoo.models.state_space.selective_scan import _STATES, _Chunked
from medzoo.runtime.training.costs.allocations import Allocations

__all__ = ["allocated", "run", "tokens"]

FEATURES = (32, 64, 128, 256, 320, 320, 320)
STRIDES = ((1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2))
KERNELS = ((1, 3, 3),) * 3 + ((3, 3, 3),) * 4
PATCH, BATCH = (16, 320, 320), 2
SMALL = (16, 64, 64)
EXPAND, STATES = 2, 16
STEPS = 3
CARDS_GB = (24, 80)
BUSY = 1.3  # load above which something else is running
ROOM = 0.9  # share of a card; the rest is for the context, workspaces and fragmentation


def run() -> list[Row]:
    """Estimate every stage, measure the small step, count the full one."""
    busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > BUSY
    with_mamba, without = (_measured(mamba) for mamba in ("enc", "none"))
    said = "measured with another job beside it" if busy else "measured"
    return [*_stage_rows(), *_small_rows(with_mamba, without, said), *_full_rows(with_mamba, without)]


def tokens(patch: Sequence[int]) -> list[tuple[int, ...]]:
    """Voxels along each axis at each stage, rounded up if a stride does not divide a side."""
    sizes, size = [], tuple(patch)
    for stride in STRIDES:
        size = tuple(-(-side // step) for side, step in zip(size, stride, strict=True))
        sizes.append(size)
    return sizes


def allocated(mamba: str, patch: Sequence[int], batch: int, *, fake: bool, device: str = "cuda") -> dict[str, float]:
    """Count what a step allocates.

    Args:
        mamba: As for `UMamba`.
        patch: Voxels along each axis.
        batch: Number of patches.
        fake: Compute only shapes.
        device: Device whose chunk length is used.

    Returns:
        MB: `weights`, `forward` (held after the forward pass, including weights) and `peak`.
    """
    own = dict(_STATES)
    _STATES.update(dict.fromkeys(own, own[device]))  # tensors of shapes alone count as those of a GPU
    try:
        with FakeTensorMode() if fake else nullcontext():
            network, image = _network(mamba), torch.zeros(batch, 1, *patch)
            with Allocations() as held:
                held.count(*network.parameters())
                weights = held.now
                loss = _loss(network, image)
                forward = held.now
                loss.backward()
    finally:
        _STATES.update(own)
    return {"weights": weights, "forward": forward, "peak": held.peak}


def _network(mamba: str) -> UMamba:
    return UMamba(3, 1, 2, FEATURES, STRIDES, KERNELS, mamba=mamba, scan="chunked")


def _loss(network: UMamba, image: torch.Tensor) -> torch.Tensor:
    return torch.stack([logits.square().mean() for logits in network(image)]).sum()


def _scans(patch: Sequence[int], batch: int, scan: Callable, **options: Any) -> list:
    sizes = [size[0] * size[1] * size[2] for size in tokens(patch)]
    return [scan(batch, n, EXPAND * width, STATES, **options) for n, width in zip(sizes, FEATURES, strict=True)]


def _stage_rows() -> list[Row]:
    rows = []
    parts = (tokens(PATCH), _scans(PATCH, BATCH, chunked), _scans(PATCH, BATCH, mambapy))
    for stage, (size, ours, theirs) in enumerate(zip(*parts, strict=True)):
        width = EXPAND * FEATURES[stage]
        one = BATCH * size[0] * size[1] * size[2] * width * STATES * 4 / 2**20
        remark = f"estimate; keeps {ours.kept:,.0f} MB; one tensor of B x L x D x N: {one:,.0f} MB"
        case = f"scan of stage {stage}, {' x '.join(map(str, size))}, D = {width}, peer mambapy"
        rows.append(Row(case, "MB", ours.peak, theirs.peak, remark=remark))
    return rows


def _small_rows(with_mamba: dict[str, float], without: dict[str, float], said: str) -> list[Row]:
    name = f"a step at {' x '.join(map(str, SMALL))}, peer without Mamba"
    kept = sum(scan.kept for scan in _scans(SMALL, 1, chunked, device="cpu"))
    remark = f"the scans keep {kept:,.0f} MB (estimate)"
    rows = [Row(f"{name}: time", "s", with_mamba["seconds"], without["seconds"], remark=said)]
    rows += [
        Row(f"{name}: {kind} memory", "MB", with_mamba[key], without[key], remark=text)
        for kind, key, text in (("resident", "mb", said), ("allocated", "peak", remark))
    ]
    names = {"layers": "the Mamba layers", "scans": "the scans", "seconds": "the step with them"}
    return rows + [
        Row(f"{names[part]} alone, peer {names[of]}", "s", with_mamba[part], with_mamba[of], remark=said)
        for part, of in (("layers", "seconds"), ("scans", "layers"))
    ]


def _full_rows(with_mamba: dict[str, float], without: dict[str, float]) -> list[Row]:
    name = f"a step at {' x '.join(map(str, PATCH))}, batch {BATCH}, peer without Mamba"
    counted = [allocated(mamba, PATCH, BATCH, fake=True)["peak"] for mamba in ("enc", "none")]
    times = BATCH * PATCH[1] * PATCH[2] / (SMALL[1] * SMALL[2])
    linear = [part["weights"] + times * (part["peak"] - part["weights"]) for part in (with_mamba, without)]
    kept = sum(scan.kept for scan in _scans(PATCH, BATCH, chunked))
    remark = f"estimate; with Mamba {_cards(counted[0])}, without {_cards(counted[1])}; the scans keep {kept:,.0f} MB"
    return [
        Row(f"{name}: counted by shapes", "MB", *counted, remark=remark),
        Row(f"{name}: small step, linear in voxels", "MB", *linear, remark=f"estimate; {times:g} times the voxels"),
    ]


def _cards(mb: float) -> str:
    """Which cards have room for it."""
    fits = [f"{size} GB: {'yes' if mb <= ROOM * size * 1024 else 'no'}" for size in CARDS_GB]
    return f"({', '.join(fits)})"


def _measured(mamba: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.networks.umamba_memory", mamba]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def _measure(mamba: str, patch: Sequence[int] = SMALL) -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    network, image = _network(mamba), torch.zeros(1, 1, *patch)
    clock, steps = _Clock(network), []
    for _ in range(STEPS):
        network.zero_grad()
        clock.scans, clock.layers, start = 0.0, 0.0, time.perf_counter()
        _loss(network, image).backward()
        seconds = time.perf_counter() - start
        steps.append({"seconds": seconds, "scans": clock.scans, "layers": clock.layers})
    resident = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {
        **min(steps, key=lambda step: step["seconds"]),
        "mb": resident,
        **allocated(mamba, patch, 1, fake=False, device="cpu"),
    }


class _Clock:
    """Adds up the seconds in a network's Mamba layers and, for the rest of this process, in the scan."""

    def __init__(self, network: UMamba) -> None:
        self.scans = self.layers = self._start = 0.0
        for name in ("forward", "backward"):
            setattr(_Chunked, name, staticmethod(self._timed(getattr(_Chunked, name))))
        for layer in network.modules():
            if isinstance(layer, MambaLayer):
                layer.register_forward_pre_hook(self._enter)
                layer.register_forward_hook(self._leave)
                layer.register_full_backward_pre_hook(self._enter)
                layer.register_full_backward_hook(self._leave)

    def _enter(self, *_: object) -> None:
        self._start = time.perf_counter()

    def _leave(self, *_: object) -> None:
        self.layers += time.perf_counter() - self._start

    def _timed(self, function: Callable) -> Callable:
        def run(*args: object) -> object:
            start = time.perf_counter()
            returned = function(*args)
            self.scans += time.perf_counter() - start
            return returned

        return run


if __name__ == "__main__":
    if len(sys.argv) == 2:
        print(json.dumps(_measure(sys.argv[1])))
    else:
        print_rows("umamba_memory", run())
