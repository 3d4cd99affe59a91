"""Kaplan and Meier's estimate of survival (doi:10.1080/01621459.1958.10501452), and of not being censored."""

import numpy as np

__all__ = ["followed", "kaplan_meier", "observed", "step_at"]

Curve = tuple[np.ndarray, np.ndarray]
"""Times (T,) in order, and the value from each time on (T,); before the first it is 1."""


def followed(time: np.ndarray, event: np.ndarray, *more: np.ndarray) -> tuple[np.ndarray, ...]:
    """Times as float, events as bool, and more arrays as float, of the patients whose time is known."""
    time = np.asarray(time, float)
    known = np.isfinite(time)
    return time[known], np.asarray(event, bool)[known], *(np.asarray(each, float)[known] for each in more)


def kaplan_meier(time: np.ndarray, event: np.ndarray) -> Curve:
    """The share of patients without the event.

    Args:
        time: (N,), of the event or of the end of observation.
        event: (N,) bool.
    """
    moments = np.unique(time)
    at_risk = (time[None] >= moments[:, None]).sum(1)
    events = ((time[None] == moments[:, None]) & event[None]).sum(1)
    return moments, np.cumprod(1 - events / at_risk)


def step_at(curve: Curve, moments: np.ndarray, *, before: bool = False) -> np.ndarray:
    """Values of a curve at some times, or right before them, in the shape of `moments`."""
    times, values = curve
    place = np.searchsorted(times, moments, side="left" if before else "right")
    return np.concatenate([[1.0], values])[place]


def observed(time: np.ndarray, event: np.ndarray) -> Curve:
    """The share of patients who are not censored; at equal times, events come first. Arguments as above."""
    moments = np.unique(time)
    at_risk = (time[None] >= moments[:, None]).sum(1) - ((time[None] == moments[:, None]) & event[None]).sum(1)
    censored = ((time[None] == moments[:, None]) & ~event[None]).sum(1)
    return moments, np.cumprod(1 - censored / np.maximum(at_risk, 1))
