"""How well a risk orders the times of patients, with censoring."""

import numpy as np

from medzoo.evaluation.measures.survival.kaplan_meier import followed, observed, step_at
from medzoo.evaluation.scores.intervals import percentile_interval

__all__ = ["concordance", "concordance_interval", "concordance_uno"]


def concordance(time: np.ndarray, event: np.ndarray, risk: np.ndarray) -> dict[str, float]:
    """Harrell's C-index (doi:10.1001/jama.1982.03320430047030).

    Two patients can be compared if the one with the shorter time had the event; with equal times, if one had the event
    and the other was censored.

    Args:
        time: (N,), of the event or of the end of observation; patients with NaN are in no pair.
        event: (N,) bool.
        risk: (N,), larger where the event is expected earlier.

    Returns:
        `c_index`, NaN without comparable pairs, and the numbers of pairs that are `concordant`, `discordant`, and
        `tied` in risk, which count half.
    """
    time, event, risk = followed(time, event, risk)
    first = _pairs(time, event)
    concordant = int((first & (risk[:, None] > risk[None])).sum())
    tied = int((first & (risk[:, None] == risk[None])).sum())
    pairs = int(first.sum())
    index = (concordant + tied / 2) / pairs if pairs else float("nan")
    return {"c_index": index, "concordant": concordant, "discordant": pairs - concordant - tied, "tied": tied}


def concordance_interval(
    time: np.ndarray, event: np.ndarray, risk: np.ndarray, *, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95% interval of Harrell's C-index, by the bootstrap of patients; arguments as for `concordance`."""
    time, event, risk = followed(time, event, risk)
    first = _pairs(time, event).astype(float)
    won = first * _order(risk)
    drawn = (
        np.random.default_rng(seed).multinomial(len(time), np.full(len(time), 1 / len(time)), resamples).astype(float)
    )
    with np.errstate(invalid="ignore"):
        return percentile_interval(((drawn @ won) * drawn).sum(1) / ((drawn @ first) * drawn).sum(1))


def concordance_uno(time: np.ndarray, event: np.ndarray, risk: np.ndarray, until: float | None = None) -> float:
    """Uno's C-index, which does not depend on when patients are censored (doi:10.1002/sim.4154).

    A pair counts by the inverse squared probability of being observed until the earlier time, which is estimated from
    the same patients (Kaplan-Meier).

    Args:
        time: As for `concordance`; pairs of equal times are left out.
        event: As for `concordance`.
        risk: As for `concordance`.
        until: Events from this time on do not count; None for the last time of all.

    Returns:
        The index, NaN without comparable pairs.
    """
    time, event, risk = followed(time, event, risk)
    counted = event & (time < (np.inf if until is None else until))
    weight = np.where(counted, 1 / np.maximum(step_at(observed(time, event), time, before=True), 1e-12) ** 2, 0)
    first = weight[:, None] * (time[:, None] < time[None])
    return float((first * _order(risk)).sum() / first.sum()) if first.any() else float("nan")


def _pairs(time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """(N, N) whether the patient of the row had the event before the time of the column."""
    shorter = time[:, None] < time[None]
    return event[:, None] & (shorter | ((time[:, None] == time[None]) & ~event[None]))


def _order(risk: np.ndarray) -> np.ndarray:
    """(N, N) 1 where the row has the larger risk, a half for ties."""
    return (risk[:, None] > risk[None]) + 0.5 * (risk[:, None] == risk[None])
