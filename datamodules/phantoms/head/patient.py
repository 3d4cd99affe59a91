"""One patient of the head cohort: both scans, the clinical row, and the truth behind them."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from datamodules.phantoms.head import causal, hematoma, scanner
from datamodules.phantoms.head.anatomy import Anatomy, draw_anatomy
from datamodules.phantoms.head.hematoma import Bleed
from datamodules.phantoms.head.scanner import Grid, Scanner

__all__ = ["Patient", "Scan", "head_grid", "simulate"]

_STREAMS = ("clinical", "fate", "anatomy", "bleed", "pose", "baseline noise", "follow-up noise")


@dataclass(frozen=True)
class Scan:
    """One CT with its masks.

    Attributes:
        ct: HU (x, y, z) int16.
        iph: Intraparenchymal bleed (x, y, z) uint8 of 0 and 1.
        ivh: Intraventricular bleed (x, y, z) uint8 of 0 and 1.
        midline_shift_mm: True shift of the septum.
    """

    ct: np.ndarray
    iph: np.ndarray
    ivh: np.ndarray
    midline_shift_mm: float


@dataclass(frozen=True)
class Patient:
    """A simulated patient.

    Attributes:
        clinical: The seven variables, under the names of `causal.CLINICAL`; the baseline volume as the mask has it.
        baseline: First scan.
        followup: Scan about a day later, on the same grid.
        affine: Voxel index to RAS mm (4, 4).
        p_expansion: Probability of expansion that the causal model gives.
        location: Where the bleed lies.
    """

    clinical: dict[str, float]
    baseline: Scan
    followup: Scan
    affine: np.ndarray
    p_expansion: float
    location: str

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def expansion(self) -> bool:
        """The classic label, from the masks."""
        before, after = (float(scan.iph.sum()) * self.voxel_ml for scan in (self.baseline, self.followup))
        return bool(causal.is_expansion(np.array(before), np.array(after)))


def head_grid(image_size: int, spacing_mm: float, slices: int, thickness_mm: float) -> Grid:
    """The grid of a scanner: `slices` counts slices of 5 mm, other thicknesses cover the same height."""
    count = max(1, round(slices * 5 / thickness_mm))
    return Grid((image_size, image_size, count), (spacing_mm, spacing_mm, thickness_mm))


def simulate(
    seed: int | tuple[int, ...],
    *,
    scanner: Scanner = scanner.SCANNERS[0],
    image_size: int = 64,
    spacing_mm: float = 3.0,
    slices: int = 14,
    skull: bool = True,
    do: dict[str, float] | None = None,
) -> Patient:
    """Simulate a patient, or the same patient under an intervention.

    The exogenous noise (anatomy, place and shape of the bleed, fate, scanner noise) hangs on `seed` alone. So with `do`
    the follow-up is the true counterfactual. The baseline scan is the same under every `do` but
    `do(IPH_baseline_ml=...)`, which draws the same bleed with another volume.

    Args:
        seed: The patient.
        scanner: Scanner of the hospital.
        image_size: Voxels along x and y.
        spacing_mm: Their spacing.
        slices: Slices of 5 mm; a scanner of another thickness covers the same height with more or fewer.
        skull: Whether scalp, skull and air are there; else 0 HU outside the brain.
        do: Values of clinical variables set by intervention.

    Raises:
        ValueError: For a variable or value that the causal model lacks, or a field of view too small for the bleed.
    """
    streams = np.random.SeedSequence(seed).spawn(len(_STREAMS))
    rngs = {name: np.random.default_rng(stream) for name, stream in zip(_STREAMS, streams, strict=True)}
    clinical = causal.draw_clinical(rngs["clinical"], 1)
    noise = causal.draw_noise(rngs["fate"], 1)
    anatomy = draw_anatomy(rngs["anatomy"], float(clinical["Age"][0]))
    bleed = hematoma.draw_bleed(rngs["bleed"], anatomy, float(clinical["IPH_baseline_ml"][0]))
    grid = head_grid(image_size, spacing_mm, slices, scanner.thickness_mm)
    clinical = causal.do(clinical, **(do or {}))
    clinical["IPH_baseline_ml"] = np.maximum(np.rint(clinical["IPH_baseline_ml"] / grid.voxel_ml), 1) * grid.voxel_ml

    volume = float(clinical["IPH_baseline_ml"][0])
    grown = float(causal.realised_volume(clinical, noise)[0])
    count = round(volume / grid.voxel_ml)
    probability = float(causal.expansion_probability(clinical)[0])
    expands = noise["expansion"][0] < probability
    grown_count = int(np.ceil(grown / grid.voxel_ml)) if expands else round(grown / grid.voxel_ml)

    head = _Head(anatomy, bleed, grid, scanner, skull, *_pose(rngs["pose"]))
    baseline = head.scan(rngs["baseline noise"], count, later=False)
    followup = head.scan(rngs["follow-up noise"], grown_count, later=True)
    row = {name: float(column[0]) for name, column in clinical.items()}
    return Patient(row, baseline, followup, grid.affine, probability, bleed.location)


def _pose(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Turn in the axial plane, tilt to the side (radians) and place (mm) of the head, and what registration leaves."""
    return rng.normal(0, [0.035, 0.02, 1.2, 1.2, 1.5]), rng.normal(0, [0.003, 0.003, 0.25, 0.25, 0.25])


@dataclass(frozen=True)
class _Head:
    """A person with a bleed in a scanner."""

    anatomy: Anatomy
    bleed: Bleed
    grid: Grid
    scanner: Scanner
    skull: bool
    pose: np.ndarray
    misregistration: np.ndarray

    def scan(self, rng: np.random.Generator, count: int, later: bool) -> Scan:
        """Scan with a bleed of `count` voxels."""
        points = self._head_points(later)
        depth = self.anatomy.depth(points)
        inside = depth > 0
        within, under = points[:, inside], depth[inside]
        volume = count * self.grid.voxel_ml
        origin = hematoma.push_back(within, under, self.bleed.centre, volume)
        ventricles = self.anatomy.ventricles(origin)
        soft = 0.15 + 0.22 * self.grid.spacing[0]
        iph, ivh, blood, edema = self._bleed(within, under, origin, ventricles, count, later, soft)

        brain = self.anatomy.brain(origin, under, ventricles, soft)
        brain += edema * np.minimum(20 - brain, 0)
        bloody = blood > 0.01
        clots = self.bleed.clots(within[:, bloody])
        brain[bloody] += blood[bloody] * (np.where(ivh[bloody], 58, 66) + 4 * clots - brain[bloody])
        hu = np.full(depth.shape, -1000 if self.skull else 0, np.float32)
        hu[inside] = brain
        if self.skull:
            shell = ~inside & (depth > -25)
            hu[shell] = self.anatomy.outside(points[:, shell], depth[shell], soft)
        shape = self.grid.shape
        ct = scanner.scan(rng, hu.reshape(shape), depth.reshape(shape), self.scanner, self.grid)
        if not self.skull:
            ct[~inside.reshape(shape)] = 0
        masks = np.zeros((2, inside.size), np.uint8)
        masks[:, inside] = iph, ivh
        shift = hematoma.midline_shift(self.anatomy, self.bleed, volume)
        return Scan(ct, masks[0].reshape(shape), masks[1].reshape(shape), shift)

    def _bleed(
        self,
        points: np.ndarray,
        depth: np.ndarray,
        origin: np.ndarray,
        ventricles: np.ndarray,
        count: int,
        later: bool,
        soft: float,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Masks of IPH and IVH, and how much of each voxel is blood and edema, at points (3, n) of the brain."""
        voxel = self.grid.voxel_ml
        level = self.bleed.level(points, count * voxel, later)
        lateral = origin[0] * self.bleed.side  # mm from the midline, positive on the side of the bleed
        own_side = lateral > 1.5
        iph, bound = hematoma.select(level, (ventricles > 0) & own_side & (depth > 2) & np.isfinite(level), count)
        leaked = hematoma.leaked_volume(float(((ventricles <= 0) & own_side & (level < bound)).sum()) * voxel)
        ivh = np.zeros(iph.shape, bool)
        if leaked > 0:
            room = ventricles <= 0
            dependence = origin[1] + 18 * (lateral < 0) + 0.4 * np.linalg.norm(points - self.bleed.centre[:, None], axis=0)
            ivh, _ = hematoma.select(dependence, room, int(min(leaked / voxel, 0.6 * room.sum())))
        tissue = (ventricles > 0) & own_side
        blood = np.where(ivh, 1, expit((bound - level) / soft) * (tissue & (depth > 0.5)))
        rim = 2.0 + 0.06 * hematoma.radius_mm(count * voxel) + (1.5 if later else 0)
        edema = 0.85 * expit((bound + rim - level) / (soft + 0.6)) * tissue
        return iph, ivh, blood, edema

    def _head_points(self, later: bool) -> np.ndarray:
        """Voxel centres in head coordinates (3, n)."""
        turn, tilt, *place = self.pose + (self.misregistration if later else 0)
        cos, sin = np.cos(turn), np.sin(turn)
        in_plane = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        sideways = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
        moved = self.grid.points() - np.array(place, np.float32)[:, None]
        return (in_plane @ sideways).astype(np.float32) @ moved
