"""The networks of the two families, built of the same encoder and decoder.

Both take the arguments of `Sizes` too: `spatial_dims`, `in_channels`, `image_size`, `channels`, `strides`, `kernels`,
`norm` and `output`.
"""

from typing import Any

import torch
from torch import Tensor, nn

from medzoo.models.radiomics_vae.convolutional import ConvDecoder, ConvEncoder, Sizes

__all__ = ["RadiomicsVAE", "SalientVAE"]


class RadiomicsVAE(nn.Module):
    """VAE whose decoder gets hand-crafted radiomics beside the latent (Vétil et al. 2023, arXiv:2308.11389).

    Radiomics are computed, not encoded, so the latent need not encode them.

    Args:
        latent_features: D, the deep radiomics.
        condition_features: F, the hand-crafted ones.
        **sizes: Of `Sizes`.
    """

    def __init__(self, *, latent_features: int = 32, condition_features: int = 32, **sizes: Any) -> None:
        super().__init__()
        agreed = Sizes(**sizes)
        self.latent_features, self.condition_features = latent_features, condition_features
        self.encoder = ConvEncoder(agreed, latent_features)
        self.decoder = ConvDecoder(agreed, latent_features + condition_features)

    @property
    def recomputed_blocks(self) -> list[nn.Module]:
        """The encoder, and the stages of the decoder."""
        return [self.encoder, *self.decoder.stages]

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (B, D) of images (B, C, *spatial)."""
        return self.encoder(image)

    def decode(self, condition: Tensor, latent: Tensor) -> Tensor:
        """Images (B, C, *spatial) of radiomics (B, F) and latents (B, D)."""
        return self.decoder(torch.cat([latent, condition], dim=1))


class SalientVAE(nn.Module):
    """VAE with two encoders: for what all images share, and for what only the target group has.

    Abid and Zou 2019 (arXiv:1902.04601); Louiset et al. 2023 (arXiv:2307.06206). Their letters for the two parts
    contradict each other, so here they have names.

    Args:
        common_features: Length of the common latent.
        salient_features: Length of the salient latent.
        **sizes: Of `Sizes`.
    """

    def __init__(self, *, common_features: int = 16, salient_features: int = 16, **sizes: Any) -> None:
        super().__init__()
        agreed = Sizes(**sizes)
        self.common_features, self.salient_features = common_features, salient_features
        self.common = ConvEncoder(agreed, common_features)
        self.salient = ConvEncoder(agreed, salient_features)
        self.decoder = ConvDecoder(agreed, common_features + salient_features)

    @property
    def recomputed_blocks(self) -> list[nn.Module]:
        """The encoders, and the stages of the decoder."""
        return [self.common, self.salient, *self.decoder.stages]

    def encode(self, image: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Mean and log variance (B, F) of the common latent, and those (B, D) of the salient one."""
        return self.common(image), self.salient(image)

    def decode(self, common: Tensor, salient: Tensor) -> Tensor:
        """Images (B, C, *spatial) of common (B, F) and salient (B, D) latents."""
        return self.decoder(torch.cat([common, salient], dim=1))
