"""The scanner: voxel grid, noise and shading of each hospital."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

__all__ = ["SCANNERS", "Grid", "Scanner", "hospital_scanner", "measure"]


@dataclass(frozen=True)
class Scanner:
    """Properties of a hospital's scanner.

    Attributes:
        thickness_mm: Slice thickness and spacing.
        noise_hu: Standard deviation of the noise in the written image.
        cupping_hu: Brightening of the brain next to the skull (left over after beam-hardening correction).
        shading_hu: Spread of a slow drift over the field of view.
    """

    thickness_mm: float
    noise_hu: float
    cupping_hu: float
    shading_hu: float


SCANNERS = (
    Scanner(5.0, 3.5, 4.0, 0.6),
    Scanner(4.0, 4.8, 6.0, 1.0),
    Scanner(6.0, 3.0, 3.0, 0.8),
    Scanner(5.0, 5.8, 5.0, 1.2),
    Scanner(4.5, 4.2, 7.0, 0.7),
)


def hospital_scanner(index: int) -> Scanner:
    """The scanner of the index-th hospital; scanners repeat after five."""
    return SCANNERS[index % len(SCANNERS)]


@dataclass(frozen=True)
class Grid:
    """Voxel grid, centred on the head, axes x (right), y (front), z (up).

    Attributes:
        shape: Voxels along x, y, z.
        spacing: mm along x, y, z.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    middle = (0.0, -10.0, 15.0)
    """Middle of the field of view in mm; it extends from the midbrain to 5 cm above the commissures."""

    @classmethod
    def of(cls, scanner: Scanner, image_size: int, spacing_mm: float, slices: int) -> "Grid":
        """The grid of a scanner: `slices` counts slices of 5 mm, other thicknesses cover the same height."""
        count = max(1, round(slices * 5 / scanner.thickness_mm))
        return cls((image_size, image_size, count), (spacing_mm, spacing_mm, scanner.thickness_mm))

    @property
    def affine(self) -> np.ndarray:
        """Voxel index to RAS mm (4, 4)."""
        affine = np.diag([*self.spacing, 1.0])
        affine[:3, 3] = np.array(self.middle) - (np.array(self.shape) - 1) / 2 * np.array(self.spacing)
        return affine

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.spacing)) / 1000

    def points(self) -> np.ndarray:
        """Centres of the voxels (3, n) float32."""
        axes = [
            self.affine[k, 3] + self.affine[k, k] * np.arange(count, dtype=np.float32)
            for k, count in enumerate(self.shape)
        ]
        return np.stack([part.ravel() for part in np.meshgrid(*axes, indexing="ij")]).astype(np.float32)


def measure(rng: np.random.Generator, hu: np.ndarray, depth: np.ndarray, scanner: Scanner, grid: Grid) -> np.ndarray:
    """Simulate the acquisition of a head.

    Args:
        rng: Draws the noise of this scan.
        hu: True HU (x, y, z).
        depth: Depth under the skull (x, y, z) in mm, negative outside.
        scanner: The hospital's scanner.
        grid: Voxel grid.

    Returns:
        HU as measured (x, y, z), int16.
    """
    pixel = grid.spacing[0]
    blur = 0.45 / pixel  # mm: the point spread of a soft-tissue kernel
    image = gaussian_filter(hu, (blur, blur, 0))
    noise = gaussian_filter(rng.standard_normal(grid.shape, dtype=np.float32), (0.4 / pixel, 0.4 / pixel, 0))
    noise *= scanner.noise_hu / noise.std()
    across = np.linspace(-1, 1, grid.shape[0])[:, None, None]
    along = np.linspace(-1, 1, grid.shape[1])[None, :, None]
    tilt = rng.normal(0, scanner.shading_hu, size=3)
    drift = tilt[0] * across + tilt[1] * along + tilt[2] * (across**2 + along**2 - 0.6)
    cupping = scanner.cupping_hu * np.exp(-np.maximum(depth, 0) / 7) * (depth > 0)
    return np.clip(np.rint(image + noise + drift + cupping), -1024, 3071).astype(np.int16)
