"""The test of a follow-up forecast: numbers beside baselines, a table of patients, and figures, into the run folder."""

import json
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from medzoo.callbacks.collect import data_of, gather
from medzoo.callbacks.output import save_figures, write_csv
from medzoo.evaluation.figures import (
    baseline_figure,
    expansion_roc_figure,
    forecast_figure,
    patient_figure,
    pit_figure,
)
from medzoo.evaluation.measures.segmentation import known_mean
from medzoo.evaluation.scores.classification import auc
from medzoo.evaluation.scores.followup import IPH, IVH, SampledFollowups, compare
from medzoo.evaluation.scores.followup_baselines import Forecast, baseline_forecasts, comparison_table
from medzoo.evaluation.scores.forecasts import expansion_score, forecast_metrics, interval, pit, weighted_mean

__all__ = ["FollowupReport", "sampled_followups"]

NEW_IVH_ML = 0.5  # from this volume on, blood in ventricles that had none counts as new IVH
OF_A_PATIENT = (
    *("dice_iph", "dice_ivh", "volume_similarity", "ssim", "midline_error_mm"),
    *("slice_difference", "slice_dice", "real_slice_difference", "real_slice_dice"),
)
OVERLAPS = ("dice_iph", "dice_ivh")  # undefined without blood in forecast and follow-up: how many are counted is told
OF_A_FORECAST = (
    *("name", "crps", "crps_low", "crps_high", "skill", "volume_mae_ml", "volume_bias_ml"),
    *("coverage_50", "coverage_90", "expansion_auc"),
)
TRUE_SAMPLES = 2000  # of the causal model of a phantom, for each patient


class FollowupReport(L.Callback):
    """Logs `test/crps`, `test/coverage_90`, `test/expansion_auc` and more; writes tables and figures.

    `test_forecasts.csv` compares the model with baselines fitted to the training split, and on a phantom with the
    forecaster who knows its causal model. `predictions/test.csv` has a row for each patient.

    Args:
        figures: How many patients are drawn: expanders and others in turn.
        resamples: Bootstrap draws behind each interval.
    """

    def __init__(self, figures: int = 4, resamples: int = 1000) -> None:
        self.figures, self.resamples = figures, resamples
        self._rows: list[dict[str, Any]] = []
        self._drawn: dict[int, list[Any]] = {0: [], 1: []}

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start anew."""
        self._rows, self._drawn = [], {0: [], 1: []}

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: int
    ) -> None:
        """Measure one patient."""
        sampled, followup = sampled_followups(batch, outputs), batch["followup"].cpu().numpy()
        self._rows.append(_patient_row(sampled, followup, outputs, batch))
        kept = self._drawn[int(batch["label"][0] == 1)]
        if len(kept) < (self.figures + 1) // 2:
            kept.append((sampled, followup))

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare, write, draw and log."""
        rows = sorted(gather(self._rows), key=lambda row: row["id"])
        drawn = [pair for patients in zip(*self._drawn.values(), strict=False) for pair in patients][: self.figures]
        datamodule = data_of(trainer)
        truth = _columns(rows)
        ours = Forecast(truth["samples"], truth["weights"])
        forecasts, effects = {"this model": ours}, _effects(rows, datamodule)
        if datamodule.phantom:
            forecasts["causal model (ceiling)"] = Forecast(
                datamodule.true_followup_volumes(truth["clinical"], TRUE_SAMPLES)
            )
        numbers = {name: value.cpu().numpy() for name, value in pl_module.baselines.named_buffers()}  # type: ignore[union-attr]
        baselines = baseline_forecasts(numbers, truth["clinical"], truth["baseline_ml"])
        table = comparison_table(
            forecasts, baselines, truth["followup_ml"], truth["baseline_ml"], resamples=self.resamples
        )
        metrics = {**_own_metrics(rows, truth), **effects, **_ceiling(table)}
        pl_module.log_dict({f"test/{k}": torch.tensor(v, dtype=torch.float32) for k, v in metrics.items()})
        if not trainer.is_global_zero:
            return
        run = Path(trainer.default_root_dir)
        write_csv(run / "test_forecasts.csv", [_short(row) for row in table])
        write_csv(run / "predictions" / "test.csv", [_written(row) for row in rows])
        scores = {
            name: expansion_score(each.samples, truth["baseline_ml"], each.weights) for name, each in forecasts.items()
        }
        places = pit(truth["samples"], truth["followup_ml"], weights=truth["weights"])
        figures = {
            "forecasts": forecast_figure(
                truth["samples"], truth["followup_ml"], truth["baseline_ml"], truth["weights"]
            ),
            "crps": baseline_figure(table),
            "pit": pit_figure(places),
            "expansion_roc": expansion_roc_figure(truth["label"], scores, resamples=self.resamples),
        }
        for number, (sampled, followup) in enumerate(drawn, start=1):
            figures[f"patient_{number}"] = draw_patient(sampled, followup)
        save_figures(trainer, figures)


def sampled_followups(batch: dict[str, Any], outputs: dict[str, Any]) -> SampledFollowups:
    """What a module's `predict_step` said of a patient, as arrays."""
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


def draw_patient(sampled: SampledFollowups, followup: np.ndarray | None) -> Any:
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


def _patient_row(
    sampled: SampledFollowups, followup: np.ndarray, outputs: dict[str, Any], batch: dict[str, Any]
) -> dict[str, Any]:
    """Everything that is kept of a patient once the images are gone."""
    voxel = float(np.prod(sampled.spacing)) / 1000
    inside = sampled.slices
    return {
        "id": batch["id"][0],
        "hospital": batch["hospital"][0],
        "label": int(batch["label"][0]),
        "probability": float(outputs["probability"]),
        "clinical": batch["clinical"][0].cpu().numpy(),
        "baseline_ml": sampled.baseline_ml(),
        "followup_ml": float((followup[:, IPH] > 0.5).sum() * voxel),
        "baseline_ivh_ml": sampled.baseline_ml(IVH),
        "followup_ivh_ml": float((followup[:, IVH] > 0.5).sum() * voxel),
        "samples": sampled.volumes_ml(),
        "ivh_samples": sampled.volumes_ml(IVH),
        "weights": sampled.weights,
        "effects": outputs["effects"],
        "ssim": _ssim(sampled.mean_ct_hu()[inside], 100 * followup[inside, 0]),
        **compare(sampled, followup),
    }


def _ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Mean structural similarity of slices (S, H, W) in HU from 0 to 100."""
    one, other = (torch.from_numpy(x)[:, None].float() for x in (a, b))
    return float(structural_similarity_index_measure(one, other, data_range=100.0))  # type: ignore[arg-type]


def _columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    names = ("label", "clinical", "baseline_ml", "followup_ml", "samples", "weights", "ivh_samples")
    return {name: np.array([row[name] for row in rows]) for name in (*names, "baseline_ivh_ml", "followup_ivh_ml")}


def _own_metrics(rows: list[dict[str, Any]], truth: dict[str, np.ndarray]) -> dict[str, float]:
    """The model's numbers on IPH volumes, on all blood, on new IVH, and the means over patients of the rest."""
    metrics = forecast_metrics(truth["samples"], truth["followup_ml"], truth["baseline_ml"], truth["weights"])
    blood = truth["samples"] + truth["ivh_samples"]
    all_ml = truth["followup_ml"] + truth["followup_ivh_ml"]
    whole = forecast_metrics(blood, all_ml, truth["baseline_ml"] + truth["baseline_ivh_ml"], truth["weights"])
    metrics |= {f"total_{name}": whole[name] for name in ("crps", "volume_mae_ml", "coverage_90")}
    dry = truth["baseline_ivh_ml"] < NEW_IVH_ML
    new = truth["followup_ivh_ml"][dry] >= NEW_IVH_ML
    if 0 < new.sum() < len(new):
        metrics["new_ivh_auc"] = float(auc(new, weighted_mean(truth["ivh_samples"], truth["weights"])[dry])[0])
    metrics |= {f"{name}_scored": int(np.isfinite([row[name] for row in rows]).sum()) for name in OVERLAPS}
    return metrics | {name: known_mean([row[name] for row in rows]) for name in OF_A_PATIENT}


def _effects(rows: list[dict[str, Any]], datamodule: Any) -> dict[str, float]:
    """Mean change of the forecast volume between two values of a variable, and where it is known the true one.

    `effect/<name>` and `true_effect/<name>` in mL, and their ratio `effect_ratio/<name>`.
    """
    effects = {}
    clinical = np.array([row["clinical"] for row in rows])
    for name, values in rows[0]["effects"].items():
        low, high = values
        said = np.array([[volume for _, volume in row["effects"][name].items()] for row in rows]).mean(0)
        effects[f"effect/{name}"] = float(said[1] - said[0])
        if datamodule.phantom:
            true = [
                datamodule.true_followup_volumes(clinical, TRUE_SAMPLES, {name: float(value)}).mean()
                for value in (low, high)
            ]
            effects[f"true_effect/{name}"] = float(true[1] - true[0])
            if abs(true[1] - true[0]) > 1e-6:
                effects[f"effect_ratio/{name}"] = effects[f"effect/{name}"] / effects[f"true_effect/{name}"]
    return effects


def _ceiling(table: list[dict[str, Any]]) -> dict[str, float]:
    """The best baseline's CRPS, the skill against it, and what the causal model reaches."""
    ours = table[0]
    best = min((row for row in table if row["baseline"]), key=lambda row: row["crps"])
    found = {"best_baseline_crps": best["crps"], "crps_skill": ours["skill"]}
    for row in table:
        if row["name"].startswith("causal"):
            found |= {"ceiling_crps": row["crps"], "ceiling_expansion_auc": row["expansion_auc"]}
    return found


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the comparison with the digits that mean something."""
    return {name: row[name] if isinstance(row[name], str) else f"{row[name]:.4g}" for name in OF_A_FORECAST}


def _written(row: dict[str, Any]) -> dict[str, Any]:
    """A patient's row of `predictions/test.csv`: the mean and the 90% interval of the volume beside the truth."""
    samples, weights = row["samples"][None], row["weights"][None]
    low, high = interval(samples, 0.9, weights)
    names = (
        "id",
        "hospital",
        "label",
        "probability",
        "baseline_ml",
        "followup_ml",
        "baseline_ivh_ml",
        "followup_ivh_ml",
    )
    forecast = {
        "mean_ml": float(weighted_mean(samples, weights)[0]),
        "low_90_ml": float(low[0]),
        "high_90_ml": float(high[0]),
        "effects_ml": json.dumps(row["effects"]),
    }
    scores = {name: row[name] for name in ("dice_iph", "dice_ivh", "ssim", "midline_mm", "midline_error_mm")}
    return {
        name: f"{x:.4g}" if isinstance(x, float) else x
        for name, x in {**{n: row[n] for n in names}, **forecast, **scores}.items()
    }
