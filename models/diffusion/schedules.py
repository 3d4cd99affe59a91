"""Noise schedules of a variance-preserving diffusion, with the algebra of its velocity objective.

x_t = alpha_t x_0 + sigma_t noise with alpha_t^2 + sigma_t^2 = 1 (Ho et al. 2020, arXiv:2006.11239); velocity
v = alpha_t noise - sigma_t x_0 (Salimans and Ho 2022, arXiv:2202.00512). Time t = 0 is the least noisy step, T - 1 the
noisiest.
"""

import math

import torch
from torch import Tensor, nn

__all__ = ["NoiseSchedule", "cosine_schedule", "linear_schedule", "sigmoid_schedule"]

_MAX_BETA = 0.999  # of a single step, as in the reference code of Nichol and Dhariwal: keeps alpha_t above zero


class NoiseSchedule(nn.Module):
    """Signal and noise level of each of T steps.

    Nothing here is trained or saved; the config defines it. Tables are computed in float64 and kept in float32, which
    every accelerator has; sigma is kept beside alpha because 1 - alpha^2 would lose its digits at the clean end.

    Args:
        alphas_cumprod: (T,) float64, alpha_t^2, decreasing, in (0, 1).

    Raises:
        ValueError: If the entries do not decrease inside (0, 1).
    """

    def __init__(self, alphas_cumprod: Tensor) -> None:
        super().__init__()
        square = alphas_cumprod.double()
        falls = bool((square[1:] < square[:-1]).all()) and float(square[-1]) > 0 and float(square[0]) < 1
        if square.ndim != 1 or not falls:
            raise ValueError("alphas_cumprod must decrease strictly inside (0, 1), one entry for each step")
        self.register_buffer("alphas_cumprod", square.float(), persistent=False)
        self.register_buffer("alphas", square.sqrt().float(), persistent=False)
        self.register_buffer("sigmas", (1 - square).sqrt().float(), persistent=False)
        self.alphas_cumprod: Tensor
        self.alphas: Tensor
        self.sigmas: Tensor

    @property
    def timesteps(self) -> int:
        """T."""
        return len(self.alphas)

    def alpha(self, t: Tensor) -> Tensor:
        """Signal level at times (B,), in (0, 1)."""
        return self.alphas[t]

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at times (B,), in (0, 1)."""
        return self.sigmas[t]

    def snr(self, t: Tensor) -> Tensor:
        """Signal-to-noise ratio alpha^2 / sigma^2 at times (B,)."""
        return (self.alphas[t] / self.sigmas[t]) ** 2

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t of clean x0 (B, ...) and unit noise of the same shape at times (B,)."""
        alpha, sigma = self._levels(t, x0)
        return alpha * x0 + sigma * noise

    def velocity(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the network learns to predict: alpha_t noise - sigma_t x0."""
        alpha, sigma = self._levels(t, x0)
        return alpha * noise - sigma * x0

    def min_snr_weight(self, t: Tensor, gamma: float = 1.0) -> Tensor:
        """Loss weight of the velocity objective: min(SNR, gamma) / (SNR + 1).

        Hang et al. 2023 (arXiv:2303.09556), section 3.4; HemExp uses gamma = 1.

        Args:
            t: (B,) times.
            gamma: Where the weight of easy, nearly clean steps is cut off.

        Returns:
            (B,) weights in (0, 1).
        """
        snr = self.snr(t)
        return snr.clamp(max=gamma) / (snr + 1)

    def _levels(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Alpha and sigma at times (B,), shaped to multiply `like` (B, ...)."""
        shape = (-1,) + (1,) * (like.ndim - 1)
        return self.alphas[t].to(like.dtype).view(shape), self.sigmas[t].to(like.dtype).view(shape)


def sigmoid_schedule(timesteps: int = 1000, start: float = -3.0, end: float = 3.0, tau: float = 1.0) -> NoiseSchedule:
    """Schedule whose alpha^2 falls along a sigmoid (Jabri et al. 2022, arXiv:2212.11972, algorithm 1).

    Args:
        timesteps: Number of steps T.
        start: Where on the sigmoid the clean end lies.
        end: Where the noisy end lies.
        tau: Temperature: smaller is steeper.

    Returns:
        The schedule.
    """
    falling = -torch.sigmoid((torch.linspace(0, 1, timesteps + 1, dtype=torch.float64) * (end - start) + start) / tau)
    return _clipped((falling - falling[-1]) / (falling[0] - falling[-1]))


def cosine_schedule(timesteps: int = 1000, offset: float = 0.008) -> NoiseSchedule:
    """Schedule whose alpha falls along a cosine (Nichol and Dhariwal 2021, arXiv:2102.09672, equation 17).

    Args:
        timesteps: Number of steps T.
        offset: Keeps the first step from being too small.

    Returns:
        The schedule.
    """
    fraction = (torch.linspace(0, 1, timesteps + 1, dtype=torch.float64) + offset) / (1 + offset)
    square = torch.cos(fraction * math.pi / 2) ** 2
    return _clipped(square / square[0])


def linear_schedule(timesteps: int = 1000, start: float = 1e-4, end: float = 0.02) -> NoiseSchedule:
    """Schedule with linearly growing step variances (Ho et al. 2020), given for 1000 steps and scaled to T.

    Args:
        timesteps: Number of steps T.
        start: Variance of the first of 1000 steps.
        end: Variance of the last.

    Returns:
        The schedule.
    """
    betas = torch.linspace(start, end, timesteps, dtype=torch.float64) * (1000 / timesteps)
    return NoiseSchedule(torch.cumprod(1 - betas.clamp(max=_MAX_BETA), dim=0))


def _clipped(square: Tensor) -> NoiseSchedule:
    """Schedule of a curve of T + 1 values from 1 to 0, no step of which adds more variance than the largest allowed."""
    betas = (1 - square[1:] / square[:-1]).clamp(max=_MAX_BETA)
    return NoiseSchedule(torch.cumprod(1 - betas, dim=0))
