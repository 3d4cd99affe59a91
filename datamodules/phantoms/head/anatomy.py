"""One person's head: noiseless HU of the tissue at each point.

Soft edges, a voxel wide, imitate partial volume. HU are those of a non-contrast CT: CSF 7, white matter 29,
cortex 37, falx 52, bone 700 to 1200, scalp -80 to 40, air -1000.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medzoo.datamodules.phantoms.head import shapes
from medzoo.datamodules.phantoms.painting import paint
from medzoo.datamodules.phantoms.smooth_noise import SmoothNoise, Waves

__all__ = ["HU", "Anatomy", "draw_anatomy"]

HU = {
    "air": -1000,
    "fat": -80,
    "csf": 7,
    "edema": 20,
    "white": 29,
    "grey": 37,
    "skin": 38,
    "stem": 34,
    "tentorium": 46,
    "falx": 52,
    "muscle": 55,
    "diluted blood": 58,
    "blood": 66,
    "diploe": 650,
    "table": 1150,
}
RIBBON = 4.6  # apparent thickness of the cortex in thick slices, mm
_FAR = 99.0


@dataclass(frozen=True)
class Anatomy:
    """Individual features of a head.

    Attributes:
        size: Half width and half length of the brain, its height above and below the middle (mm).
        taper: How much narrower the forehead is, as a fraction of the half width.
        atrophy: 0 in the young, up to about 1.3; widens sulci, ventricles and the space under the skull.
        widen: mm added to the radii of the left and right lateral ventricle.
        skull: Mean thickness of the skull in mm.
        scalp: Mean thickness of the scalp in mm.
        calcified: HU of the pineal gland and the choroid plexus, from that of brain (no calcification) to 250.
        folds: Field whose zeros are the sulci.
        deepness: Field that modulates the depth of the sulci.
        thickness: Field that modulates the thickness of skull and scalp.
        texture: Field (1, n) of HU variation within tissue.
        bends: Field (3, n) in mm that deforms the inner structures.
    """

    size: np.ndarray
    taper: float
    atrophy: float
    widen: np.ndarray
    skull: float
    scalp: float
    calcified: float
    folds: SmoothNoise
    deepness: SmoothNoise
    thickness: SmoothNoise
    texture: Waves
    bends: Waves

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Depth under the skull in mm at points (3, n)."""
        return shapes.brain_depth(points, self.size, self.taper)

    def idealised(self, points: np.ndarray) -> np.ndarray:
        """Map points (3, n) to an idealised, symmetric head; the midline stays in place."""
        bend = self.bends(points)
        bend[0] *= np.minimum(np.abs(points[0]) / 15, 1)
        return points + bend

    def ventricles(self, points: np.ndarray) -> np.ndarray:
        """Signed distance in mm to the lateral and third ventricles at idealised points (3, n), negative inside."""

        def both(middle: np.ndarray) -> np.ndarray:
            widen = np.where(middle[0] > 0, self.widen[1], self.widen[0]).astype(np.float32)
            third = shapes.third_ventricle(middle, max(self.widen.mean(), 0))
            return np.minimum(shapes.lateral_ventricles(middle, widen), third)

        return _within(np.abs(points[0]) < 50, points, both)

    def brain(self, points: np.ndarray, depth: np.ndarray, ventricles: np.ndarray, soft: float) -> np.ndarray:
        """HU inside the skull.

        Args:
            points: Idealised points (3, n): the position of the tissue before any bleed displaced it.
            depth: Their depth under the skull.
            ventricles: Their distance to the ventricles.
            soft: Width of edges in mm.
        """
        x, _, z = points
        space = 0.45 + 0.85 * self.atrophy  # half width of clefts, mm
        gap = depth - 0.7 - 1.6 * self.atrophy  # distance to the CSF under the skull
        cleft, apart = np.abs(x), shapes.interhemispheric(points)
        sylvian = _within(np.abs(z + 1) < 18, points, lambda part: shapes.sylvian_fissure(part, 1.1 * space))
        clefts = np.minimum(self._sulci(points, depth, space), sylvian)
        surface = np.minimum(np.minimum(gap, clefts), np.maximum(cleft, -apart))
        base = z < 3
        cerebellum = _within(base, points, shapes.cerebellum)
        white = HU["white"] - 6 * min(self.atrophy, 1.2) * np.exp(-np.maximum(ventricles, 0) / 5)  # leukoaraiosis
        layers = (
            (HU["grey"], surface - RIBBON),
            (HU["grey"], _within(cleft < 45, points, shapes.deep_grey)),
            (HU["stem"], np.minimum(cerebellum, _within(base, points, shapes.midbrain))),
            (HU["csf"], np.maximum(np.minimum(clefts, np.maximum(cleft - 0.4 - 0.8 * space, -apart)), -cerebellum)),
            (HU["csf"], _within(base, points, lambda part: shapes.basal_cisterns(part, 1.0 + 0.6 * space))),
            (HU["csf"], np.minimum(gap, ventricles)),
            (HU["falx"], np.maximum(cleft - 0.8, np.maximum(6 - apart, -14 - z))),
            (HU["tentorium"], _within(base, points, shapes.tentorium)),
            (self.calcified, _within(cleft < 30, points, shapes.calcifications)),
        )
        return paint(white + self.texture(points)[0], layers, soft)

    def outside(self, points: np.ndarray, depth: np.ndarray, soft: float) -> np.ndarray:
        """HU of skull, scalp and air at points with depth <= 0."""
        x, y, z = points
        wobble = self.thickness(points)
        temple = 6 * np.clip((8 - z) / 30, 0, 1) * np.clip(np.abs(x) / 30 - 1, 0, 1) * np.exp(-(((y - 18) / 26) ** 2))
        height = -depth
        skull = self.skull * (1 + 0.2 * ((y + 10) / 85) ** 4) + 0.9 * wobble  # thicker at the forehead and the back
        skin = skull + self.scalp + 0.8 * wobble + temple
        hu = HU["table"] - (HU["table"] - HU["diploe"]) * np.exp(-(((height - skull / 2) / (0.26 * skull)) ** 2))
        layers = ((HU["muscle"], skull), (HU["fat"], skull + temple), (HU["skin"], skin - 2.6), (HU["air"], skin))
        return paint(hu, tuple((value, start - height) for value, start in layers), soft)

    def _sulci(self, points: np.ndarray, depth: np.ndarray, space: float) -> np.ndarray:
        """Signed distance to the CSF of the sulci, modelled as sheets that extend inwards from the surface."""
        near = depth < 38
        inward = points[:, near] - shapes.CENTRE
        radius = np.sqrt((inward * inward).sum(0)) + 1e-3
        on_surface = inward / radius * (0.3 * radius + 52)  # nearly the same along a ray, so that folds point inwards
        bottom = np.clip(20 + 7 * self.deepness(on_surface), 4, 34)
        taper = np.clip(1.1 - 1.6 * depth[near] / bottom, -0.4, 1)  # below 0 the walls touch
        distance = np.full(depth.shape, _FAR, np.float32)
        distance[near] = np.maximum(self.folds.distance_to_zero(on_surface) - space * taper, depth[near] - bottom)
        return distance


def _within(where: np.ndarray, points: np.ndarray, shape: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Distance to a shape at points (3, n), computed only where the shape can be near."""
    distance = np.full(points.shape[1], _FAR, np.float32)
    distance[where] = shape(points[:, where])
    return distance


def draw_anatomy(rng: np.random.Generator, age: float) -> Anatomy:
    """Draw a head; atrophy depends on age (years)."""
    scale = rng.normal(1, 0.025)
    atrophy = float(np.clip((age - 40) / 45 + rng.normal(0, 0.15), 0.05, 1.3))
    widen = -0.8 + 2.2 * atrophy + rng.normal(0, 0.6) + rng.normal(0, 0.3, size=2)
    return Anatomy(
        size=scale * np.array([68, 84, 66, 62]) * rng.normal(1, 0.012, size=4),
        taper=rng.normal(0.09, 0.02),
        atrophy=atrophy,
        widen=widen,
        skull=rng.normal(6.5, 0.7),
        scalp=rng.normal(5.5, 0.8),
        calcified=rng.choice([HU["grey"], 120, 250]),
        folds=SmoothNoise(rng, 2.6),
        deepness=SmoothNoise(rng, 5.0),
        thickness=SmoothNoise(rng, 14.0),
        texture=Waves(rng, 14.0, (1.2,)),
        bends=Waves(rng, 34.0, (1.3, 1.6, 1.6)),
    )
