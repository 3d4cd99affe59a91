"""The test of a follow-up forecast: numbers beside those of baselines, a table of patients, and figures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from medzoo.callbacks.collect import Batch, gather
from medzoo.callbacks.output import Report, Row
from medzoo.callbacks.reports.base import TestReport
from medzoo.callbacks.reports.followup.numbers import (
    TRUE_SAMPLES,
    Truth,
    columns,
    effects,
    own_metrics,
    patient_row,
)
from medzoo.callbacks.reports.followup.sampled import draw_patient, sampled_followups
from medzoo.evaluation.figures import baseline_figure, forecast_figure, pit_figure, roc_figure
from medzoo.evaluation.regression.growth import GROUPS
from medzoo.evaluation.scores.followup import SampledFollowups
from medzoo.evaluation.scores.followup_baselines import (
    Forecast,
    baseline_forecasts,
    comparison_table,
    signs_forecast,
)
from medzoo.evaluation.scores.forecasts import expansion_score, pit, prediction_interval, weighted_mean

__all__ = ["FollowupReport", "Followups"]

THIS, CEILING, SEEN = "this model", "causal model (ceiling)", "risk and growth regression with the scan's signs"
OF_A_FORECAST = (
    *("name", "crps", "crps_low", "crps_high", "skill", "volume_mae_ml", "volume_bias_ml"),
    *("coverage_50", "coverage_90", "pit_deviation", "expansion_auc", "expansion_brier", "expansion_slope"),
)


class Baselines(Protocol):
    """Numbers of the baselines, fitted to training patients."""

    def named_buffers(self) -> Iterable[tuple[str, Tensor]]:
        """Each number with its name."""


class Module(Protocol):
    """Members of the module that are used."""

    signs: Sequence[str]
    baselines: Baselines
    growth_model: Baselines


@dataclass(frozen=True)
class Followups:
    """Forecasts of all patients.

    Attributes:
        rows: Of `patient_row`, in order of their id.
        drawn: Forecast and follow-up (Z, 3, H, W) of the patients to draw.
        baselines: Fitted numbers by name, as `baseline_forecasts` takes them.
        growth: Those of `signs_forecast`, and of the calibration; empty where nothing was fitted.
        signs: Whether the growth was fitted with the signs of the scan.
    """

    rows: Sequence[dict[str, Any]]
    drawn: Sequence[tuple[SampledFollowups, np.ndarray]]
    baselines: Mapping[str, np.ndarray]
    growth: Mapping[str, np.ndarray] = field(default_factory=dict)
    signs: bool = False


class FollowupReport(TestReport[Module, Truth, Followups]):
    """Logs `test/crps`, `test/coverage_90`, `test/expansion_auc` and more; writes tables and figures.

    `test_forecasts.csv` compares the model with baselines fitted to the training split, and on a phantom with a
    forecaster who knows its causal model. `predictions/test.csv` has a row for each patient.

    Args:
        figures: How many patients are drawn: expanders and others in turn, of the first process.
        resamples: Bootstrap draws behind each interval.
    """

    def __init__(self, figures: int = 4, resamples: int = 1000) -> None:
        super().__init__()
        self.figures, self.resamples = figures, resamples

    def reset(self) -> None:
        """Forget earlier batches."""
        self._rows: list[dict[str, Any]] = []
        self._drawn: dict[int, list[tuple[SampledFollowups, np.ndarray]]] = {0: [], 1: []}

    def keep(self, outputs: Batch, batch: Batch, data: Truth) -> None:
        """Measure one patient; keep the images of a few."""
        sampled, followup = sampled_followups(batch, outputs), batch["followup"].cpu().numpy()
        self._rows.append(patient_row(sampled, followup, outputs, batch))
        drawn = self._drawn[int(batch["label"][0] == 1)]
        if len(drawn) < (self.figures + 1) // 2:
            drawn.append((sampled, followup))

    def collected(self, module: Module, data: Truth) -> Followups:
        """Rows of all ranks, the patients to draw, and the baselines."""
        rows = sorted(gather(self._rows), key=lambda row: row["id"])
        drawn = [pair for patients in zip(*self._drawn.values(), strict=False) for pair in patients]
        baselines, growth = (
            {name: value.cpu().numpy() for name, value in part.named_buffers()}
            for part in (module.baselines, module.growth_model)
        )
        return Followups(rows, drawn[: self.figures], baselines, growth, bool(module.signs))

    def report(self, collected: Followups, data: Truth) -> Report:
        """Compare the model with the baselines and, on a phantom, with its causal model."""
        rows, truth = collected.rows, columns(collected.rows)
        forecasts, baselines = _compared(collected, truth, data)
        table = comparison_table(
            forecasts, baselines, truth["followup_ml"], truth["baseline_ml"], resamples=self.resamples
        )
        metrics = {**own_metrics(rows, truth), **effects(rows, data, collected.baselines), **_rivals(table)}
        if len(collected.growth.get("share", ())):
            for group, name in enumerate(GROUPS):
                metrics |= {f"{part}_{name}": float(collected.growth[part][group]) for part in ("share", "spread")}
        scores = {
            name: expansion_score(each.samples, truth["baseline_ml"], each.weights) for name, each in forecasts.items()
        }
        figures = {
            "forecasts": forecast_figure(
                truth["samples"], truth["followup_ml"], truth["baseline_ml"], truth["weights"]
            ),
            "crps": baseline_figure(table),
            "pit": pit_figure(pit(truth["samples"], truth["followup_ml"], weights=truth["weights"])),
            "expansion_roc": roc_figure(truth["label"] == 1, scores, resamples=self.resamples, outcome="Expansion"),
            **{f"patient_{number}": draw_patient(*pair) for number, pair in enumerate(collected.drawn, start=1)},
        }
        return Report(
            metrics={f"test/{name}": value for name, value in metrics.items()},
            tables={
                "test_forecasts.csv": [_short(row) for row in table],
                "predictions/test.csv": [_written(row) for row in rows],
            },
            figures=figures,
        )


def _compared(
    collected: Followups, truth: Mapping[str, np.ndarray], data: Truth
) -> tuple[dict[str, Forecast], dict[str, Forecast]]:
    """Our forecasts, with those of the causal model of a phantom; and the baselines."""
    clinical, before = truth["clinical"], truth["baseline_ml"]
    forecasts = {THIS: Forecast(truth["samples"], truth["weights"])}
    baselines = baseline_forecasts(collected.baselines, clinical, before)
    if len(collected.growth.get("share", ())):
        forecasts["this model, not calibrated"] = Forecast(truth["sampled"], truth["weights"])
    if data.phantom:
        forecasts[CEILING] = Forecast(data.true_followup_volumes(clinical, TRUE_SAMPLES, seen=truth["id"].tolist()))
        if data.signs_act:
            forecasts["causal model, table alone"] = Forecast(data.true_followup_volumes(clinical, TRUE_SAMPLES))
    if collected.signs and len(collected.growth.get("risk_weight", ())):
        features = np.concatenate([clinical, truth["signs"]], axis=1)
        baselines[SEEN] = signs_forecast(collected.growth, features, before)
    return forecasts, baselines


def _rivals(table: Sequence[Row]) -> dict[str, float]:
    """CRPS of the best baseline and of the best one without the scan, the skill, and what the causal model reaches."""
    rows = {row["name"]: row for row in table}
    scores = {name: row["crps"] for name, row in rows.items() if row["baseline"]}
    found = {"best_baseline_crps": min(scores.values()), "crps_skill": rows[THIS]["skill"]}
    found["best_table_crps"] = min(score for name, score in scores.items() if name != SEEN)
    if CEILING in rows:
        found |= {"ceiling_crps": rows[CEILING]["crps"], "ceiling_expansion_auc": rows[CEILING]["expansion_auc"]}
    return found


def _short(row: Row) -> Row:
    """A row of the comparison, with four significant digits."""
    return {name: row[name] if isinstance(row[name], str) else f"{row[name]:.4g}" for name in OF_A_FORECAST}


def _written(row: Row) -> Row:
    """A patient's row of `predictions/test.csv`: the mean and the 90% interval of the volume beside the truth."""
    samples, weights = row["samples"][None], row["weights"][None]
    low, high = prediction_interval(samples, 0.9, weights)
    known = (
        *("id", "hospital", "label", "probability"),
        *("baseline_ml", "followup_ml", "baseline_ivh_ml", "followup_ivh_ml"),
    )
    forecast = {
        "mean_ml": float(weighted_mean(samples, weights)[0]),
        "low_90_ml": float(low[0]),
        "high_90_ml": float(high[0]),
        "effects_ml": json.dumps(row["effects"]),
    }
    scores = ("dice_iph", "dice_ivh", "ssim", "midline_mm", "midline_error_mm")
    cells = {**{name: row[name] for name in known}, **forecast, **{name: row[name] for name in scores}}
    return {name: f"{cell:.4g}" if isinstance(cell, float) else cell for name, cell in cells.items()}
