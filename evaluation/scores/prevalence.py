"""From the share of positive cases in a study to the prevalence where a model is used.

A study that gathers cases and controls fixes their shares, and the intercept of its logistic model holds for these
alone; odds ratios hold anywhere. The prior correction of King and Zeng 2001 (doi:10.1093/oxfordjournals.pan.a004868)
adds logit(prevalence) - logit(share) to every linear predictor.
"""

import numpy as np
from scipy.special import expit, logit

__all__ = ["at_prevalence", "checked_prevalence", "prior_shift"]


def checked_prevalence(prevalence: float | None) -> float | None:
    """The same, or a ValueError of one line if it is no share; none leaves a model as it is."""
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"prevalence={prevalence:g} must lie between 0 and 1, such as 0.00025 for 1 of 4,000")
    return prevalence


def prior_shift(share: float, prevalence: float | None) -> float:
    """What is added to the linear predictor.

    Args:
        share: Of positive cases among those that the model was fitted to.
        prevalence: Where it is used; none leaves the model as it is.

    Raises:
        ValueError: If the prevalence does not lie between 0 and 1.
    """
    prevalence = checked_prevalence(prevalence)
    return 0.0 if prevalence is None else float(logit(prevalence) - logit(share))


def at_prevalence(probability: np.ndarray, share: float, prevalence: float | None) -> np.ndarray:
    """Probabilities (N,) of a model, as they are where the prevalence is another."""
    return expit(logit(probability) + prior_shift(share, prevalence))
