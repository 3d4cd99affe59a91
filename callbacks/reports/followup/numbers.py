"""Numbers of a follow-up forecast: those of each patient, and the metrics of all of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torchmetrics.image import StructuralSimilarityIndexMeasure

from medzoo.callbacks.collect import Batch
from medzoo.evaluation.measures.expansion import ExpansionRule
from medzoo.evaluation.measures.segmentation import known_mean
from medzoo.evaluation.regression.growth import growth_of, unlogged
from medzoo.evaluation.scores.classification import auc
from medzoo.evaluation.scores.diagnostic import calibration_line
from medzoo.evaluation.scores.followup import IPH, IVH, SampledFollowups, compare
from medzoo.evaluation.scores.forecasts import forecast_metrics, weighted_mean

__all__ = ["TRUE_SAMPLES", "Truth", "columns", "effects", "own_metrics", "patient_row"]

NEW_IVH_ML = 0.5  # from this volume on, blood in ventricles that had none counts as new IVH
OF_A_PATIENT = (
    *("dice_iph", "dice_ivh", "volume_similarity", "ssim", "midline_error_mm"),
    *("slice_difference", "slice_dice", "real_slice_difference", "real_slice_dice"),
)
OVERLAPS = ("dice_iph", "dice_ivh")  # undefined without blood in forecast and follow-up: how many are counted is logged
TRUE_SAMPLES = 2000  # of the causal model of a phantom, for each patient


class Truth(Protocol):
    """Members of the datamodule that are used."""

    phantom: object
    clinical_names: Sequence[str]
    clinical_ranges: Sequence[Sequence[float]]

    def true_followup_volumes(
        self,
        clinical: np.ndarray,
        count: int,
        do: Mapping[str, float] | None = None,
        seen: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Volumes (B, count) in mL by a phantom's causal model, for clinical values (B, K) with some of them set.

        With `seen`, the patients' names, it sees their scans too.
        """

    @property
    def signs_act(self) -> bool:
        """Whether scans say more about growth than the table."""


def patient_row(sampled: SampledFollowups, followup: np.ndarray, outputs: Batch, batch: Batch) -> dict[str, Any]:
    """Numbers of a patient, without images."""
    voxel = float(np.prod(sampled.spacing)) / 1000
    inside = sampled.slices
    return {
        "id": batch["id"][0],
        "hospital": batch["hospital"][0],
        "label": int(batch["label"][0]),
        "probability": float(outputs["probability"]),
        "clinical": batch["clinical"][0].cpu().numpy(),
        "signs": batch["signs"][0].cpu().numpy(),
        "baseline_ml": sampled.baseline_ml(),
        "followup_ml": float((followup[:, IPH] > 0.5).sum() * voxel),
        "baseline_ivh_ml": sampled.baseline_ml(IVH),
        "followup_ivh_ml": float((followup[:, IVH] > 0.5).sum() * voxel),
        "samples": sampled.volumes_ml(),
        "sampled": outputs["sampled_ml"].double().cpu().numpy(),
        "ivh_samples": sampled.volumes_ml(IVH),
        "weights": sampled.weights,
        "effects": outputs["effects"],
        "outlook": outputs.get("outlook"),
        "ssim": _ssim(sampled.mean_ct_hu()[inside], 100 * followup[inside, 0]),
        **compare(sampled, followup),
    }


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean structural similarity of slices (S, H, W) in HU from 0 to 100."""
    one, other = (torch.from_numpy(x)[:, None].float() for x in (a, b))
    return StructuralSimilarityIndexMeasure(data_range=100.0)(one, other).item()


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Numbers of B patients: (B,), samples and their weights (B, N), clinical values (B, K), signs (B, S)."""
    names = (
        *("id", "label", "probability", "clinical", "signs", "baseline_ml", "followup_ml", "samples", "weights"),
        *("sampled", "ivh_samples", "baseline_ivh_ml", "followup_ivh_ml"),
    )
    return {name: np.array([row[name] for row in rows]) for name in names}


def own_metrics(rows: Sequence[Mapping[str, Any]], truth: dict[str, np.ndarray]) -> dict[str, float]:
    """The model's numbers on IPH volumes, on all blood, on new IVH, those of the risk alone, and means of the rest."""
    metrics = forecast_metrics(truth["samples"], truth["followup_ml"], truth["baseline_ml"], truth["weights"])
    blood = truth["samples"] + truth["ivh_samples"]
    all_ml = truth["followup_ml"] + truth["followup_ivh_ml"]
    whole = forecast_metrics(blood, all_ml, truth["baseline_ml"] + truth["baseline_ivh_ml"], truth["weights"])
    metrics |= {f"total_{name}": whole[name] for name in ("crps", "volume_mae_ml", "coverage_90")}
    dry = truth["baseline_ivh_ml"] < NEW_IVH_ML
    new = truth["followup_ivh_ml"][dry] >= NEW_IVH_ML
    if 0 < new.sum() < len(new):
        metrics["new_ivh_auc"] = float(auc(new, weighted_mean(truth["ivh_samples"], truth["weights"])[dry])[0])
    expanded = ExpansionRule()(truth["baseline_ml"], truth["followup_ml"])
    line = calibration_line(expanded, truth["probability"])
    metrics |= {"risk_brier": line["brier"], "risk_slope": line["calibration_slope"]}
    metrics["risk_auc"] = float(auc(expanded.astype(int), truth["probability"])[0])
    metrics |= {f"{name}_scored": int(np.isfinite([row[name] for row in rows]).sum()) for name in OVERLAPS}
    return metrics | {name: known_mean([row[name] for row in rows]) for name in OF_A_PATIENT}


def effects(
    rows: Sequence[Mapping[str, Any]], data: Truth, table: Mapping[str, np.ndarray] | None = None
) -> dict[str, float]:
    """Mean change of the forecast volume between two values of a variable, and the true change where it is known.

    `effect/<name>` in mL has two parts, which do not add up exactly: `effect_growth/<name>` at each patient's own
    probability of expansion, where only the growth of stable and expanding bleeds changes, and `effect_risk/<name>`
    at their own growth, where only the probability changes. `effect_table/<name>` is that of the risk and growth
    regression on the clinical variables alone, without the scan. Of a phantom, `true_effect/<name>`, and the ratio
    `effect_ratio/<name>` of forecast and truth.

    Args:
        rows: Of `patient_row`.
        data: The datamodule.
        table: Fitted numbers of the baselines.
    """
    found: dict[str, float] = {}
    clinical, names = np.array([row["clinical"] for row in rows]), [row["id"] for row in rows]
    for name, values in rows[0]["effects"].items():
        outlooks = [[*row["effects"][name].values()] for row in rows]
        low, high = (_outlooks([pair[end] for pair in outlooks]) for end in (0, 1))
        own = _outlooks([row["outlook"] for row in rows])
        found[f"effect/{name}"] = _expected(*high) - _expected(*low)
        found[f"effect_growth/{name}"] = _expected(own[0], high[1]) - _expected(own[0], low[1])
        found[f"effect_risk/{name}"] = _expected(high[0], own[1]) - _expected(low[0], own[1])
        if table is not None and len(table.get("risk_weight", ())):
            volumes = [_tabled(rows, data, table, name, float(value)) for value in values]
            found[f"effect_table/{name}"] = volumes[1] - volumes[0]
        if data.phantom:
            true = [
                data.true_followup_volumes(clinical, TRUE_SAMPLES, {name: float(value)}, names).mean()
                for value in values
            ]
            found[f"true_effect/{name}"] = float(true[1] - true[0])
            if abs(true[1] - true[0]) > 1e-6:
                found[f"effect_ratio/{name}"] = found[f"effect/{name}"] / found[f"true_effect/{name}"]
    return found


def _tabled(
    rows: Sequence[Mapping[str, Any]], data: Truth, table: Mapping[str, np.ndarray], name: str, value: float
) -> float:
    """Mean volume in mL that the regression on clinical variables forecasts with one of them set."""
    place = list(data.clinical_names).index(name)
    low, high = data.clinical_ranges[place]
    clinical = np.array([row["clinical"] for row in rows], float)
    clinical[:, place] = (value - low) / (high - low)
    growth, weights = growth_of(table, clinical, regression=True)
    before = np.array([row["baseline_ml"] for row in rows])
    return float((unlogged(before[:, None], growth) * weights).sum(1).mean())


def _outlooks(each: Sequence[Mapping[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of expansion (B,), and mean volumes of stable and expanding bleeds (B, 2)."""
    return np.array([one["probability"] for one in each]), np.array([(one["stable"], one["expanding"]) for one in each])


def _expected(probability: np.ndarray, volumes: np.ndarray) -> float:
    """Mean volume in mL over patients."""
    return float(((1 - probability) * volumes[:, 0] + probability * volumes[:, 1]).mean())
