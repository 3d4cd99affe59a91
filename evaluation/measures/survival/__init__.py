"""Survival with censoring: how well a risk orders patients, and how right a survival curve is, over time."""

from medzoo.evaluation.measures.survival.kaplan_meier import kaplan_meier, step_at
from medzoo.evaluation.measures.survival.order import concordance, concordance_interval, concordance_uno
from medzoo.evaluation.measures.survival.over_time import (
    area_over_time,
    brier_over_time,
    integrated_brier,
    mean_area,
)

__all__ = [
    "area_over_time",
    "brier_over_time",
    "concordance",
    "concordance_interval",
    "concordance_uno",
    "integrated_brier",
    "kaplan_meier",
    "mean_area",
    "step_at",
]
