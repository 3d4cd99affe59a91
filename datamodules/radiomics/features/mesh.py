"""Area and enclosed volume of the marching-cubes surface half-way between masked and unmasked voxels.

On a binary mask, a cube of eight voxels has only 256 configurations. The contribution of each is computed once and then
looked up for all cubes of a batch; no mesh is built.
"""

from functools import lru_cache

import numpy as np
from skimage.measure import marching_cubes

from medzoo.datamodules.radiomics.regions import Regions
from medzoo.datamodules.radiomics.settings import Definition

__all__ = ["contour_2d", "cube_codes", "surface_3d"]

CORNERS = np.array([(z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1)])
"""Corners of a cube; corner k is bit k of its code."""


def surface_3d(regions: Regions, definition: Definition) -> tuple[np.ndarray, np.ndarray]:
    """Area and volume of the meshes of Lorensen and Cline's marching cubes (1987).

    If one particular corner of a cube is masked, pyradiomics looks up its complement. If a face has two masked voxels
    that touch only at an edge, two cubes can then disagree and leave a hole. The definition `pyradiomics` reproduces
    this. With `ibsi` such voxels are always separate, so the surface is closed.

    Returns:
        (N,) areas (mm²) and (N,) volumes (mm³).
    """
    codes = cube_codes(regions)
    at = np.flatnonzero((codes != 0) & (codes != 255))
    image, *corner = np.unravel_index(at, codes.shape)
    code, count = codes.ravel()[at], len(regions.counts)
    areas, determinants, normals = _cube_tables(tuple(regions.spacing), definition)
    # a triangle (a, b, c) moved by o has the determinant det(a, b, c) + o . (a x b + b x c + c x a)
    offsets = np.stack(corner, axis=1) * regions.spacing
    sixfold = determinants[code] + (offsets * normals[code]).sum(1)
    return np.bincount(image, areas[code], count), np.bincount(image, sixfold, count) / 6


def contour_2d(regions: Regions) -> tuple[np.ndarray, np.ndarray]:
    """Perimeter and area by marching squares; pixels that touch only at a corner are separate.

    Returns:
        (N,) perimeters (mm) and (N,) areas (mm²).
    """
    codes = cube_codes(regions).reshape(len(regions.counts), -1)
    y, x = regions.spacing
    slope = np.hypot(y, x) / 2
    # of the corners (0, 0), (0, 1), (1, 0), (1, 1) as bits 0 to 3
    lengths = np.array([0, slope, slope, x, slope, y, 2 * slope, slope, slope, 2 * slope, y, slope, x, slope, slope, 0])
    areas = np.array([0, 1, 1, 4, 1, 4, 2, 7, 1, 2, 4, 7, 4, 7, 7, 8]) * (y * x / 8)
    return lengths[codes].sum(1), areas[codes].sum(1)


def cube_codes(regions: Regions) -> np.ndarray:
    """(N, *size + 1) uint8: which corners of each cube (or square) of neighbouring voxels are masked.

    The last corner of cube 0 is voxel 0: masks are padded by one background voxel.
    """
    shape = (len(regions.counts), *(edge + 1 for edge in regions.size))
    codes = np.zeros(shape, np.uint8)
    flat = codes.ravel()
    strides = np.array(codes.strides)  # one byte each
    cube = regions.image * strides[0] + (regions.position + 1) @ strides[1:]
    for bit, corner in enumerate(np.ndindex(*(2,) * regions.dims)):
        flat[cube - np.dot(corner, strides[1:])] |= np.uint8(1 << bit)
    return codes


@lru_cache(maxsize=8)
def _cube_tables(spacing: tuple[float, ...], definition: Definition) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(256,) areas, (256,) determinants and (256, 3) normals, each summed over the triangles of a cube."""
    areas, determinants, normals = np.zeros(256), np.zeros(256), np.zeros((256, 3))
    for code in range(256):
        flipped = definition == "pyradiomics" and code & 64  # the corner that pyradiomics calls its eighth
        a, b, c = (_triangles(255 - code if flipped else code) * spacing).transpose(1, 0, 2)
        sign = 1 if flipped else -1  # the normals of scikit-image's triangles point into the mask
        areas[code] = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
        determinants[code] = sign * (a * np.cross(b, c)).sum()
        normals[code] = sign * (np.cross(a, b) + np.cross(b, c) + np.cross(c, a)).sum(0)
    return areas, determinants, normals


@lru_cache(maxsize=256)
def _triangles(code: int) -> np.ndarray:
    """(T, 3 corners, 3 axes) triangles in a cube of edge 1."""
    if code in (0, 255):
        return np.zeros((0, 3, 3))
    cube = np.zeros((2, 2, 2))
    cube[tuple(CORNERS[[bit for bit in range(8) if code >> bit & 1]].T)] = 1
    corners, faces, _, _ = marching_cubes(cube, 0.5, method="lorensen")
    return corners[faces].astype(float)
