"""Render a CT with its masks from a person, a bleed and a scanner."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from medzoo.datamodules.phantoms.head import hematoma
from medzoo.datamodules.phantoms.head.anatomy import HU, Anatomy
from medzoo.datamodules.phantoms.head.hematoma import Bleed
from medzoo.datamodules.phantoms.head.scanner import Grid, Scanner, measure
from medzoo.datamodules.phantoms.head.signs import density

__all__ = ["Head", "Scan"]


@dataclass(frozen=True)
class Scan:
    """One CT with its masks.

    Attributes:
        ct: HU (x, y, z) int16.
        iph: Intraparenchymal bleed (x, y, z) uint8 of 0 and 1.
        ivh: Intraventricular bleed (x, y, z) uint8 of 0 and 1.
        midline_shift_mm: True shift of the septum, away from the bleed.
    """

    ct: np.ndarray
    iph: np.ndarray
    ivh: np.ndarray
    midline_shift_mm: float


@dataclass(frozen=True)
class _Brain:
    """The voxels of the brain: position, depth, and position of their tissue before the bleed."""

    points: np.ndarray
    depth: np.ndarray
    origin: np.ndarray  # idealised
    ventricles: np.ndarray
    own_side: np.ndarray


@dataclass(frozen=True)
class Head:
    """A person with a bleed in a scanner.

    Attributes:
        anatomy: The person.
        bleed: Place and shape of the bleed.
        grid: Voxel grid.
        scanner: Scanner of the hospital.
        skull: Whether scalp, skull and air are rendered; else 0 HU outside the brain.
        pose: Rotation in the axial plane and tilt to the side (radians), position (mm) along x, y, z.
        misregistration: Added to the pose at follow-up.
        shown: Signs that the bleed shows: `mottled` for uneven density, and those of `signs.SIGNS`.
    """

    anatomy: Anatomy
    bleed: Bleed
    grid: Grid
    scanner: Scanner
    skull: bool
    pose: np.ndarray
    misregistration: np.ndarray
    shown: frozenset[str] = frozenset()

    def scan(self, rng: np.random.Generator, count: int, before: Scan | None = None) -> Scan:
        """Scan with a bleed of `count` voxels; `before` is the baseline scan if this is the follow-up."""
        volume = count * self.grid.voxel_ml
        points = self._points(later=before is not None)
        depth = self.anatomy.depth(points)
        inside = depth > 0
        brain = self._brain(points[:, inside], depth[inside], volume)
        level = self.bleed.level(brain.points, volume, before is not None)
        room = np.isfinite(level) & (brain.ventricles > 0) & brain.own_side & (brain.depth > 2)
        iph, bound = hematoma.select(level, room, count)
        surface = np.where(brain.own_side, level - bound, np.inf)  # mm, negative in the bleed
        ivh = self._ventricular(brain, surface, count, before)

        hu = self.anatomy.brain(brain.origin, brain.depth, brain.ventricles, self._soft)
        self._add_blood(hu, brain, surface, ivh, volume, later=before is not None)
        masks = np.zeros((2, inside.size), np.uint8)
        masks[:, inside] = iph, ivh
        ct = self._measure(rng, points, depth, hu)
        shift = hematoma.midline_shift(self.anatomy, self.bleed, volume)
        return Scan(ct, masks[0].reshape(self.grid.shape), masks[1].reshape(self.grid.shape), shift)

    @property
    def _clots_hu(self) -> float:
        """Approximate standard deviation of HU in blood; a mix of old and fresh blood makes it uneven."""
        return 14.0 if "mottled" in self.shown else 4.0

    @property
    def _soft(self) -> float:
        """Width of edges in mm, to imitate partial volume."""
        return 0.15 + 0.22 * self.grid.spacing[0]

    def _points(self, later: bool) -> np.ndarray:
        """Voxel centres in head coordinates (3, n)."""
        turn, tilt, *place = self.pose + (self.misregistration if later else 0)
        in_plane = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        sideways = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
        moved = self.grid.points() - np.array(place, np.float32)[:, None]
        return (in_plane @ sideways).astype(np.float32) @ moved

    def _brain(self, points: np.ndarray, depth: np.ndarray, volume: float) -> _Brain:
        origin = self.anatomy.idealised(hematoma.push_back(points, depth, self.bleed.centre, volume))
        own_side = origin[0] * self.bleed.side > 1.5
        return _Brain(points, depth, origin, self.anatomy.ventricles(origin), own_side)

    def _ventricular(self, brain: _Brain, surface: np.ndarray, count: int, before: Scan | None) -> np.ndarray:
        """Mask of the blood in the ventricles (n,); the rule is in `hematoma.py`."""
        voxel = self.grid.voxel_ml
        walls, least, reached = brain.ventricles, 0.0, surface < 0
        if before is not None:  # the ventricles in their baseline position, near the grown bleed
            smaller = int(before.iph.sum())
            least, reached = float(before.ivh.sum()) * voxel, surface < hematoma.pressure_mm(count / smaller - 1)
            walls = np.full(surface.shape, np.inf, np.float32)
            walls[reached] = self._brain(brain.points[:, reached], brain.depth[reached], smaller * voxel).ventricles
        overlap = float((reached & (walls <= 0)).sum()) * voxel
        room = brain.ventricles <= 0
        filled = min(round(max(hematoma.leaked_volume(overlap), least) / voxel), int(0.6 * room.sum()))
        if filled == 0:
            return np.zeros(room.shape, bool)
        from_bleed = np.linalg.norm(brain.points - self.bleed.centre[:, None], axis=0)
        far_side = brain.origin[0] * self.bleed.side < 0
        drains = brain.origin[1] + 18 * far_side + 0.4 * from_bleed  # least where it is posterior and near
        return hematoma.select(drains, room, filled)[0]

    def _add_blood(
        self, hu: np.ndarray, brain: _Brain, surface: np.ndarray, ivh: np.ndarray, volume: float, later: bool
    ) -> None:
        """Put edema and blood into the brain's HU, in place."""
        tissue = brain.ventricles > 0
        rim = 2.0 + 0.10 * hematoma.radius_mm(volume) + (1.5 if later else 0)
        edema = 0.85 * tissue * expit((rim - surface) / (self._soft + 0.6))
        hu += edema * np.minimum(HU["edema"] - hu, 0)
        blood = np.where(ivh, 1, tissue * (brain.depth > 0.5) * expit(-surface / self._soft))
        bloody = blood > 0.01
        points, diluted = brain.points[:, bloody], ivh[bloody]
        dense = np.where(diluted, HU["diluted blood"], HU["blood"]) + self._clots_hu * self.bleed.clots(points)
        if self.shown:
            dense += ~diluted * density(self.bleed.offset(points), hematoma.radius_mm(volume), self.shown)
        hu[bloody] += blood[bloody] * (dense - hu[bloody])

    def _measure(
        self, rng: np.random.Generator, points: np.ndarray, depth: np.ndarray, brain: np.ndarray
    ) -> np.ndarray:
        """The CT (x, y, z) of the head, given the HU inside the skull."""
        inside = depth > 0
        hu = np.full(depth.shape, HU["air"] if self.skull else 0, np.float32)
        hu[inside] = brain
        if self.skull:
            shell = ~inside & (depth > -30)
            hu[shell] = self.anatomy.outside(points[:, shell], depth[shell], self._soft)
        shape = self.grid.shape
        ct = measure(rng, hu.reshape(shape), depth.reshape(shape), self.scanner, self.grid)
        if not self.skull:
            ct[~inside.reshape(shape)] = 0
        return ct
