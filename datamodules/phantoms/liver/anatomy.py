"""One person's upper abdomen: organs as approximate signed distances in mm, negative inside.

The axes are those of NIfTI (RAS): x to the patient's right, where the liver lies, y forward, z up, with the origin in
the middle of the body at the level of the porta hepatis. Sizes are those of an adult, estimated by eye.
"""

from dataclasses import dataclass

import numpy as np

from medzoo.datamodules.phantoms.smooth_noise import SmoothNoise, Waves

__all__ = ["Abdomen", "Lesion", "draw_abdomen"]

Points = np.ndarray
"""Points (3, n) float32 in mm."""

# Centre and semi-axes in mm of the ellipsoids that make an organ.
_LIVER = (((72, 4, 4), (72, 78, 74)), ((16, 42, 16), (76, 44, 40)))
_SPLEEN = ((-100, -40, 16), (26, 46, 42))
_STOMACH = ((-62, 38, 12), (42, 40, 46))
_GALLBLADDER = ((38, 48, -40), (15, 24, 22))
_KIDNEYS = (((64, -62, -62), (27, 27, 46)), ((-66, -64, -50), (27, 27, 46)))
_VERTEBRA = ((0, -62, 0), (24, 20, 400))
_PORTAL = ((6, 8, -20), (26, 8, -8), (44, 6, 0), (74, -2, 8), (104, -10, 14))
_PORTAL_LEFT = ((44, 6, 0), (34, 30, 12), (8, 46, 18))
_HEPATIC = ((14, -22, 48), (44, -2, 36), (76, 22, 22), (100, 34, 8))
_HEPATIC_MIDDLE = ((14, -22, 48), (30, 14, 36), (44, 40, 22))


@dataclass(frozen=True)
class Lesion:
    """A round tumour.

    Attributes:
        centre: (3,) mm.
        radius: mm.
    """

    centre: np.ndarray
    radius: float


@dataclass(frozen=True)
class Abdomen:
    """Individual features of an abdomen.

    Attributes:
        half: Half width and half depth of the trunk in mm.
        fat: Thickness of the fat under the skin in mm.
        liver: Scale of the liver.
        spleen: Scale of the spleen.
        bends: Field (3, n) in mm that deforms all organs.
        bumps: Field that makes the surfaces of lesions and organs uneven.
        texture: Field of nodules, unit spread.
        bowel: Field that separates bowel from fat.
        lesions: Lesions of the liver.
    """

    half: np.ndarray
    fat: float
    liver: float
    spleen: float
    bends: Waves
    bumps: SmoothNoise
    texture: SmoothNoise
    bowel: SmoothNoise
    lesions: tuple[Lesion, ...]

    def skin(self, points: Points) -> np.ndarray:
        """Signed distance (n,) to the outline of the trunk."""
        x, y, _ = points
        width, depth = self.half
        across = (np.abs(x / width) ** 2.4 + np.abs((y + 8) / depth) ** 2.4) ** (1 / 2.4)
        return (across - 1) * depth

    def organs(self, points: Points) -> dict[str, np.ndarray]:
        """Distances (n,) to organs, vessels and lesions at points (3, n)."""
        moved = points + self.bends(points)
        uneven = 1.5 * self.bumps(points)
        liver = np.minimum(*(_ellipsoid(moved, centre, np.array(axes) * self.liver) for centre, axes in _LIVER))
        liver = np.maximum(liver, _clear_of_spine(moved)) + uneven
        aorta, cava = (_tube(moved, x, y, r) for x, y, r in ((-10, -34, 11), (18, -30, 12)))
        inside = liver + 6
        portal = np.minimum(_chain(moved, _PORTAL, 7.5), _chain(moved, _PORTAL_LEFT, 5.5))
        hepatic = np.minimum(_chain(moved, _HEPATIC, 6), _chain(moved, _HEPATIC_MIDDLE, 5))
        vertebra = _ellipsoid(moved, *_VERTEBRA)
        return {
            "stomach": _ellipsoid(moved, *_STOMACH),
            "spleen": _ellipsoid(moved, _SPLEEN[0], np.array(_SPLEEN[1]) * self.spleen) + uneven,
            "kidneys": np.minimum(*(_ellipsoid(moved, *kidney) for kidney in _KIDNEYS)),
            "liver": liver,
            "gallbladder": _ellipsoid(moved, *_GALLBLADDER),
            "veins": np.maximum(np.minimum(portal, hepatic), inside),
            "lesions": np.maximum(self._lesions(points) + 0.6 * uneven, liver + 2),
            "cava": cava,
            "aorta": aorta,
            "vertebra": vertebra,
            "cord": _tube(points, 0, -84, 8),
        }

    def _lesions(self, points: Points) -> np.ndarray:
        distances = [np.sqrt(((points - each.centre[:, None]) ** 2).sum(0)) - each.radius for each in self.lesions]
        return np.minimum.reduce(distances)


def draw_abdomen(rng: np.random.Generator) -> Abdomen:
    """Draw a person with two to four lesions."""
    half = np.array([158.0, 112.0]) * rng.normal(1, 0.035) * rng.normal(1, 0.02, size=2)
    scale = float(rng.normal(0.97, 0.04))
    return Abdomen(
        half=half,
        fat=float(rng.uniform(9, 22)),
        liver=scale,
        spleen=float(rng.normal(1, 0.1)),
        bends=Waves(rng, 160.0, (4.0, 4.0, 4.0)),
        bumps=SmoothNoise(rng, 9.0),
        texture=SmoothNoise(rng, 4.5),
        bowel=SmoothNoise(rng, 12.0),
        lesions=_draw_lesions(rng, scale),
    )


def _draw_lesions(rng: np.random.Generator, scale: float) -> tuple[Lesion, ...]:
    """Draw separate lesions in the thick part of the right lobe."""
    lesions: list[Lesion] = []
    centre, axes = (np.array(part, float) for part in _LIVER[0])
    wanted = int(rng.integers(2, 5))
    for _ in range(200):
        if len(lesions) == wanted:
            break
        direction = rng.normal(size=3)
        place = centre + axes * scale * 0.66 * rng.uniform() ** (1 / 3) * direction / np.linalg.norm(direction)
        lesion = Lesion(place, float(rng.uniform(15, 24)))
        free = all(np.linalg.norm(place - other.centre) > 0.9 * (lesion.radius + other.radius) for other in lesions)
        if free and np.hypot(place[0], place[1] + 62) > 55:
            lesions.append(lesion)
    return tuple(lesions)


def _ellipsoid(points: Points, centre: tuple[float, ...], axes: tuple[float, ...] | np.ndarray) -> np.ndarray:
    middle, size = np.array(centre, np.float32)[:, None], np.array(axes, np.float32)[:, None]
    return (np.sqrt((((points - middle) / size) ** 2).sum(0)) - 1) * float(np.min(size))


def _tube(points: Points, x: float, y: float, radius: float) -> np.ndarray:
    """Distance to a tube along z."""
    return np.hypot(points[0] - x, points[1] - y) - radius


def _chain(points: Points, beads: tuple[tuple[float, ...], ...], radius: float) -> np.ndarray:
    """Distance to a tube through points that tapers towards its end."""
    nearest = np.full(points.shape[1], np.inf, np.float32)
    for number in range(len(beads) - 1):
        start, end = (np.array(bead, np.float32)[:, None] for bead in beads[number : number + 2])
        way = end - start
        along = np.clip(((points - start) * way).sum(0) / (way * way).sum(), 0, 1)
        gap = points - start - way * along
        thin = radius * (1 - 0.55 * (number + along) / (len(beads) - 1))
        nearest = np.minimum(nearest, np.sqrt((gap * gap).sum(0)) - thin)
    return nearest


def _clear_of_spine(points: Points) -> np.ndarray:
    """Positive in the region of the spine and the great vessels."""
    return 46 - np.hypot(points[0] + 4, points[1] + 58)
