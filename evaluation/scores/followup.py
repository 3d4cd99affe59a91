"""Sampled follow-ups of one patient: volumes, probability maps, and their comparison with the real follow-up."""

from dataclasses import dataclass

import numpy as np

from medzoo.evaluation.measures.midline import midline_shift_mm
from medzoo.evaluation.measures.volumes import dice, slice_consistency, volume_ml, volume_similarity
from medzoo.evaluation.scores.forecasts import weighted_mean

__all__ = ["SampledFollowups", "compare"]

HU = 100.0  # a CT value of 1 is 100 HU
IPH, IVH = 1, 2  # channels of a scan after its CT


@dataclass(frozen=True)
class SampledFollowups:
    """N sampled follow-ups of a patient, forecast on S slices; all other slices are those of the baseline.

    Attributes:
        baseline: (Z, 3, H, W) CT in [0, 1], IPH, IVH.
        slices: (S,) indices.
        ct: (N, S, H, W) in [0, 1].
        iph: (N, S, H, W) probabilities.
        ivh: (N, S, H, W) probabilities.
        weights: (N,) that sum to 1.
        flags: (N,) expansion flag of each sample.
        spacing: (x, y, z) mm.
    """

    baseline: np.ndarray
    slices: np.ndarray
    ct: np.ndarray
    iph: np.ndarray
    ivh: np.ndarray
    weights: np.ndarray
    flags: np.ndarray
    spacing: tuple[float, float, float]

    def baseline_ml(self, channel: int = IPH) -> float:
        """Volume at baseline in mL."""
        return float(volume_ml(self.baseline[:, channel] > 0.5, self.spacing[::-1]))

    def volumes_ml(self, channel: int = IPH) -> np.ndarray:
        """(N,) volumes of IPH or IVH in mL, of voxels with a probability above 0.5."""
        outside = np.delete(self.baseline[:, channel], self.slices, axis=0) > 0.5
        inside = (self.iph, self.ivh)[channel - 1] > 0.5
        return volume_ml(inside, self.spacing[::-1]) + volume_ml(outside, self.spacing[::-1])

    def ct_hu(self, sample: int) -> np.ndarray:
        """(Z, H, W) CT of one sample in HU."""
        return HU * self._filled(self.baseline[:, 0], self.ct[sample])

    def mean_ct_hu(self) -> np.ndarray:
        """(Z, H, W) weighted mean of the sampled CTs in HU."""
        return HU * self._filled(self.baseline[:, 0], np.tensordot(self.weights, self.ct, axes=1))

    def segmentation(self, sample: int) -> np.ndarray:
        """(Z, H, W) uint8 of one sample: 1 IPH, 2 IVH."""
        iph = self._filled(self.baseline[:, IPH], self.iph[sample]) > 0.5
        ivh = self._filled(self.baseline[:, IVH], self.ivh[sample]) > 0.5
        return np.where(iph, 1, np.where(ivh, 2, 0)).astype(np.uint8)

    def probability(self, channel: int = IPH, flag: int | None = None) -> np.ndarray:
        """(Z, H, W) share of samples that bleed at a voxel: of all by weight, or of those with one flag, equally.

        All zero where no sample carries the flag.
        """
        weights = self.weights if flag is None else (self.flags == flag) / max((self.flags == flag).sum(), 1)
        bleeds = (self.iph, self.ivh)[channel - 1] > 0.5
        return self._filled(self.baseline[:, channel] > 0.5, np.tensordot(weights, bleeds, axes=1))

    def midline_shifts_mm(self) -> np.ndarray:
        """(N,) midline shift of each sample in mm, without sign."""
        shifts = [
            midline_shift_mm(self.ct_hu(n), self.spacing[::-1], self.segmentation(n) > 0) for n in range(len(self.ct))
        ]
        return np.abs(shifts)

    def _filled(self, whole: np.ndarray, part: np.ndarray) -> np.ndarray:
        filled = np.array(whole, dtype=np.float32)
        filled[self.slices] = part
        return filled


def compare(sampled: SampledFollowups, followup: np.ndarray) -> dict[str, float]:
    """Compare the samples of one patient with the real follow-up.

    Args:
        sampled: The samples.
        followup: (Z, 3, H, W) CT in [0, 1], IPH, IVH.

    Returns:
        `dice_iph`, `dice_ivh` of the voxels that bleed in most samples (NaN where both are empty),
        `volume_similarity`, `midline_mm` of the real scan and `midline_error_mm` of the weighted mean forecast, and of
        the slices that are forecast how much neighbours differ (`measures.volumes.slice_consistency`), on average
        over samples and in the real scan: `slice_difference`, `slice_dice`, `real_slice_difference`, `real_slice_dice`.
    """
    real_ml = float(volume_ml(followup[:, IPH] > 0.5, sampled.spacing[::-1]))
    shift = abs(midline_shift_mm(HU * followup[:, 0], sampled.spacing[::-1], np.any(followup[:, 1:] > 0.5, axis=1)))
    forecast_shift = float(weighted_mean(sampled.midline_shifts_mm()[None], sampled.weights[None])[0])
    real = slice_consistency(HU * followup[sampled.slices, 0], followup[sampled.slices, IPH] > 0.5)
    drawn = [
        slice_consistency(HU * ct, iph > 0.5)
        for ct, iph in zip(sampled.ct, sampled.iph, strict=True)
        if iph.max() > 0.5
    ]
    return {
        "dice_iph": dice(sampled.probability(IPH) > 0.5, followup[:, IPH] > 0.5),
        "dice_ivh": dice(sampled.probability(IVH) > 0.5, followup[:, IVH] > 0.5),
        "volume_similarity": volume_similarity(float(sampled.weights @ sampled.volumes_ml()), real_ml),
        "midline_mm": shift,
        "midline_error_mm": abs(forecast_shift - shift),
        **{name: float(np.mean([each[name] for each in drawn])) if drawn else np.nan for name in real},
        **{f"real_{name}": value for name, value in real.items()},
    }
