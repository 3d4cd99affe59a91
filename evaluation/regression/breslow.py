"""From the logarithms of hazards to survival: Breslow's estimate of the baseline hazard.

Breslow's contribution to the discussion of Cox 1972 (doi:10.1111/j.2517-6161.1972.tb00900.x): at each event, the
cumulative baseline hazard grows by 1 over the summed hazards of the patients at risk.
"""

import numpy as np

from medzoo.evaluation.measures.survival import kaplan_meier, step_at

__all__ = ["fit_baseline_survival"]

_DECILES = np.arange(1, 10) / 10


def fit_baseline_survival(time: np.ndarray, event: np.ndarray, log_hazard: np.ndarray) -> dict[str, np.ndarray]:
    """Fit the survival of a patient whose log hazard is 0, and Kaplan and Meier's survival, which is the same for all.

    Args:
        time: (N,), of the event or of the end of observation; patients with NaN are left out.
        event: (N,) bool.
        log_hazard: (N,).

    Returns:
        `moments` (E,), the times of events in order; `hazard` and `common` (E,), the cumulative baseline hazard and
        Kaplan and Meier's survival from each on; `asked` (T,), the deciles of the times of events.

    Raises:
        ValueError: If there is no event.
    """
    known = np.isfinite(time)
    time, event, log_hazard = time[known].astype(float), event[known].astype(bool), log_hazard[known].astype(float)
    if not event.any():
        raise ValueError("no training patient has the event: set lightning_module.survival_weight=0")
    moments, counts = np.unique(time[event], return_counts=True)
    order = np.argsort(time)
    at_risk = np.cumsum(np.exp(log_hazard[order])[::-1])[::-1][np.searchsorted(time[order], moments)]
    return {
        "moments": moments,
        "hazard": np.cumsum(counts / at_risk),
        "common": step_at(kaplan_meier(time, event), moments),
        "asked": np.unique(np.quantile(time[event], _DECILES)),
    }
