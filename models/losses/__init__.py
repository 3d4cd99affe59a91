"""Losses, each tested against a slow or closed-form reference."""

from medzoo.models.losses.alignment import ContrastiveAlignment, contrastive_loss
from medzoo.models.losses.autoencoder import (
    HemorrhageAutoencoderLoss,
    PatchAdversarialTerm,
    PerceptualTerm,
)
from medzoo.models.losses.classification import ClassificationLoss
from medzoo.models.losses.mutual_information import CLUB, DensityRatio
from medzoo.models.losses.segmentation import DeepSupervisionDiceCELoss
from medzoo.models.losses.subspaces import central_moment_discrepancy, subspace_difference
from medzoo.models.losses.survival import CoxLoss
from medzoo.models.losses.variational import draw, gaussian_error, kl_to_normal

__all__ = [
    "CLUB",
    "ClassificationLoss",
    "ContrastiveAlignment",
    "CoxLoss",
    "DeepSupervisionDiceCELoss",
    "DensityRatio",
    "HemorrhageAutoencoderLoss",
    "PatchAdversarialTerm",
    "PerceptualTerm",
    "central_moment_discrepancy",
    "contrastive_loss",
    "draw",
    "gaussian_error",
    "kl_to_normal",
    "subspace_difference",
]
