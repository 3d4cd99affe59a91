"""A simulation of the queue between the workers that make batches and the step that takes them."""

from collections.abc import Sequence

import numpy as np

__all__ = ["share_of_waiting"]

_EACH = 2  # batches of each worker that may be unfinished or wait, as in datamodules/loading.py


def share_of_waiting(workers: int, seconds: Sequence[float], step: float, *, steps: int = 2000, seed: int = 0) -> float:
    """Share of the time that the step waits for its next batch, which comes in order.

    Args:
        workers: Number of workers, each on a core of its own; batch k is that of worker k modulo their number.
        seconds: Measured times of making a batch, to draw from.
        step: Seconds of a step, with handing the batch over.
        steps: Number of steps.
        seed: Of the drawing.
    """
    times = np.random.default_rng(seed).choice(np.asarray(seconds), steps)
    free = np.zeros(workers)  # when each worker is done with what it has
    taken = np.zeros(steps)  # when the step takes each batch
    now = waited = 0.0
    for number in range(steps):
        sent = taken[number - _EACH * workers] if number >= _EACH * workers else 0.0
        worker = number % workers
        free[worker] = ready = max(free[worker], sent) + times[number]
        waited += max(0.0, ready - now)
        taken[number] = now = max(now, ready)
        now += step
    return waited / now
