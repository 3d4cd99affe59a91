"""Discrimination and accuracy of survival at chosen times.

Patients who are censored before a time are made up for by those who are not: each counts by the inverse probability of
being observed until then, estimated from the same patients (Kaplan-Meier), as in Uno's C-index.
"""

import numpy as np

from medzoo.evaluation.measures.survival.kaplan_meier import followed, kaplan_meier, observed, step_at

__all__ = ["area_over_time", "brier_over_time", "integrated_brier", "mean_area"]


def area_over_time(time: np.ndarray, event: np.ndarray, risk: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Cumulative/dynamic area under the ROC curve (doi:10.1198/016214507000000149, doi:10.1002/sim.5958).

    At each time, patients who have had the event are compared with those who have not.

    Args:
        time: (N,), of the event or of the end of observation; patients with NaN do not count.
        event: (N,) bool.
        risk: (N,), larger where the event is expected earlier.
        moments: (T,) times.

    Returns:
        (T,), NaN where one of the two groups is empty.
    """
    time, event, risk = followed(time, event, risk)
    weight = _inverse(np.where(event, step_at(observed(time, event), time, before=True), 0))
    higher = (risk[:, None] > risk[None]) + 0.5 * (risk[:, None] == risk[None])
    cases = weight * (time[None] <= np.asarray(moments, float)[:, None])
    controls = (time[None] > np.asarray(moments, float)[:, None]).astype(float)
    with np.errstate(invalid="ignore"):
        return ((cases @ higher) * controls).sum(1) / (cases.sum(1) * controls.sum(1))


def mean_area(time: np.ndarray, event: np.ndarray, areas: np.ndarray, moments: np.ndarray) -> float:
    """Mean of the areas (T,) at increasing times (T,), by the share of patients who die up to each; NaN is left out."""
    time, event = followed(time, event)
    known = np.isfinite(areas)
    if not known.any():
        return float("nan")
    died = -np.diff(step_at(kaplan_meier(time, event), np.asarray(moments, float)[known]), prepend=1.0)
    return float((areas[known] * died).sum() / died.sum())


def brier_over_time(time: np.ndarray, event: np.ndarray, survival: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Brier score of survival (doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5).

    Args:
        time: As for `area_over_time`.
        event: As for `area_over_time`.
        survival: (N, T) predicted probabilities of surviving each time.
        moments: (T,) times.

    Returns:
        (T,) weighted mean squared errors, NaN where nobody is observed.
    """
    time, event, predicted = followed(time, event, survival)
    moments = np.asarray(moments, float)
    curve = observed(time, event)
    died = (time[:, None] <= moments) & event[:, None]
    alive = time[:, None] > moments
    weight = died * _inverse(step_at(curve, time, before=True))[:, None] + alive * _inverse(step_at(curve, moments))
    scores = (weight * (alive - predicted) ** 2).mean(0)
    return np.where(alive.any(0) & (step_at(curve, moments) > 0), scores, np.nan)


def integrated_brier(scores: np.ndarray, moments: np.ndarray) -> float:
    """Mean of Brier scores (T,) over the span of increasing times (T,), by trapezoids; NaN is left out."""
    known = np.isfinite(scores)
    times = np.asarray(moments, float)[known]
    if len(times) < 2:
        return float("nan")
    return float(np.trapezoid(np.asarray(scores)[known], times) / (times[-1] - times[0]))


def _inverse(share: np.ndarray) -> np.ndarray:
    """1 / share, 0 where it is 0."""
    return np.divide(1.0, share, out=np.zeros_like(share, dtype=float), where=share > 0)
