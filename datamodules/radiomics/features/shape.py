"""Size and shape of masks: 14 features in 3-D, 9 in 2-D (pyradiomics; IBSI manual, section 3.1)."""

import numpy as np

from medzoo.datamodules.radiomics.features.diameters import largest_2d, largest_3d
from medzoo.datamodules.radiomics.features.mesh import contour_2d, surface_3d
from medzoo.datamodules.radiomics.regions import Regions
from medzoo.datamodules.radiomics.settings import Definition

__all__ = ["SHAPE_2D", "SHAPE_3D", "shape_2d", "shape_3d"]

SHAPE_3D = (
    "MeshVolume",
    "VoxelVolume",
    "SurfaceArea",
    "SurfaceVolumeRatio",
    "Sphericity",
    "Maximum3DDiameter",
    "Maximum2DDiameterSlice",
    "Maximum2DDiameterColumn",
    "Maximum2DDiameterRow",
    "MajorAxisLength",
    "MinorAxisLength",
    "LeastAxisLength",
    "Elongation",
    "Flatness",
)
SHAPE_2D = (
    "MeshSurface",
    "PixelSurface",
    "Perimeter",
    "PerimeterSurfaceRatio",
    "Sphericity",
    "MaximumDiameter",
    "MajorAxisLength",
    "MinorAxisLength",
    "Elongation",
)


def shape_3d(regions: Regions, definition: Definition) -> np.ndarray:
    """(N, 14) features in mm, mm² and mm³, in the order of `SHAPE_3D`."""
    area, volume = surface_3d(regions, definition)
    slices, columns, rows, overall = largest_3d(regions).T
    least, minor, major = _axes(regions, definition).T
    features = {
        "MeshVolume": volume,
        "VoxelVolume": regions.counts * np.prod(regions.spacing),
        "SurfaceArea": area,
        "SurfaceVolumeRatio": area / volume,
        "Sphericity": np.cbrt(36 * np.pi * volume**2) / area,
        "Maximum3DDiameter": overall,
        "Maximum2DDiameterSlice": slices,
        "Maximum2DDiameterColumn": columns,
        "Maximum2DDiameterRow": rows,
        "MajorAxisLength": major,
        "MinorAxisLength": minor,
        "LeastAxisLength": least,
        "Elongation": minor / major,
        "Flatness": least / major,
    }
    return np.stack([features[name] for name in SHAPE_3D], axis=1)


def shape_2d(regions: Regions, definition: Definition) -> np.ndarray:
    """(N, 9) features in mm and mm², in the order of `SHAPE_2D`."""
    perimeter, surface = contour_2d(regions)
    minor, major = _axes(regions, definition).T
    features = {
        "MeshSurface": surface,
        "PixelSurface": regions.counts * np.prod(regions.spacing),
        "Perimeter": perimeter,
        "PerimeterSurfaceRatio": perimeter / surface,
        "Sphericity": 2 * np.sqrt(np.pi * surface) / perimeter,
        "MaximumDiameter": largest_2d(regions),
        "MajorAxisLength": major,
        "MinorAxisLength": minor,
        "Elongation": minor / major,
    }
    return np.stack([features[name] for name in SHAPE_2D], axis=1)


def _axes(regions: Regions, definition: Definition) -> np.ndarray:
    """(N, S) lengths of the axes of an ellipsoid with the mask's covariance, shortest first (mm).

    The covariance divides by the number of voxels, for `ibsi` by one less: only so are the manual's values met.
    """
    starts = regions.counts.cumsum() - regions.counts
    points = regions.position * regions.spacing
    mean = np.add.reduceat(points, starts) / regions.counts[:, None]
    points = (points - mean[regions.image]).T
    covariance = np.empty((len(regions.counts), regions.dims, regions.dims))
    for i, j in np.ndindex(covariance.shape[1:]):
        covariance[:, i, j] = np.add.reduceat(points[i] * points[j], starts)
    covariance /= (regions.counts - (definition == "ibsi"))[:, None, None]
    return 4 * np.sqrt(np.maximum(np.linalg.eigvalsh(covariance), 0.0))
