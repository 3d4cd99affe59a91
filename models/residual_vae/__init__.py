"""Residual variational autoencoder of images, its loss, and scores of an image by its latent."""

from medzoo.models.residual_vae.loss import ImageVAELoss
from medzoo.models.residual_vae.network import ResidualVAE
from medzoo.models.residual_vae.score import ImageScore

__all__ = ["ImageScore", "ImageVAELoss", "ResidualVAE"]
