"""Diffusion models: noise schedules, samplers, guidance, correlated noise and the conditional U-Net, U-KAN."""

from medzoo.models.diffusion.conditional_unet import ConditionalUNet
from medzoo.models.diffusion.guidance import guide, guided
from medzoo.models.diffusion.kan import KANLinear
from medzoo.models.diffusion.noise import slice_correlated_noise
from medzoo.models.diffusion.samplers import DDIM, DDPM, DPMSolverPP2M, Sampler, sampling_times
from medzoo.models.diffusion.schedules import NoiseSchedule, cosine_schedule, linear_schedule, sigmoid_schedule
from medzoo.models.diffusion.ukan import DiffusionUKAN
from medzoo.models.diffusion.upstream import upstream_unet_state

__all__ = [
    "DDIM",
    "DDPM",
    "ConditionalUNet",
    "DPMSolverPP2M",
    "DiffusionUKAN",
    "KANLinear",
    "NoiseSchedule",
    "Sampler",
    "cosine_schedule",
    "guide",
    "guided",
    "linear_schedule",
    "sampling_times",
    "sigmoid_schedule",
    "slice_correlated_noise",
    "upstream_unet_state",
]
