"""Autoencoders whose latents are small enough to diffuse."""

from models.autoencoder.multi_head_kl import MultiHeadAutoencoderKL

__all__ = ["MultiHeadAutoencoderKL"]
