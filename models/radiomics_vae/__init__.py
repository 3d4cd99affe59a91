"""Autoencoders whose code has two parts: radiomics and a latent, or what two groups share and what one has alone."""

from models.radiomics_vae.convolutional import ConvDecoder, ConvEncoder
from models.radiomics_vae.networks import RadiomicsVAE, SalientVAE

__all__ = ["ConvDecoder", "ConvEncoder", "RadiomicsVAE", "SalientVAE"]
