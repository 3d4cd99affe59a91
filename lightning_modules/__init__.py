"""LightningModules, one for each training objective: what a step computes and logs."""

from medzoo.lightning_modules.autoencoder import AutoencoderModule
from medzoo.lightning_modules.classification import ClassificationModule
from medzoo.lightning_modules.contrastive_vae import ContrastiveVAEModule
from medzoo.lightning_modules.fusion import FusionModule
from medzoo.lightning_modules.image_diffusion import ImageDiffusionModule
from medzoo.lightning_modules.latent_diffusion import LatentDiffusionModule
from medzoo.lightning_modules.nomogram import NomogramModule
from medzoo.lightning_modules.nomogram_fit import NomogramSettings
from medzoo.lightning_modules.nonredundant_vae import NonRedundantVAEModule
from medzoo.lightning_modules.residual_vae import ResidualVAEModule
from medzoo.lightning_modules.restoration import RestorationModule
from medzoo.lightning_modules.segmentation import SegmentationModule
from medzoo.lightning_modules.translation import TranslationModule, constant_then_linear

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
