"""LightningModules, one for each training objective: what a step computes and what it logs."""

from medzoo.lightning_modules.classification import ClassificationModule
from medzoo.lightning_modules.diffusion import AutoencoderModule, ImageDiffusionModule, LatentDiffusionModule
from medzoo.lightning_modules.fusion import FusionModule
from medzoo.lightning_modules.nomogram import NomogramModule, NomogramSettings
from medzoo.lightning_modules.restoration import RestorationModule
from medzoo.lightning_modules.segmentation import SegmentationModule
from medzoo.lightning_modules.translation import TranslationModule, constant_then_linear
from medzoo.lightning_modules.vae import ContrastiveVAEModule, NonRedundantVAEModule, ResidualVAEModule

__all__ = [
    "AutoencoderModule",
    "ClassificationModule",
    "ContrastiveVAEModule",
    "FusionModule",
    "ImageDiffusionModule",
    "LatentDiffusionModule",
    "NomogramModule",
    "NomogramSettings",
    "NonRedundantVAEModule",
    "ResidualVAEModule",
    "RestorationModule",
    "SegmentationModule",
    "TranslationModule",
    "constant_then_linear",
]
