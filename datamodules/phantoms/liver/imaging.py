"""CT, T1 and T2 of one abdomen, simulated for two scanners.

HU are those of the late arterial phase: liver 62 (42 if fat), spleen 105, aorta 240, portal vein 110, fat
-100, muscle 55, bone 320. MR is in arbitrary units, as from a scanner.

| scanner | CT | MR |
|---|---|---|
| `A` | sharp kernel, noise 9 HU | gain 1.0, little shading |
| `B` | soft kernel, coarse noise 14 HU, 10 HU brighter | gain 1.7, strong shading, different contrast (gamma) |
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from medzoo.datamodules.phantoms.liver.anatomy import Abdomen
from medzoo.datamodules.phantoms.painting import paint

__all__ = ["FIELD_MM", "SCANNERS", "Grid", "Images", "Scanner", "render"]

FIELD_MM = (352.0, 352.0, 160.0)
"""Field of view along x, y, z, independent of the number of voxels."""

# Intensities on CT, T1 and T2.
_AIR = (-1000, 12, 10)
_TISSUE = {
    "fat": (-100, 640, 400),
    "wall": (55, 250, 110),
    "bowel": (20, 150, 330),
    "spleen": (105, 210, 320),
    "kidneys": (150, 240, 360),
    "gallbladder": (8, 130, 820),
    "veins": (112, 140, 90),
    "cava": (100, 130, 90),
    "aorta": (240, 90, 50),
    "bone": (320, 420, 260),
    "cord": (35, 170, 520),
}
_LIVER = {False: (42, 430, 185), True: (62, 300, 170)}
"""By whether the disease is viral; otherwise the liver is fat."""


@dataclass(frozen=True)
class Scanner:
    """Properties of a scanner.

    Attributes:
        name: Name in the column `scanner`.
        kernel_mm: Spread of the CT kernel in plane.
        noise_hu: Spread of the CT noise.
        grain_mm: Spread of the kernel that makes the CT noise coarse.
        offset_hu: HU added to soft tissue.
        gain: Gain of MR.
        gamma: Gamma of the MR contrast.
        shading: Spread of the MR bias field.
        noise: Noise of MR, as a share of the brightness of muscle.
    """

    name: str
    kernel_mm: float
    noise_hu: float
    grain_mm: float
    offset_hu: float
    gain: float
    gamma: float
    shading: float
    noise: float


SCANNERS = (
    Scanner("A", 1.2, 9.0, 1.5, 0.0, 1.0, 1.0, 0.04, 0.06),
    Scanner("B", 3.0, 14.0, 4.0, 10.0, 1.7, 0.8, 0.15, 0.10),
)


@dataclass(frozen=True)
class Grid:
    """Voxels over the field of view, RAS.

    Attributes:
        shape: Voxels along x, y, z.
    """

    shape: tuple[int, int, int]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Mm along x, y, z."""
        return tuple(field / count for field, count in zip(FIELD_MM, self.shape, strict=True))

    @property
    def affine(self) -> np.ndarray:
        """Voxel index to RAS mm (4, 4)."""
        affine = np.diag([*self.spacing, 1.0])
        affine[:3, 3] = [-field / 2 + side / 2 for field, side in zip(FIELD_MM, self.spacing, strict=True)]
        return affine

    def points(self) -> np.ndarray:
        """Centres of the voxels (3, n) float32."""
        axes = [self.affine[k, 3] + self.affine[k, k] * np.arange(n) for k, n in enumerate(self.shape)]
        return np.stack([part.ravel() for part in np.meshgrid(*axes, indexing="ij")]).astype(np.float32)


@dataclass(frozen=True)
class Images:
    """Scans of a person on one grid.

    Attributes:
        ct: (x, y, z) int16 HU.
        t1: (x, y, z) int16.
        t2: (x, y, z) int16.
        liver: (x, y, z) uint8: 1 liver, 2 lesions.
    """

    ct: np.ndarray
    t1: np.ndarray
    t2: np.ndarray
    liver: np.ndarray


def render(
    rng: np.random.Generator,
    abdomen: Abdomen,
    grid: Grid,
    scanner: Scanner,
    *,
    viral: bool,
    enhancement: float,
    nodularity: float,
) -> Images:
    """Scan an abdomen.

    Args:
        rng: Draws the noise of the scans.
        abdomen: The person.
        grid: Voxel grid.
        scanner: The scanner.
        viral: Whether the disease is viral, so that the liver is not fat.
        enhancement: Finding of CT, in standard deviations.
        nodularity: Finding of MR, in standard deviations.

    Returns:
        The scans.
    """
    points, soft = grid.points(), 0.3 * grid.spacing[0]
    skin = abdomen.skin(points)
    body = skin < 8 * soft
    organs = abdomen.organs(points[:, body])
    scans = np.repeat(np.array(_AIR, np.float32)[:, None], len(skin), axis=1)
    liver = np.array(_LIVER[viral])
    lesion = liver + np.array([26 + 22 * enhancement, -70, 170 * (0.55 + 0.28 * nodularity)])
    tissue = {**_TISSUE, "liver": liver, "lesions": lesion}
    scans[:, body] = paint(scans[:, body], _layers(abdomen, points[:, body], skin[body], organs, tissue), soft)
    nodules = abdomen.texture(points[:, body]) * expit(-np.maximum(organs["liver"], -organs["veins"]) / soft)
    scans[:, body] += np.array([2, *np.array([28, 17]) * np.exp(0.45 * nodularity)])[:, None] * nodules
    labels = np.zeros(len(skin), np.uint8)
    labels[body] = (organs["gallbladder"] > 0) * (organs["liver"] < 0) * (1 + (organs["lesions"] < 0))
    ct, t1, t2 = (scan.reshape(grid.shape) for scan in scans)
    return Images(
        _measure_ct(rng, ct, (skin < 0).reshape(grid.shape), scanner, grid),
        _measure_mr(rng, t1, scanner, grid),
        _measure_mr(rng, t2, scanner, grid),
        labels.reshape(grid.shape),
    )


def _layers(
    abdomen: Abdomen, points: np.ndarray, skin: np.ndarray, organs: dict[str, np.ndarray], tissue: dict[str, Any]
) -> list[tuple[Any, np.ndarray]]:
    """Intensities and distances of the tissues, from the skin inwards."""
    wall = skin + abdomen.fat
    back = np.maximum(np.abs(np.abs(points[0]) - 40) - 24, np.abs(points[1] + 92) - 16)
    bowel = np.maximum(abdomen.bowel(points) * 12, skin + 34) + 6
    layers = [("fat", skin), ("wall", wall), ("fat", wall + 14), ("bowel", bowel), ("bowel", organs["stomach"])]
    layers += [(name, organs[name]) for name in ("spleen", "kidneys", "liver", "veins", "lesions", "gallbladder")]
    layers += [("wall", back), ("cava", organs["cava"]), ("aorta", organs["aorta"]), ("bone", organs["vertebra"])]
    layers += [("cord", organs["cord"]), ("bone", _ribs(points, wall))]
    return [(tissue[name], distance) for name, distance in layers]


def _ribs(points: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """Ribs as bars in the body wall, one every 28 mm, sloping down towards the front."""
    along = (points[2] + 0.35 * points[1]) % 28 - 14
    return np.maximum(np.hypot(along, wall + 7) - 5, points[1] - 45)


def _measure_ct(rng: np.random.Generator, hu: np.ndarray, body: np.ndarray, scanner: Scanner, grid: Grid) -> np.ndarray:
    kernel, grain = (mm / np.array(grid.spacing[:2]) for mm in (scanner.kernel_mm, scanner.grain_mm))
    image = gaussian_filter(hu, (*kernel, 0))
    noise = gaussian_filter(rng.standard_normal(grid.shape, np.float32), (*grain, 0))
    image = image + noise * scanner.noise_hu / noise.std() + scanner.offset_hu * body
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)


def _measure_mr(rng: np.random.Generator, signal: np.ndarray, scanner: Scanner, grid: Grid) -> np.ndarray:
    """Add shading, contrast, Rician noise, and a random gain for each scan."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape), indexing="ij", sparse=True)
    a, b, c, d = rng.normal(0, scanner.shading, size=4).astype(np.float32)
    kernel = 1.0 / np.array(grid.spacing[:2])
    bright = gaussian_filter(np.maximum(signal, 0), (*kernel, 0))
    bright *= np.exp(a * x + d * (x**2 - 0.3)) * np.exp(b * y + d * (y**2 - 0.3)) * np.exp(c * z)
    image = 250 * (bright / 250) ** scanner.gamma
    real, imaginary = 250 * scanner.noise * rng.standard_normal((2, *grid.shape), np.float32)
    gain = scanner.gain * rng.uniform(0.85, 1.15)
    return np.clip(np.rint(gain * np.hypot(image + real, imaginary)), 0, 32767).astype(np.int16)
