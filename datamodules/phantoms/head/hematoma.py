"""The bleed: its location and shape, its mass effect, and when it breaks into a ventricle.

Lengths are in mm, volumes in mL. A bleed of volume V consists of the voxels with the lowest `level` (a lobed ellipsoid;
the value is about the radius in mm) that add up to V, within the brain on its own side and outside the ventricles.
Growth raises the level, so that the follow-up contains nearly all of the baseline.

Mass effect: tissue moves away from the bleed's centre by u(r) = 0.017 R^2 exp(-(r - R) / 30) outside the bleed and in
proportion to r inside, where R = (3 V / 4 pi)^(1/3) is the radius of a ball of that volume. The displacement fades to 0
within 14 mm of the skull.

Ventricles: blood enters if the bleed (at follow-up including tissue up to min(5, 5 g) mm ahead of a surface that grew
by the fraction g) covers O >= 0.05 mL of the ventricles in their baseline position. Then
IVH = min(0.5 + 2 O, 0.6 of the ventricles), never less than at baseline, in their dependent (posterior) part.
Measured over 400 patients: a quarter have IVH at baseline, a tenth develop it; the midline shift is 1.8 mm at 5 to
15 mL and 6.4 mm above 60 mL.
"""

from dataclasses import dataclass

import numpy as np

from medzoo.datamodules.phantoms.head.anatomy import Anatomy
from medzoo.datamodules.phantoms.smooth_noise import SmoothNoise

__all__ = ["Bleed", "draw_bleed", "leaked_volume", "midline_shift", "pressure_mm", "push_back", "radius_mm", "select"]

# Where bleeds arise: share, centre (|x|, y, z), spread, gap to the ventricle at baseline in mm (mean, sd; None = any).
_PLACES = {
    "basal ganglia": (0.50, (27, 2, 10), (6, 9, 4), (0.6, 2.2)),
    "thalamus": (0.20, (17, -16, 11), (6, 5, 4), (0.6, 2.2)),
    "lobar frontal": (0.10, (32, 34, 20), (7, 8, 5), None),
    "lobar parietal": (0.12, (37, -34, 22), (7, 9, 5), None),
    "lobar temporal": (0.08, (47, -20, 10), (4, 8, 4), None),
}


@dataclass(frozen=True)
class Bleed:
    """Location and shape of a bleed, independent of its volume.

    Attributes:
        location: One of basal ganglia, thalamus, lobar frontal, lobar parietal, lobar temporal.
        centre: Its centre (3,) in head coordinates.
        axes: Matrix (3, 3) of determinant 1 that maps the ellipsoid to a ball.
        lobes: Field that dents the surface.
        drift: Field that changes the surface between the scans.
        clots: Field of HU variation within the blood, and of small dents.
        depth: Depth of the dents.
    """

    location: str
    centre: np.ndarray
    axes: np.ndarray
    lobes: SmoothNoise
    drift: SmoothNoise
    clots: SmoothNoise
    depth: float = 0.26

    @property
    def side(self) -> float:
        """1 on the right, -1 on the left."""
        return float(np.sign(self.centre[0]))

    def offset(self, points: np.ndarray) -> np.ndarray:
        """Points (3, n) from the bleed's centre, along its axes, in mm of a ball."""
        return (self.axes @ (points - self.centre[:, None])).astype(np.float32)

    def level(self, points: np.ndarray, volume: float, later: bool) -> np.ndarray:
        """Level function at points (3, n), about the distance in mm from the centre; its sublevel sets are the bleed.

        Args:
            points: Points (3, n).
            volume: The bleed's volume in mL; far outside the bleed the level is infinite.
            later: Whether this is the follow-up, where the shape has drifted.
        """
        level = np.full(points.shape[1], np.inf, np.float32)
        offset = self.offset(points)
        distance = np.sqrt((offset * offset).sum(0))
        near = distance < 2.2 * radius_mm(volume) + 12
        around = points[:, near]
        dents = self.depth * self.lobes(around) + 0.07 * self.clots(around)
        if later:
            dents = dents + 0.03 * self.drift(around)
        level[near] = distance[near] * np.exp(dents)
        return level


def draw_bleed(rng: np.random.Generator, anatomy: Anatomy, volume: float) -> Bleed:
    """Draw a bleed: of 200 centres, take the first whose surface has the drawn distance to the ventricle."""
    names = list(_PLACES)
    location = names[rng.choice(len(names), p=[_PLACES[name][0] for name in names])]
    _, mean, spread, gap = _PLACES[location]
    centres = (np.array(mean) + np.array(spread) * rng.normal(size=(200, 3))).T.astype(np.float32)
    centres[0] *= rng.choice([-1, 1])
    ventricle, depth = anatomy.ventricles(anatomy.idealised(centres)), anatomy.depth(centres)
    radius = radius_mm(volume)
    wanted = rng.normal(*gap) if gap else np.maximum(ventricle - radius, 6)
    misfit = np.abs(ventricle - radius - wanted) + 2 * np.maximum(0.9 * radius + 4 - depth, 0)
    best = int(np.argmax(misfit < max(0.7, misfit.min() + 1e-3)))  # the first that fits, to keep the spread
    stretch = np.exp(np.array([-0.16, 0.14, 0.02]) + rng.normal(0, [0.06, 0.10, 0.08]))
    stretch /= np.prod(stretch) ** (1 / 3)
    turn = np.radians(rng.normal(14, 10)) * np.sign(centres[0, best])
    rotation = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    fields = SmoothNoise(rng, 7.0), SmoothNoise(rng, 9.0), SmoothNoise(rng, 3.0)
    return Bleed(location, centres[:, best], np.diag(1 / stretch) @ rotation, *fields)


def radius_mm(volume: float) -> float:
    """Radius in mm of a ball of this volume in mL."""
    return float((3000 * volume / (4 * np.pi)) ** (1 / 3))


def push_back(points: np.ndarray, depth: np.ndarray, centre: np.ndarray, volume: float) -> np.ndarray:
    """Original position of the tissue at points (3, n), before a bleed of `volume` mL displaced it.

    Args:
        points: Points in the head (3, n).
        depth: Depth under the skull (n,), which is rigid.
        centre: The bleed's centre (3,).
        volume: mL.
    """
    offset = points - centre[:, None].astype(np.float32)
    distance = np.sqrt((offset * offset).sum(0)) + 1e-3
    radius = radius_mm(volume)
    reach = np.exp(-np.maximum(distance - radius, 0) / 30) / np.maximum(distance, radius)
    fade = np.clip(depth / 14, 0, 1) ** 2
    return points - offset * (0.017 * radius**2 * reach * fade * (3 - 2 * np.sqrt(fade)))


def midline_shift(anatomy: Anatomy, bleed: Bleed, volume: float) -> float:
    """Largest shift of the septum between the frontal horns in mm, away from the bleed."""
    y, z = np.meshgrid(np.linspace(-10, 30, 9), np.linspace(5, 20, 4))
    points = np.stack([np.zeros(y.size), y.ravel(), z.ravel()]).astype(np.float32)
    shift = np.zeros(y.size, np.float32)
    for _ in range(8):  # fixed-point iteration for the tissue that was at x = 0
        points[0] = shift
        shift = shift - push_back(points, anatomy.depth(points), bleed.centre, volume)[0]
    return float(np.abs(shift).max())


def select(level: np.ndarray, allowed: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """The `count` allowed voxels of lowest level, and the level that bounds them.

    Raises:
        ValueError: If the field of view has too few voxels.
    """
    room = int(allowed.sum())
    if count >= room:
        raise ValueError(f"a bleed of {count} voxels does not fit into {room}; give more slices or a larger image_size")
    bound = np.partition(level[allowed], count)[count]
    return allowed & (level < bound), float(bound)


def pressure_mm(growth: float) -> float:
    """Distance ahead of its surface at which a bleed that grew by this fraction ruptures a ventricle (see module)."""
    return min(5.0, 5 * max(growth, 0.0))


def leaked_volume(overlap: float) -> float:
    """Blood in the ventricles in mL if the level set overlaps them by `overlap` mL (see module docstring)."""
    return 0.5 + 2 * overlap if overlap >= 0.05 - 1e-6 else 0.0
