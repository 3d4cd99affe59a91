"""Networks and losses in plain PyTorch: nothing here knows of Lightning, Hydra or a data set."""

from models.autoencoder import MultiHeadAutoencoderKL
from models.classification import monai_network, timm_network
from models.diffusion import (
    DDIM,
    DDPM,
    ConditionalUNet,
    DPMSolverPP2M,
    cosine_schedule,
    linear_schedule,
    sigmoid_schedule,
)
from models.followup import FollowupDiffusion
from models.losses import ClassificationLoss, HemorrhageAutoencoderLoss, PatchAdversarialTerm, PerceptualTerm

__all__ = [
    "DDIM",
    "DDPM",
    "ClassificationLoss",
    "ConditionalUNet",
    "DPMSolverPP2M",
    "FollowupDiffusion",
    "HemorrhageAutoencoderLoss",
    "MultiHeadAutoencoderKL",
    "PatchAdversarialTerm",
    "PerceptualTerm",
    "cosine_schedule",
    "linear_schedule",
    "monai_network",
    "sigmoid_schedule",
    "timm_network",
]
