"""Plan a U-Net for a data set by nnU-Net's rules, as pure functions of spacings and sizes.

Isensee et al. 2021 (doi:10.1038/s41592-020-01008-z), supplement 2; github.com/MIC-DKFZ/nnUNet, commit 0e49508
(Apache-2.0). All axes are in array order, z first in 3-D; nnU-Net moves the coarsest axis to the front, which is where
the slices of a head CT are already.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Plan", "feature_map_voxels", "make_plan", "target_spacing", "topology"]

MIN_EDGE = 4
"""Fewest voxels of a feature map along an axis."""
ANISOTROPY = 3.0
"""Ratio of spacings from which an axis is anisotropic."""
_REFERENCE = {2: (85e6, 12), 3: (560e6, 2)}
"""Voxels of all feature maps that fit into 8 GB, and the batch size that this holds for."""
_COVERED = 0.05
"""Largest share of the data set in a batch."""


@dataclass(frozen=True)
class Plan:
    """Sizes of a network and of its input."""

    spacing: tuple[float, ...]  # mm of a voxel that images are resampled to
    patch: tuple[int, ...]  # voxels of a patch
    batch_size: int  # patches in a batch
    strides: tuple[tuple[int, ...], ...]  # downsampling of each stage
    kernels: tuple[tuple[int, ...], ...]  # kernel size of each stage
    features: tuple[int, ...]  # channels of each stage


def make_plan(
    spacings: Sequence[Sequence[float]],
    shapes: Sequence[Sequence[int]],
    *,
    classes: int,
    gpu_memory_gb: float = 8.0,
    base_features: int = 32,
) -> Plan:
    """Plan a U-Net for training images with these spacings in mm and sizes in voxels.

    `classes` includes the background; `gpu_memory_gb` is the memory to use, `base_features` the channels of the first
    stage.
    """
    spacing = target_spacing(spacings, shapes)
    resampled = [np.round(np.multiply(shape, old) / spacing) for shape, old in zip(shapes, spacings, strict=True)]
    median = np.median(resampled, axis=0)
    axes = len(spacing)
    voxels, reference_batch = _REFERENCE[axes]
    voxels *= gpu_memory_gb / 8
    most = 320 if axes == 3 else 512
    whole = 256**3 if axes == 3 else 2048**2
    patch = np.round((whole * np.prod(spacing)) ** (1 / axes) / np.asarray(spacing))
    patch_size = [int(min(side, full)) for side, full in zip(patch, median, strict=True)]
    while True:
        strides, kernels, patch_size = topology(spacing, patch_size)
        features = tuple(min(base_features * 2**stage, most) for stage in range(len(strides)))
        estimate = feature_map_voxels(patch_size, strides, features, classes)
        if estimate <= voxels:
            break
        patch_size = _shrunk(spacing, patch_size, median)
    batch = min(
        round(voxels / estimate * reference_batch), round(sum(map(np.prod, resampled)) * _COVERED / np.prod(patch_size))
    )
    return Plan(tuple(spacing), tuple(patch_size), max(batch, 2), strides, kernels, features)


def target_spacing(spacings: Sequence[Sequence[float]], shapes: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """The median spacing; along thick slices the 10th percentile, so that thin slices keep their detail."""
    spacing, size = np.median(spacings, axis=0), np.median(shapes, axis=0)
    worst = int(np.argmax(spacing))
    others = np.delete(spacing, worst)
    if spacing[worst] > ANISOTROPY * others.max() and size[worst] * ANISOTROPY < np.delete(size, worst).min():
        tenth = np.percentile(np.asarray(spacings)[:, worst], 10)
        spacing[worst] = tenth if tenth >= others.max() else others.max() + 1e-5
    return tuple(spacing.tolist())


def topology(
    spacing: Sequence[float], patch: Sequence[int]
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...], list[int]]:
    """Strides and kernels of each stage, and the patch made divisible by all strides.

    An axis is halved while it has `2 * MIN_EDGE` voxels and is not twice as coarse as the finest such axis; kernels are
    1 along an axis until it is no longer twice as coarse as the finest.
    """
    now, size = list(spacing), list(patch)
    axes = range(len(size))
    strides, kernels, kernel, halved = [(1,) * len(size)], [], [1] * len(size), [0] * len(size)
    while True:
        large = [axis for axis in axes if size[axis] >= 2 * MIN_EDGE]
        pooled = [axis for axis in large if now[axis] < 2 * min(now[other] for other in large)]
        if not pooled or (len(pooled) == 1 and size[pooled[0]] < 3 * MIN_EDGE):
            break
        kernel = [3 if side == 3 or now[axis] < 2 * min(now) else 1 for axis, side in zip(axes, kernel, strict=True)]
        strides.append(tuple(2 if axis in pooled else 1 for axis in axes))
        kernels.append(tuple(kernel))
        for axis in pooled:
            now[axis], size[axis], halved[axis] = 2 * now[axis], math.ceil(size[axis] / 2), halved[axis] + 1
    kernels.append((3,) * len(size))
    divisible = [-(-side // 2**count) * 2**count for side, count in zip(patch, halved, strict=True)]
    return tuple(strides), tuple(kernels), divisible


def feature_map_voxels(
    patch: Sequence[int], strides: Sequence[Sequence[int]], features: Sequence[int], classes: int
) -> float:
    """Voxels times channels of all feature maps of the plain U-Net, which its memory is proportional to."""
    sizes, size = [], np.asarray(patch, float)
    for stride in strides:
        size = size / np.asarray(stride)
        sizes.append(float(np.prod(size)))
    total = sum(2 * voxels * width for voxels, width in zip(sizes, features, strict=True))
    total += sum(3 * voxels * width for voxels, width in zip(sizes[:-1], features[:-1], strict=True))
    return total + sizes[0] * classes


def _shrunk(spacing: Sequence[float], patch: Sequence[int], median: np.ndarray) -> list[int]:
    """The patch, one step smaller along the axis that is largest relative to the median image."""
    axis = int(np.argsort([side / full for side, full in zip(patch, median, strict=True)])[-1])
    smaller = list(patch)
    smaller[axis] -= _divisor(spacing, patch)[axis]
    shrunk = list(patch)
    shrunk[axis] -= _divisor(spacing, smaller)[axis]  # a smaller patch may be halved less often, so the step is smaller
    return shrunk


def _divisor(spacing: Sequence[float], patch: Sequence[int]) -> list[int]:
    strides, _, _ = topology(spacing, patch)
    return [math.prod(axis) for axis in zip(*strides, strict=True)]
