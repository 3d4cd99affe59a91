"""Autoencoders with a code of two parts: radiomics and a latent, or what is common and what is salient."""

from medzoo.models.radiomics_vae.convolutional import ConvDecoder, ConvEncoder
from medzoo.models.radiomics_vae.networks import RadiomicsVAE, SalientVAE

__all__ = ["ConvDecoder", "ConvEncoder", "RadiomicsVAE", "SalientVAE"]
