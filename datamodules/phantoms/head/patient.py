"""One patient of the head cohort: both scans, the clinical row, and the ground truth."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from medzoo.datamodules.phantoms.head import causal, hematoma
from medzoo.datamodules.phantoms.head.anatomy import draw_anatomy
from medzoo.datamodules.phantoms.head.rendering import Head, Scan
from medzoo.datamodules.phantoms.head.scanner import SCANNERS, Grid, Scanner
from medzoo.datamodules.phantoms.head.signs import MOTTLED, draw_signs, treat

__all__ = ["KINDS", "Patient", "simulate"]

KINDS = ("mottled", "published", "confounded")
"""Signs of expansion that scans may show (`signs.py`)."""

_DENTS = 0.5  # of an irregular bleed

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
        shown: Signs of expansion that the bleed shows; None if none are drawn.
    """

    clinical: dict[str, float]
    baseline: Scan
    followup: Scan
    affine: np.ndarray
    p_expansion: float
    location: str
    shown: frozenset[str] | None = None

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
    signs: str | None = None,
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
        signs: Signs of expansion that scans show, one of `KINDS`; None for none.
        do: Values of clinical variables set by intervention.

    Raises:
        ValueError: If the causal model does not have a variable or value, or the field of view is too small for the
            bleed.
    """
    streams = np.random.SeedSequence(seed).spawn(len(_STREAMS))
    rngs = {name: np.random.default_rng(stream) for name, stream in zip(_STREAMS, streams, strict=True)}
    drawn, confounded = causal.draw_clinical(rngs["clinical"], 1), signs == "confounded"
    noise = causal.draw_noise(rngs["fate"], 1)
    drawn, shown = _signs(rngs["sign"], drawn, noise, signs)
    anatomy = draw_anatomy(rngs["anatomy"], float(drawn["Age"][0]))
    bleed = hematoma.draw_bleed(rngs["bleed"], anatomy, float(drawn["IPH_baseline_ml"][0]))
    if shown and "irregular" in shown:
        bleed = replace(bleed, depth=_DENTS)
    pose, misregistration = rngs["pose"].normal(0, [[0.035, 0.02, 1.2, 1.2, 1.5], [0.003, 0.003, 0.25, 0.25, 0.25]])
    grid = Grid.of(scanner, image_size, spacing_mm, slices)
    clinical = causal.do(drawn, **(do or {}))
    count = round(float(clinical["IPH_baseline_ml"][0]) / grid.voxel_ml)
    clinical["IPH_baseline_ml"] = np.array([count * grid.voxel_ml])
    chance = float(causal.expansion_probability(clinical, confounded=confounded)[0])
    grown = causal.realised_volume(clinical, noise, confounded=confounded)[0] / grid.voxel_ml
    expands = noise["expansion"][0] < chance
    head = Head(anatomy, bleed, grid, scanner, skull, pose, misregistration, shown or frozenset())
    baseline = head.scan(rngs["baseline noise"], count)
    # rounded so that the label computed from the masks is the label that was drawn
    followup = head.scan(rngs["follow-up noise"], int(np.ceil(grown)) if expands else round(grown), before=baseline)
    row = {name: float(clinical[name][0]) for name in causal.CLINICAL}
    return Patient(row, baseline, followup, grid.affine, chance, bleed.location, shown)


def _signs(
    rng: np.random.Generator, clinical: causal.Clinical, noise: dict[str, np.ndarray], kind: str | None
) -> tuple[causal.Clinical, frozenset[str] | None]:
    """Draw the signs for the patient without `do`, so that the baseline scan stays the same under every `do`."""
    if kind is None:
        return clinical, None
    if kind == "mottled":
        expands = bool(noise["expansion"][0] < causal.expansion_probability(clinical)[0])
        return clinical, frozenset({"mottled"} if rng.random() < MOTTLED[expands] else ())
    if kind not in KINDS:
        raise ValueError(f"signs={kind}: choose from {', '.join(KINDS)}, or null for none")
    drawn = draw_signs(rng, 1)
    clinical = {**clinical, **drawn}
    clinical = treat(clinical, rng) if kind == "confounded" else clinical
    return clinical, frozenset(name for name, column in drawn.items() if column[0])
