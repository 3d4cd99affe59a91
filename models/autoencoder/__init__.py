"""Autoencoders whose latents are small enough to diffuse."""

from medzoo.models.autoencoder.multi_head_kl import MultiHeadAutoencoderKL, upstream_autoencoder_state

__all__ = ["MultiHeadAutoencoderKL", "upstream_autoencoder_state"]
