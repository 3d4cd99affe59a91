"""From the share of positive cases in a study to the prevalence where a model is used.

A case-control study fixes the shares of both classes, and the intercept of its logistic model holds only for these;
odds ratios hold anywhere. The prior correction of King and Zeng 2001 (doi:10.1093/oxfordjournals.pan.a004868)
adds logit(prevalence) - logit(share) to every linear predictor.
"""

import numpy as np
from scipy.special import expit, logit

__all__ = ["at_prevalence", "checked_prevalence", "prior_shift"]


def checked_prevalence(prevalence: float | None) -> float | None:
    """The prevalence, or a ValueError of one line if it is not between 0 and 1; None means that of the study."""
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"prevalence={prevalence:g} must lie between 0 and 1, such as 0.00025 for 1 of 4,000")
    return prevalence


def prior_shift(share: float, prevalence: float | None) -> float:
    """Shift of the linear predictor.

    Args:
        share: Share of positive cases in the study.
        prevalence: Prevalence where the model is used; None shifts nothing.

    Raises:
        ValueError: If the prevalence does not lie between 0 and 1.
    """
    prevalence = checked_prevalence(prevalence)
    return 0.0 if prevalence is None else float(logit(prevalence) - logit(share))


def at_prevalence(probability: np.ndarray, share: float, prevalence: float | None) -> np.ndarray:
    """Probabilities (N,) of a model, corrected for another prevalence."""
    return expit(logit(probability) + prior_shift(share, prevalence))
