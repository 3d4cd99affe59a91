"""Shapes of the parts of a head, as signed distances in mm (negative inside) at points in mm.

The axes are RAS: x to the right, y forward, z up, with the origin between the two commissures. Sizes were estimated
by eye from a common adult atlas; the distances are approximate, exact only at the outlines.
"""

from itertools import pairwise

import numpy as np

__all__ = [
    "basal_cisterns",
    "brain_depth",
    "calcifications",
    "cerebellum",
    "deep_grey",
    "interhemispheric",
    "lateral_ventricles",
    "midbrain",
    "sylvian_fissure",
    "tentorium",
    "third_ventricle",
]

Points = np.ndarray
"""Points (3, n) float32."""

CENTRE = np.array([[0.0], [-10.0], [8.0]], np.float32)
"""Middle of the brain."""

# One lateral ventricle as a chain of beads (|x|, y, z, radius), from the tip of the frontal horn backwards.
_VENTRICLE = (
    (13, 35, 5, 2.4),
    (9, 26, 9, 4.0),
    (6.5, 14, 13, 4.4),
    (7, 3, 18, 4.0),
    (11, -14, 22, 4.6),
    (17, -29, 19, 5.2),
    (23, -41, 10, 6.2),
    (25, -50, 6, 4.6),
    (20, -66, 2, 1.6),
)
_TEMPORAL_HORN = ((23, -41, 10, 4.0), (31, -35, -3, 2.4), (31, -18, -13, 1.8), (28, -8, -16, 1.2))
_DEEP_GREY = (  # |x|, y, z, semi-axes, turn in the axial plane in degrees
    (12.5, 17, 6, 4.5, 10, 12, 20),  # head of the caudate
    (16, -4, 20, 3, 15, 5, 12),  # body of the caudate
    (25.5, 4, 2, 6, 17, 12, 12),  # putamen
    (19, -1, 0, 5, 9, 8, 28),  # pallidum
    (10.5, -14, 5, 8, 14, 10, 22),  # thalamus
)


def brain_depth(points: Points, size: np.ndarray, taper: float) -> np.ndarray:
    """Depth in mm under the inner table of the skull along the ray to the brain's middle; negative outside.

    Args:
        points: Points (3, n).
        size: Half width, half length, height above and below the middle, in mm.
        taper: How much narrower the forehead is, as a fraction of the half width.
    """
    x, y, z = points - CENTRE
    radius = np.sqrt(x * x + y * y + z * z) + 1e-3
    plane = np.hypot(x, y) + 1e-3
    forward = y / plane
    width = size[0] * (1 - taper * forward - 0.05 * forward**2)  # widest behind the ears, narrow at the forehead
    height = np.where(z > 0, size[2], size[3])
    across = (np.abs(x / width) ** 2.15 + np.abs(y / size[1]) ** 2.15) ** (1 / 2.15)
    return radius * (1 / (across**2.3 + np.abs(z / height) ** 2.3) ** (1 / 2.3) - 1)


def lateral_ventricles(points: Points, widen: np.ndarray) -> np.ndarray:
    """Both lateral ventricles.

    Args:
        points: Points (3, n).
        widen: mm added to the radii at each point; depends on age and differs between the sides.
    """
    mirrored = np.stack([np.abs(points[0]), points[1], points[2]])
    body = _chain(mirrored, _VENTRICLE, 0.8) - widen
    horn = _chain(mirrored, _TEMPORAL_HORN, 1.0) - 0.4 * widen
    return np.maximum(np.minimum(body, horn), 0.5 - mirrored[0])  # the septum keeps them apart


def third_ventricle(points: Points, widen: float) -> np.ndarray:
    """The slit between the thalami."""
    x, y, z = points
    outside = np.maximum(np.abs(y + 8) - 14, np.abs(z + 1) - 9)
    return np.maximum(np.abs(x) - (1.3 + 0.7 * widen), outside)


def deep_grey(points: Points) -> np.ndarray:
    """Caudate, putamen, pallidum and thalamus."""
    return _ellipsoids(np.abs(points[0]), points[1], points[2], _DEEP_GREY)


def sylvian_fissure(points: Points, half_width: float) -> np.ndarray:
    """The cleft over the insula and its opening towards the temple."""
    x, y, z = np.abs(points[0]), points[1], points[2]
    insula = np.maximum(np.abs(x - 39 + 0.014 * (y - 2) ** 2), np.abs(y - 2) - 16)
    opening = 18 - 0.9 * (z + 8)  # where it leaves moves back as one climbs
    way_out = _segment(x, y, 38.5, 0.6 * opening, 66, opening) - 0.05 * np.maximum(x - 40, 0)
    return np.maximum(np.minimum(insula, way_out) - half_width, np.abs(z + 1) - 13)


def basal_cisterns(points: Points, half_width: float) -> np.ndarray:
    """The star-shaped suprasellar cistern with arms to the Sylvian fissures, and the cisterns around the midbrain."""
    x, y, z = np.abs(points[0]), points[1], points[2]
    angle = np.arctan2(points[0], y - 8)
    star = np.hypot(x, y - 8) - (6.5 + 2.0 * np.cos(5 * angle))
    arm = _segment(x, y, 6, 9, 36, 19 + 0 * z) - 0.35 * half_width
    notch = np.hypot(x, y + 3) - 4.5
    low = np.maximum(np.minimum(np.minimum(star, arm), notch), z + 9)
    ring = np.maximum(np.abs(_stem(points)) - half_width * (0.35 + 0.5 * (y < -24)), np.maximum(z + 6, y + 3))
    smile = np.maximum(np.abs(np.hypot(x, y + 22) - 11) - half_width - 0.3, np.maximum(y + 27, np.abs(z + 4) - 7))
    return np.minimum(np.minimum(low, ring), smile)


def midbrain(points: Points) -> np.ndarray:
    """The stem between the cisterns."""
    return np.maximum(_stem(points), points[2] + 6)


def cerebellum(points: Points) -> np.ndarray:
    """The upper cerebellum, below the tentorium."""
    x, y, z = np.abs(points[0]), points[1], points[2]
    return np.maximum((x - _tent(y, z)) * 0.8, np.maximum(y + 34, z + 3))


def tentorium(points: Points) -> np.ndarray:
    """The two leaves of the tentorium over the cerebellum."""
    x, y, z = np.abs(points[0]), points[1], points[2]
    return np.maximum(np.abs((x - _tent(y, z)) * 0.8) - 0.7, np.maximum(y + 36, z + 3))


def calcifications(points: Points) -> np.ndarray:
    """The pineal gland and the choroid plexus."""
    x, y, z = np.abs(points[0]), points[1], points[2]
    pineal = np.sqrt(x**2 + (y + 29) ** 2 + (z - 1) ** 2) - 1.8
    plexus = np.sqrt((x - 23) ** 2 + (y + 43) ** 2 + (z - 9) ** 2) - 2.2
    return np.minimum(pineal, plexus)


def _tent(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Half width of the cerebellum."""
    return 4 + 34 * (1 - np.exp(np.minimum(y + 34, 0) / 30)) - 1.3 * (z + 14)


def _stem(points: Points) -> np.ndarray:
    x, y, _ = points
    return (np.sqrt((x / 17) ** 2 + ((y + 17) / 14) ** 2) - 1) * 14


def interhemispheric(points: Points) -> np.ndarray:
    """Distance in mm to the block that joins the hemispheres (above, in front or behind); negative inside it."""
    _, y, z = points
    block = np.sqrt(((y + 6) / 44) ** 2 + ((z - 2) / 27) ** 2)
    return (block - 1) * 27


def _chain(points: Points, beads: tuple[tuple[float, ...], ...], slim: float) -> np.ndarray:
    """Distance to a chain of cones; `slim` below 1 makes it narrower across by this factor."""
    scaled = points / np.array([[slim], [1], [1]], np.float32)
    nearest = np.full(points.shape[1], np.inf, np.float32)
    for first, second in pairwise(beads):
        start = np.array([first[0] / slim, *first[1:3]], np.float32)[:, None]
        way = np.array([second[0] / slim, *second[1:3]], np.float32)[:, None] - start
        along = np.clip(((scaled - start) * way).sum(0) / (way * way).sum(), 0, 1)
        gap = scaled - start - way * along
        nearest = np.minimum(nearest, np.sqrt((gap * gap).sum(0)) - (first[3] + (second[3] - first[3]) * along))
    return nearest


def _ellipsoids(x: np.ndarray, y: np.ndarray, z: np.ndarray, parts: tuple[tuple[float, ...], ...]) -> np.ndarray:
    nearest = np.full(x.shape, np.inf, np.float32)
    for px, py, pz, a, b, c, degrees in parts:
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        across, along = (x - px) * cos + (y - py) * sin, (y - py) * cos - (x - px) * sin
        nearest = np.minimum(nearest, (np.sqrt((across / a) ** 2 + (along / b) ** 2 + ((z - pz) / c) ** 2) - 1) * a)
    return nearest


def _segment(x: np.ndarray, y: np.ndarray, x0: float, y0: float, x1: float, y1: np.ndarray) -> np.ndarray:
    """Distance in the axial plane to a segment whose end may depend on height."""
    dx, dy = x1 - x0, y1 - y0
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.hypot(x - x0 - along * dx, y - y0 - along * dy)
