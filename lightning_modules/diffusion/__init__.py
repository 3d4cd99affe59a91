"""Diffusion of images and of latents, and the autoencoder that makes the latents."""

from medzoo.lightning_modules.diffusion.autoencoder import AutoencoderModule
from medzoo.lightning_modules.diffusion.image import ImageDiffusionModule
from medzoo.lightning_modules.diffusion.latent import LatentDiffusionModule

__all__ = ["AutoencoderModule", "ImageDiffusionModule", "LatentDiffusionModule"]
