"""Samplers of a diffusion that predicts velocities: ancestral (DDPM), DDIM and DPM-Solver++ of second order.

A sampler holds its settings only. Called with a function that predicts the velocity, it walks from noise at time T - 1
to a clean sample in `steps` passes of the network, the last of them at time 0 (unless `trailing`), and returns that
pass's clean estimate.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from medzoo.models.diffusion.schedules import NoiseSchedule

__all__ = ["DDIM", "DDPM", "DPMSolverPP2M", "Denoise", "Draw", "Place", "Progress", "Sampler", "sampling_times"]

Denoise = Callable[[Tensor, Tensor], Tensor]
"""From noisy x (B, ...) and times (B,) to the predicted velocity (B, ...)."""
Draw = Callable[[Tensor], Tensor]
"""Fresh unit Gaussian noise like its argument (B, ...)."""
Progress = Callable[[int, int], None]
"""Told after each pass how many are done, of how many."""
Spacing = Literal["time", "trailing", "lambda"]


class Place(NamedTuple):
    """Where a walk is before a step.

    Attributes:
        x: (B, ...) noisy samples.
        x0: (B, ...) the clean estimate of them.
        alpha: Signal level of x.
        sigma: Noise level of x.
        alpha_next: Signal level at the next time.
        sigma_next: Noise level at the next time.
        draw: Source of fresh noise.
        previous: Clean estimate and lambda one pass before; None on the first.
    """

    x: Tensor
    x0: Tensor
    alpha: float
    sigma: float
    alpha_next: float
    sigma_next: float
    draw: Draw
    previous: tuple[Tensor, float] | None


class Sampler:
    """The walk that all samplers share.

    Args:
        steps: Passes of the network.
        spacing: Steps of equal length in `time`, or in `lambda`, the log of alpha / sigma; see `sampling_times`.
    """

    def __init__(self, steps: int, *, spacing: Spacing = "time") -> None:
        self.steps = steps
        self.spacing: Spacing = spacing

    @torch.no_grad()
    def __call__(
        self,
        denoise: Denoise,
        x: Tensor,
        schedule: NoiseSchedule,
        draw: Draw | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Turn noise into samples.

        Args:
            denoise: Predicts the velocity.
            x: (B, ...) unit Gaussian noise, in the precision of the whole walk (float32).
            schedule: The schedule of the training.
            draw: Where fresh noise comes from, `torch.randn_like` by default; unused by deterministic samplers.
            progress: Called after each pass.

        Returns:
            (B, ...) clean samples.
        """
        times = sampling_times(schedule, self.steps, self.spacing)
        levels = list(zip(schedule.alphas.double().tolist(), schedule.sigmas.double().tolist(), strict=True))
        previous: tuple[Tensor, float] | None = None  # the last clean estimate and its lambda
        for done, time in enumerate(times, start=1):
            alpha, sigma = levels[time]
            batch_time = torch.full((len(x),), time, device=x.device, dtype=torch.long)
            velocity = denoise(x, batch_time).to(x.dtype)
            x0 = alpha * x - sigma * velocity
            if done == self.steps:
                x = x0
            else:
                x = self.step(Place(x, x0, alpha, sigma, *levels[times[done]], draw or torch.randn_like, previous))
            previous = (x0, math.log(alpha / sigma))
            if progress is not None:
                progress(done, self.steps)
        return x

    def step(self, at: Place) -> Tensor:
        """Samples (B, ...) at the next, less noisy time."""
        raise NotImplementedError


class DDPM(Sampler):
    """Ancestral sampling: draws from the posterior of the next time given x and its clean estimate.

    Ho et al. 2020 (arXiv:2006.11239), equations 6 and 7, with the steps between the chosen times merged into one.
    """

    def step(self, at: Place) -> Tensor:
        """Draw from the posterior."""
        ratio = at.alpha / at.alpha_next  # signal kept by the merged noising step from the next time to this one
        variance = at.sigma**2 - (ratio * at.sigma_next) ** 2  # noise it adds
        mean = (at.alpha_next * variance * at.x0 + ratio * at.sigma_next**2 * at.x) / at.sigma**2
        return mean + math.sqrt(variance) * at.sigma_next / at.sigma * at.draw(at.x)


class DDIM(Sampler):
    """Song et al. 2021 (arXiv:2010.02502), equations 12 and 16.

    Args:
        steps: Passes of the network.
        eta: Share of fresh noise: 0 is deterministic, 1 has the variance of DDPM.
        spacing: See `Sampler`.
    """

    def __init__(self, steps: int, eta: float = 0.0, *, spacing: Spacing = "time") -> None:
        super().__init__(steps, spacing=spacing)
        self.eta = eta

    def step(self, at: Place) -> Tensor:
        """Keep part of the noise that x implies, replace the rest by fresh noise."""
        noise = (at.x - at.alpha * at.x0) / at.sigma
        fresh = self.eta * at.sigma_next / at.sigma * math.sqrt(1 - (at.alpha / at.alpha_next) ** 2)
        kept = math.sqrt(at.sigma_next**2 - fresh**2)
        x = at.alpha_next * at.x0 + kept * noise
        return x + fresh * at.draw(x) if fresh else x


class DPMSolverPP2M(Sampler):
    """DPM-Solver++(2M): second order at one pass a step (Lu et al. 2022, arXiv:2211.01095, algorithm 2).

    The change of x is an integral of the clean estimate over lambda = log(alpha / sigma); the estimate is extrapolated
    linearly from this pass and the one before. The first step has no pass before it and is of first order (as DDIM).

    Args:
        steps: Passes of the network.
        spacing: See `Sampler`. On a Gaussian target, 20 passes equally spaced in lambda err ten times less than 20
            equally spaced in time (`tests/models/diffusion/test_diffusion.py`).
    """

    def __init__(self, steps: int, *, spacing: Spacing = "lambda") -> None:
        super().__init__(steps, spacing=spacing)

    def step(self, at: Place) -> Tensor:
        """Integrate the extrapolated clean estimate to the next time."""
        now = math.log(at.alpha / at.sigma)
        length = math.log(at.alpha_next / at.sigma_next) - now
        estimate = at.x0
        if at.previous is not None:
            before, then = at.previous
            estimate = at.x0 + (at.x0 - before) * (length / (2 * (now - then)))
        return at.sigma_next / at.sigma * at.x - at.alpha_next * math.expm1(-length) * estimate


def sampling_times(schedule: NoiseSchedule, steps: int, spacing: Spacing = "time") -> list[int]:
    """Times of the passes, from T - 1 down, all different.

    Args:
        schedule: The schedule.
        steps: Number of times, at least 1.
        spacing: `time`: equal steps of t, down to 0. `trailing`: steps of T / `steps`, as HemExp takes them; the
            last pass is one step before time -1 (at 3 with 250 passes of 1000 times). `lambda`: equal steps of
            log(alpha / sigma) from T - 2 on, down to 0; the step before it is left out because the clipped end of a
            schedule is a jump that would swallow half of the range.

    Returns:
        `steps` decreasing integers; the single time T - 1 for one step.

    Raises:
        ValueError: If there are more steps than times.
    """
    last = schedule.timesteps - 1
    if not 1 <= steps <= schedule.timesteps:
        raise ValueError(f"steps={steps} does not fit a schedule of {last + 1} times: expected 1 to {last + 1}")
    if spacing == "trailing":
        return torch.linspace(-1, last, steps + 1, dtype=torch.float64).long().flip(0)[:-1].tolist()
    if steps < 3 or spacing == "time":
        return torch.linspace(last, 0, steps, dtype=torch.float64).round().long().tolist()
    lambdas = (schedule.alphas.double() / schedule.sigmas.double()).log()
    targets = torch.linspace(float(lambdas[-2]), float(lambdas[0]), steps - 1, dtype=torch.float64)
    times = [last] + [int((lambdas - target).abs().argmin()) for target in targets]
    for index in range(1, steps):  # where neighbours fall on the same time, move to the nearest free one
        times[index] = max(min(times[index], times[index - 1] - 1), steps - 1 - index)
    return times
