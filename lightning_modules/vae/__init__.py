"""Variational autoencoders whose latents are used: as deep radiomics, as a salient part, as an image score."""

from medzoo.lightning_modules.vae.contrastive import ContrastiveVAEModule
from medzoo.lightning_modules.vae.nonredundant import NonRedundantVAEModule
from medzoo.lightning_modules.vae.residual import ResidualVAEModule

__all__ = ["ContrastiveVAEModule", "NonRedundantVAEModule", "ResidualVAEModule"]
