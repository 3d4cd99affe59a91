"""The forecast of one patient as arrays, and its figure."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from medzoo.callbacks.collect import Batch
from medzoo.evaluation.figures import patient_figure
from medzoo.evaluation.scores.followup import IPH, IVH, SampledFollowups

__all__ = ["draw_patient", "sampled_followups"]


def sampled_followups(batch: Batch, outputs: Batch) -> SampledFollowups:
    """The forecast that a module's `predict_step` made of a patient, as arrays."""
    forecast = outputs["forecast"]
    return SampledFollowups(
        baseline=batch["image"].float().cpu().numpy(),
        slices=batch["slices"].cpu().numpy(),
        ct=forecast.ct.float().cpu().numpy(),
        iph=forecast.iph.float().cpu().numpy(),
        ivh=forecast.ivh.float().cpu().numpy(),
        weights=outputs["weight"].double().cpu().numpy(),
        flags=outputs["flag"].cpu().numpy(),
        spacing=tuple(batch["spacing"].double().tolist()),
    )


def draw_patient(sampled: SampledFollowups, followup: np.ndarray | None) -> Figure:
    """The figure of one patient; `followup` (Z, 3, H, W) where the real one is known."""
    known: dict[str, Any] = {}
    if followup is not None:
        voxel = float(np.prod(sampled.spacing)) / 1000
        known = {
            "followup_ct": 100 * followup[:, 0],
            "followup_iph": followup[:, IPH] > 0.5,
            "followup_ivh": followup[:, IVH] > 0.5,
            "followup_ml": float((followup[:, IPH] > 0.5).sum() * voxel),
        }
    return patient_figure(
        100 * sampled.baseline[:, 0],
        sampled.baseline[:, IPH] > 0.5,
        sampled.mean_ct_hu(),
        sampled.probability(IPH),
        sampled.volumes_ml(),
        sampled.baseline_ml(),
        sampled.spacing[::-1],
        weights=sampled.weights,
        baseline_ivh=sampled.baseline[:, IVH] > 0.5,
        **known,
    )
