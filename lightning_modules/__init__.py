"""LightningModules, one for each training objective: what a step computes and logs."""

from lightning_modules.autoencoder import AutoencoderModule
from lightning_modules.classification import ClassificationModule
from lightning_modules.contrastive_vae import ContrastiveVAEModule
from lightning_modules.fusion import FusionModule
from lightning_modules.image_diffusion import ImageDiffusionModule
from lightning_modules.latent_diffusion import LatentDiffusionModule
from lightning_modules.nomogram import NomogramModule
from lightning_modules.nomogram_fit import NomogramSettings
from lightning_modules.nonredundant_vae import NonRedundantVAEModule
from lightning_modules.residual_vae import ResidualVAEModule
from lightning_modules.restoration import RestorationModule
from lightning_modules.segmentation import SegmentationModule
from lightning_modules.translation import TranslationModule, constant_then_linear

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
