"""Smooth random fields at arbitrary points, cheap enough for every voxel of a cohort."""

from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

__all__ = ["SmoothNoise", "Waves"]

_EDGE = 72  # lattice points: one period of the field
_SIGMA = 1.6  # lattice points; with less the lattice is visible, with more it is wasted


@cache
def _lattices() -> tuple[np.ndarray, np.ndarray]:
    """A periodic field of zero mean and unit spread, and its approximate signed distance to zero in lattice steps."""
    white = np.random.default_rng(20260704).normal(size=(_EDGE,) * 3)
    field = gaussian_filter(white, _SIGMA, mode="wrap")
    field = (field - field.mean()) / field.std()
    padded = np.pad(field, 1, mode="wrap")
    slope = np.sqrt(sum(np.square(part[1:-1, 1:-1, 1:-1]) for part in np.gradient(padded)))
    return field.astype(np.float32), (field / np.maximum(slope, 0.1)).astype(np.float32)


class SmoothNoise:
    """One draw of a smooth Gaussian field: a fixed periodic lattice at a random position and rotation.

    Args:
        rng: Draws position and rotation.
        grain: Standard deviation of the smoothing kernel in mm; zero crossings are about 4.4 grains apart.
    """

    def __init__(self, rng: np.random.Generator, grain: float) -> None:
        self.step = grain / _SIGMA
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        self._turn = (turn / self.step).astype(np.float32)
        self._start = rng.uniform(0, _EDGE, size=(3, 1)).astype(np.float32)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values of zero mean and unit spread at points (3, n) in mm."""
        return self._look_up(_lattices()[0], points)

    def distance_to_zero(self, points: np.ndarray) -> np.ndarray:
        """Approximate distance in mm from points (3, n) to the zero crossings of the field: value over slope."""
        return np.abs(self._look_up(_lattices()[1], points)) * self.step

    def _look_up(self, lattice: np.ndarray, points: np.ndarray) -> np.ndarray:
        places = self._turn @ points + self._start
        return map_coordinates(lattice, places, order=1, mode="grid-wrap", output=np.float32)


class Waves:
    """A smooth vector field as a sum of plane waves: less random than `SmoothNoise`, and several times faster.

    Args:
        rng: Draws directions, phases and amplitudes.
        wavelength: Mean wavelength in mm.
        spread: Spread of each component of the field, (components,).
        count: Number of waves.
    """

    def __init__(self, rng: np.random.Generator, wavelength: float, spread: tuple[float, ...], count: int = 8) -> None:
        direction = rng.normal(size=(count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = wavelength * rng.uniform(0.6, 1.4, size=(count, 1))
        self._waves = (2 * np.pi * direction / length).astype(np.float32)
        self._phases = rng.uniform(0, 2 * np.pi, size=(count, 1)).astype(np.float32)
        amplitude = rng.normal(size=(len(spread), count)) * np.array(spread)[:, None]
        self._amplitude = (amplitude * np.sqrt(2 / count)).astype(np.float32)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Values (components, n) at points (3, n) in mm."""
        return self._amplitude @ np.sin(self._waves @ points + self._phases)
