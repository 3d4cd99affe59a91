"""Losses, each tested against a slow or closed-form reference."""

from models.losses.autoencoder import (
    HemorrhageAutoencoderLoss,
    PatchAdversarialTerm,
    PerceptualTerm,
    kl_divergence,
)
from models.losses.classification import ClassificationLoss
from models.losses.segmentation import DeepSupervisionDiceCELoss

__all__ = [
    "ClassificationLoss",
    "DeepSupervisionDiceCELoss",
    "HemorrhageAutoencoderLoss",
    "PatchAdversarialTerm",
    "PerceptualTerm",
    "kl_divergence",
]
