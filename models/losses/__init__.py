"""Losses, each tested against a slow or closed-form reference."""

from models.losses.autoencoder import (
    HemorrhageAutoencoderLoss,
    PatchAdversarialTerm,
    PerceptualTerm,
    kl_divergence,
)
from models.losses.classification import ClassificationLoss
from models.losses.mutual_information import CLUB, DensityRatio
from models.losses.segmentation import DeepSupervisionDiceCELoss
from models.losses.variational import draw, gaussian_error, kl_to_normal

__all__ = [
    "CLUB",
    "ClassificationLoss",
    "DeepSupervisionDiceCELoss",
    "DensityRatio",
    "HemorrhageAutoencoderLoss",
    "PatchAdversarialTerm",
    "PerceptualTerm",
    "draw",
    "gaussian_error",
    "kl_divergence",
    "kl_to_normal",
]
