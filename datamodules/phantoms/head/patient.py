"""One patient of the head cohort: both scans, the clinical row, and the ground truth."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from medzoo.datamodules.phantoms.head import causal, hematoma
from medzoo.datamodules.phantoms.head.anatomy import draw_anatomy
from medzoo.datamodules.phantoms.head.rendering import Head, Scan
from medzoo.datamodules.phantoms.head.scanner import SCANNERS, Grid, Scanner

__all__ = ["Patient", "simulate"]

_STREAMS = ("clinical", "fate", "anatomy", "bleed", "pose", "baseline noise", "follow-up noise", "sign")


@dataclass(frozen=True)
class Patient:
    """A simulated patient.

    Attributes:
        clinical: The seven variables, under the names of `causal.CLINICAL`; the baseline volume is that of the mask.
        baseline: First scan.
        followup: Scan about a day later, on the same grid.
        affine: Voxel index to RAS mm (4, 4).
        p_expansion: Probability of expansion by the causal model.
        location: Location of the bleed.
        mottled: Whether the bleed shows the imaging marker of expansion; None if markers are not drawn.
    """

    clinical: dict[str, float]
    baseline: Scan
    followup: Scan
    affine: np.ndarray
    p_expansion: float
    location: str
    mottled: bool | None = None

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    @property
    def expansion(self) -> bool:
        """The classic label, from the masks."""
        before, after = (np.array(scan.iph.sum() * self.voxel_ml) for scan in (self.baseline, self.followup))
        return bool(causal.is_expansion(before, after))


def simulate(
    seed: int | tuple[int, ...],
    *,
    scanner: Scanner = SCANNERS[0],
    image_size: int = 64,
    spacing_mm: float = 3.0,
    slices: int = 14,
    skull: bool = True,
    signs: bool = False,
    do: Mapping[str, float] | None = None,
) -> Patient:
    """Simulate a patient, or the same patient under an intervention.

    The exogenous noise (anatomy, location and shape of the bleed, outcome, scanner noise) depends only on `seed`. So
    with `do` the follow-up is the true counterfactual. The baseline scan is the same under every `do`, except for
    `do(IPH_baseline_ml=...)`, which gives the same bleed another volume.

    Args:
        seed: Identifies the patient.
        scanner: Scanner of the hospital.
        image_size: Voxels along x and y.
        spacing_mm: Voxel spacing along x and y.
        slices: Number of slices of 5 mm; with another thickness, more or fewer slices cover the same height.
        skull: Whether scalp, skull and air are rendered; else 0 HU outside the brain.
        signs: Whether bleeds that will expand tend to be mottled (`causal.SIGN`), so that the image is predictive.
        do: Values of clinical variables set by intervention.

    Raises:
        ValueError: If the causal model does not have a variable or value, or the field of view is too small for the
            bleed.
    """
    streams = np.random.SeedSequence(seed).spawn(len(_STREAMS))
    rngs = {name: np.random.default_rng(stream) for name, stream in zip(_STREAMS, streams, strict=True)}
    drawn = causal.draw_clinical(rngs["clinical"], 1)
    anatomy = draw_anatomy(rngs["anatomy"], float(drawn["Age"][0]))
    bleed = hematoma.draw_bleed(rngs["bleed"], anatomy, float(drawn["IPH_baseline_ml"][0]))
    pose, misregistration = rngs["pose"].normal(0, [[0.035, 0.02, 1.2, 1.2, 1.5], [0.003, 0.003, 0.25, 0.25, 0.25]])
    grid = Grid.of(scanner, image_size, spacing_mm, slices)
    clinical = causal.do(drawn, **(do or {}))
    count = round(float(clinical["IPH_baseline_ml"][0]) / grid.voxel_ml)
    clinical["IPH_baseline_ml"] = np.array([count * grid.voxel_ml])
    noise = causal.draw_noise(rngs["fate"], 1)
    grown = _grown_count(clinical, noise, grid.voxel_ml)
    mottled = _mottled(rngs["sign"], drawn, noise) if signs else None
    head = Head(anatomy, bleed, grid, scanner, skull, pose, misregistration, bool(mottled))
    baseline = head.scan(rngs["baseline noise"], count)
    followup = head.scan(rngs["follow-up noise"], grown, before=baseline)
    row = {name: float(column[0]) for name, column in clinical.items()}
    return Patient(
        row, baseline, followup, grid.affine, float(causal.expansion_probability(clinical)[0]), bleed.location, mottled
    )


def _mottled(rng: np.random.Generator, clinical: causal.Clinical, noise: dict[str, np.ndarray]) -> bool:
    """Draw the marker for the patient without `do`, so that the baseline scan stays the same under every `do`."""
    expands = bool(noise["expansion"][0] < causal.expansion_probability(clinical)[0])
    return bool(rng.random() < causal.SIGN[expands])


def _grown_count(clinical: causal.Clinical, noise: dict[str, np.ndarray], voxel_ml: float) -> int:
    """Voxels at follow-up, rounded so that the label computed from the masks is the label that was drawn."""
    voxels = float(causal.realised_volume(clinical, noise)[0]) / voxel_ml
    expands = noise["expansion"][0] < causal.expansion_probability(clinical)[0]
    return int(np.ceil(voxels)) if expands else round(voxels)
