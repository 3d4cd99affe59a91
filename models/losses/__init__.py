"""Losses, each tested against a slow or closed-form reference."""

from models.losses.autoencoder import (
    HemorrhageAutoencoderLoss,
    PatchAdversarialTerm,
    PerceptualTerm,
    kl_divergence,
)
from models.losses.classification import ClassificationLoss

__all__ = [
    "ClassificationLoss",
    "HemorrhageAutoencoderLoss",
    "PatchAdversarialTerm",
    "PerceptualTerm",
    "kl_divergence",
]
