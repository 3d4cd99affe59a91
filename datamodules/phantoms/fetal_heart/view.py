"""One four-chamber view in B-mode: geometry in the sector, echoes, and the processing of the machine.

The heart is laid out in mm, seen from its apex: the crux at the origin, the ventricles above it and the atria below,
towards the spine; the left side is on the left. `along` points from the atria to the apex.
Echoes are computed along the beams of a convex probe: reflectivity times complex noise, blurred along the beam by a
constant length and across it by a constant angle, so that the resolution drops with depth. They are attenuated by
structures closer to the probe, log-compressed, and scan-converted into an image that is black outside the sector.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.special import expit

from medzoo.evaluation.measures.morphology import CHAMBERS

__all__ = ["View", "draw_view"]

_SEPTUM, _VALVES = 2.0, 1.2  # mm between the ventricles, and between atria and ventricles
_WALL = 2.2  # mm of muscle around the chambers
_BEAMS, _SAMPLES = 144, 192
_HALF_ANGLE, _PROBE = 0.72, -0.25  # of the sector in radians; row of the probe's centre, in image heights
_NEAR, _FAR = 0.3, 1.22  # ends of the sector, in image heights from the probe's centre
_RANGE_DB = 48.0  # dynamic range between black and white


@dataclass(frozen=True)
class View:
    """Properties that differ between views of one heart.

    Attributes:
        angle: Angle between septum and vertical, radians.
        shift: Shift of the crux from the image centre, mm down and right.
        gain: Gain in dB.
        rib: Position of a rib's shadow, as a share of the sector from left to right.
    """

    angle: float
    shift: tuple[float, float]
    gain: float
    rib: float


def draw_view(
    axes: dict[str, np.ndarray],
    fibroelastosis: float,
    view: View,
    *,
    size: int,
    width_mm: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one view.

    Args:
        axes: By chamber, its full axes in mm, across and along.
        fibroelastosis: Degree in [0, 1].
        view: Orientation, position, gain and shadow.
        size: Edge of the image in pixels.
        width_mm: Edge of the image in mm.
        rng: Draws speckle and tissue.

    Returns:
        The image (size, size) uint8 and the mask (size, size) uint8 with the labels of `CHAMBERS`.
    """
    rows, columns = (np.mgrid[0:size, 0:size] + 0.5) / size
    across, along = _to_heart(rows, columns, view, width_mm)
    distance = _distances(axes, across, along)
    mask = np.zeros((size, size), np.uint8)
    for name, value in CHAMBERS.items():
        mask[distance[name] <= 0] = value
    depth, angle = np.mgrid[0:_SAMPLES, 0:_BEAMS]
    depth = _NEAR + (_FAR - _NEAR) * depth / (_SAMPLES - 1)
    angle = _HALF_ANGLE * (2 * angle / (_BEAMS - 1) - 1)
    place = _PROBE + depth * np.cos(angle), 0.5 + depth * np.sin(angle)
    echo = _echoes(axes, fibroelastosis, *_to_heart(*place, view, width_mm), rng)
    received = _received(echo, depth, angle, view, width_mm, rng)
    return _scan_converted(received, rows, columns), mask


def _to_heart(rows: np.ndarray, columns: np.ndarray, view: View, width_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Convert image coordinates (0 to 1) to mm across and along the heart."""
    down = (rows - 0.5) * width_mm - view.shift[0]
    right = (columns - 0.5) * width_mm - view.shift[1]
    cosine, sine = np.cos(view.angle), np.sin(view.angle)
    return cosine * right - sine * down, -sine * right - cosine * down


def _distances(axes: dict[str, np.ndarray], across: np.ndarray, along: np.ndarray) -> dict[str, np.ndarray]:
    """Approximate signed distance in mm to the edge of each chamber, negative inside."""
    found = {}
    for name in CHAMBERS:
        half = axes[name] / 2
        side, end = (-1 if name[0] == "L" else 1), (1 if name[1] == "V" else -1)
        x = across - side * (_SEPTUM / 2 + half[0])
        y = along - end * (_VALVES / 2 + half[1])
        radius = np.sqrt((x / half[0]) ** 2 + (y / half[1]) ** 2)
        slope = np.hypot(x / half[0] ** 2, y / half[1] ** 2) / np.maximum(radius, 1e-6)
        found[name] = (radius - 1) / np.maximum(slope, 1e-6)
    return found


def _echoes(
    axes: dict[str, np.ndarray], fibroelastosis: float, across: np.ndarray, along: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Reflectivity: 1 is a bright wall, 0.03 blood."""
    distance = _distances(axes, across, along)
    nearest = np.minimum.reduce([*distance.values()])
    lung = 0.17 * np.exp(0.35 * _texture(across.shape, (5, 4), rng))
    muscle = 0.42 * np.exp(0.2 * _texture(across.shape, (2, 2), rng))
    echo = np.where(nearest < _WALL, muscle, lung)
    echo = echo + 0.5 * np.exp(-(((nearest - _WALL) / 0.35) ** 2))  # the pericardium
    aorta = np.hypot(across + 4.0, along + axes["LA"][1] + 5.0)
    echo = np.where(aorta < 2.2, 0.04, echo + 0.5 * np.exp(-(((aorta - 2.6) / 0.4) ** 2)))
    spine = np.hypot((across + 1.0) / 3.4, (along + axes["LA"][1] + 11.0) / 2.2)
    echo = echo + 2.2 * expit((1 - spine) * 8)
    lining = 0.35 + 1.6 * fibroelastosis
    thick = 0.5 + 0.9 * fibroelastosis
    echo = echo + lining * np.exp(-((distance["LV"] / thick) ** 2))
    blood = expit(-nearest * 6)
    inside = 0.03 + 0.3 * fibroelastosis * np.exp(-((distance["LV"] / (1.6 * thick)) ** 2))
    valve = 0.45 * np.exp(-((along / 0.5) ** 2)) * (np.minimum(distance["LV"], distance["RV"]) < 1.5)
    band = np.hypot((across - axes["RV"][0] / 2) / 2.6, (along - 0.8 * axes["RV"][1]) / 0.7)  # moderator band
    return echo * (1 - blood) + inside * blood + valve + 0.4 * expit((1 - band) * 6)


def _received(
    echo: np.ndarray, depth: np.ndarray, angle: np.ndarray, view: View, width_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """Brightness in [0, 1] along the beams."""
    noise = rng.normal(size=(2, *echo.shape))
    blur = [0.35 * _SAMPLES / ((_FAR - _NEAR) * width_mm), 1.5]  # mm along the beam; beams across it
    envelope = np.hypot(*(gaussian_filter(echo * part, blur) for part in noise))
    envelope = envelope / 0.22  # the spread of the noise after the blur
    rib = np.exp(-(((angle / _HALF_ANGLE + 1) / 2 - view.rib) ** 2) / (2 * 0.025**2))
    lost = 26 * rib * expit((depth - 0.42) * 60) + 9 * (depth - _NEAR)
    behind = np.cumsum(np.clip(echo - 1.6, 0, None), axis=0)  # bone blocks the beam
    lost = lost + 2.5 * gaussian_filter(behind, (0, 1.5))
    shown = 20 * np.log10(envelope + 10 ** (-_RANGE_DB / 20)) - lost + view.gain + 6
    shown = shown + 14 * rib * np.exp(-(((depth - 0.4) / 0.02) ** 2))
    return np.clip(1 + (shown - 8) / _RANGE_DB, 0, 1)


def _scan_converted(received: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Image (size, size) uint8 from an array of samples by beams."""
    down, right = rows - _PROBE, columns - 0.5
    depth, angle = np.hypot(down, right), np.arctan2(right, down)
    sample = (depth - _NEAR) / (_FAR - _NEAR) * (_SAMPLES - 1)
    beam = (angle / _HALF_ANGLE + 1) / 2 * (_BEAMS - 1)
    picture = map_coordinates(received, [sample, beam], order=1, cval=0.0)
    return np.clip(np.rint(255 * picture), 0, 255).astype(np.uint8)


def _texture(shape: tuple[int, ...], grain: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of zero mean and unit spread."""
    noise = gaussian_filter(rng.normal(size=shape), grain)
    return (noise - noise.mean()) / noise.std()
