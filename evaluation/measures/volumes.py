"""Volumes, overlap and agreement of neighbouring slices of segmented haemorrhages."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform
from skimage.measure import marching_cubes

__all__ = ["abc2_ml", "dice", "mesh_volume_ml", "slice_consistency", "volume_ml", "volume_similarity", "voxel_mm"]


def voxel_mm(affine: np.ndarray) -> tuple[float, float, float]:
    """Edge lengths of a box as large as the voxel of an affine, so that their product is its volume |det|.

    A tilted gantry gives a sheared affine: the distance of its slices is below the length of its column (by 5.2% at
    18.5 degrees). The longest edge, which is that across slices, is shortened to their distance.

    Args:
        affine: (4, 4) or (3, 3), from voxels to mm; pixdim, which may differ, is ignored.

    Returns:
        mm along the axes of the file.

    Raises:
        ValueError: If the affine spans no volume.
    """
    columns = np.asarray(affine, dtype=float)[:3, :3]
    edges, volume = np.linalg.norm(columns, axis=0), abs(np.linalg.det(columns))
    if not (np.isfinite(volume) and volume > 0):
        raise ValueError("its affine spans no volume: the header is damaged")
    share = volume / edges.prod()
    if share < 1 - 1e-6:  # otherwise rounding of an affine with right angles
        edges[np.argmax(edges)] *= share
    return tuple(edges.tolist())


def volume_ml(mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Volume of masks whose last axes are spatial.

    Args:
        mask: (..., X, Y, Z) zeros and ones, with as many spatial axes as there are spacings.
        spacing_mm: Edge lengths of a voxel in mm, of a file by `voxel_mm`.

    Returns:
        (...) volumes in mL, a scalar array for a single mask.
    """
    spatial = tuple(range(-len(spacing_mm), 0))
    if np.ndim(mask) < len(spacing_mm):
        raise ValueError(f"a mask of {np.ndim(mask)} axes cannot have a spacing of {len(spacing_mm)} values")
    return (np.asarray(mask) > 0).sum(spatial) * (np.prod(spacing_mm) / 1000)


def mesh_volume_ml(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """Volume in mL inside the marching-cubes surface of a 3-D mask, as PyRadiomics' MeshVolume.

    The surface cuts the corners of the outermost voxels, so small bleeds come out smaller than by `volume_ml`.
    """
    if not np.any(mask):
        return 0.0
    corners, faces, _, _ = marching_cubes(np.pad(np.asarray(mask) > 0, 1).astype(float), 0.5, spacing=tuple(spacing_mm))
    a, b, c = corners[faces].transpose(1, 0, 2)
    return float(abs(np.einsum("fi,fi->", a, np.cross(b, c))) / 6 / 1000)


def abc2_ml(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """The bedside estimate A B C / 2 in mL of a bleed (Kothari et al. 1996, doi:10.1161/01.STR.27.8.1304).

    A is the largest diameter in the slice with the largest area, B the width across it in that slice, C the thickness
    of the slices; one counts whole from 75% of the largest area on, half from 25% on, and less not at all. On many
    thin slices this gives 3 (1 + sqrt 3) / (4 pi) = 65% of an ellipsoid's volume; only the full height gives 95%.

    Args:
        mask: (Z, H, W) zeros and ones.
        spacing_mm: (z, y, x).

    Returns:
        The estimate, 0 for an empty mask.
    """
    mask = np.asarray(mask) > 0
    areas = mask.sum((1, 2)).astype(float)
    if not areas.any():
        return 0.0
    pixels = np.argwhere(mask[int(areas.argmax())])
    corners = np.unique(np.concatenate([pixels + offset for offset in ((0, 0), (0, 1), (1, 0), (1, 1))]), axis=0)
    points = corners[ConvexHull(corners).vertices] * np.asarray(spacing_mm[1:])
    distances = squareform(pdist(points))
    first, second = np.unravel_index(int(distances.argmax()), distances.shape)
    a = float(distances[first, second])
    along = (points[second] - points[first]) / a
    b = float(np.ptp(points @ np.array([-along[1], along[0]])))
    share = areas / areas.max()
    c = float(np.where(share >= 0.75, 1.0, np.where(share >= 0.25, 0.5, 0.0)).sum() * spacing_mm[0])
    return a * b * c / 2000


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Dice overlap 2 |a and b| / (|a| + |b|) of two masks of the same shape; NaN if both are empty, as in nnU-Net."""
    a, b = np.asarray(a) > 0, np.asarray(b) > 0
    if a.shape != b.shape:
        raise ValueError(f"masks of different shapes {a.shape} and {b.shape} have no Dice")
    total = a.sum() + b.sum()
    return float(2 * (a & b).sum() / total) if total else float("nan")


def volume_similarity(a: float, b: float) -> float:
    """1 - |a - b| / (a + b) of two volumes in the same unit, in [0, 1]; NaN for two empty volumes."""
    return float(1 - abs(a - b) / (a + b)) if a + b > 0 else float("nan")


def slice_consistency(ct: np.ndarray, mask: np.ndarray, margin: int = 3) -> dict[str, float]:
    """Agreement of neighbouring slices in and around the bleed.

    Slices of a real scan differ too, by thickness and noise. Compare a sampled follow-up with the real follow-up or the
    baseline of the same patient, never with 0 and 1.

    Args:
        ct: (Z, H, W) intensities in any unit.
        mask: (Z, H, W) zeros and ones.
        margin: Voxels by which the bleed is widened in-plane.

    Returns:
        `slice_difference`, the mean |difference| of adjacent slices inside the widened bleed of either, in the CT's
        unit, and `slice_dice`, the mean Dice of adjacent slices of the mask that are not both empty; NaN without bleed.
    """
    mask = np.asarray(mask) > 0
    plane = ndimage.generate_binary_structure(3, 1)
    plane[[0, 2]] = False
    wide = ndimage.binary_dilation(mask, plane, iterations=margin) if margin else mask
    inside = wide[1:] | wide[:-1]
    filled = [k for k in range(len(mask) - 1) if mask[k : k + 2].any()]
    if not filled:
        return {"slice_difference": float("nan"), "slice_dice": float("nan")}
    return {
        "slice_difference": float(np.abs(np.diff(np.asarray(ct, dtype=float), axis=0))[inside].mean()),
        "slice_dice": float(np.mean([dice(mask[k], mask[k + 1]) for k in filled])),
    }
