"""KL autoencoder of a CT slice with its hemorrhage masks, the first stage of HemExp.

HemExp (arXiv:2606.15304; github.com/orhunutkuaydin/HemExp, MIT) around MONAI's `AutoencoderKL` (Apache-2.0; Rombach et
al. 2022, arXiv:2112.10752). Differences: the heads are folded into the convolution before them, which gives the
same function and gradients without 256 feature maps of full resolution (151 MB a slice of 384 x 384); and attention at
the deepest level, MONAI's default and therefore the original's, is optional.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from monai.networks.nets import AutoencoderKL
from torch import Tensor, nn

__all__ = ["MultiHeadAutoencoderKL", "upstream_autoencoder_state"]


class MultiHeadAutoencoderKL(nn.Module):
    """Encodes (B, 3, H, W) slices of CT, IPH and IVH; decodes with one head for each.

    Args:
        channels: Width of each level; the resolution halves between levels.
        num_res_blocks: Residual blocks of each level.
        norm_num_groups: Groups of the normalisation; must divide every width.
        latent_channels: Channels of the latent.
        decoder_features: Feature maps that the heads read.
        in_channels: Channels in, and heads: CT, IPH, IVH.
        middle_attention: Attention, between two residual blocks, at the deepest level of encoder and decoder.

    Raises:
        ValueError: If `norm_num_groups` does not divide the widths.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] = (64, 128, 256),
        num_res_blocks: int = 2,
        norm_num_groups: int = 32,
        latent_channels: int = 4,
        decoder_features: int = 256,
        in_channels: int = 3,
        middle_attention: bool = False,
    ) -> None:
        super().__init__()
        if any(width % norm_num_groups for width in channels):
            raise ValueError(f"norm_num_groups={norm_num_groups} does not divide every width of {tuple(channels)}")
        self.latent_channels = latent_channels
        self.downsampling = 2 ** (len(channels) - 1)
        self.backbone = AutoencoderKL(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=decoder_features,
            channels=tuple(channels),
            num_res_blocks=num_res_blocks,
            latent_channels=latent_channels,
            norm_num_groups=norm_num_groups,
            attention_levels=[False] * len(channels),
            with_encoder_nonlocal_attn=middle_attention,
            with_decoder_nonlocal_attn=middle_attention,
            use_flash_attention=middle_attention,
        )
        blocks = cast(nn.ModuleList, self.backbone.decoder.blocks)
        features = nn.Conv2d(channels[0], decoder_features, 3, padding=1)
        blocks[-1] = _FoldedHeads(features, nn.Conv2d(decoder_features, in_channels, 1))

    @property
    def called_parts(self) -> list[nn.Module]:
        """What training calls, and can be compiled."""
        return [self.backbone.encoder, self.backbone.decoder]

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distribution of the latent.

        Args:
            x: (B, 3, H, W) CT in [0, 1] and masks of 0 and 1; H and W multiples of `downsampling`.

        Returns:
            Mean and standard deviation, each (B, latent_channels, H / downsampling, W / downsampling).

        Raises:
            ValueError: If H or W is no such multiple.
        """
        if x.shape[-2] % self.downsampling or x.shape[-1] % self.downsampling:
            raise ValueError(
                f"size {tuple(x.shape[-2:])} does not fit: H and W must be multiples of {self.downsampling}"
            )
        return self.backbone.encode(x)

    def sample(self, mean: Tensor, sigma: Tensor) -> Tensor:
        """A latent drawn from its distribution, differentiable in both arguments."""
        return self.backbone.sampling(mean, sigma)

    def decode(self, z: Tensor) -> Tensor:
        """From latents to (B, 3, H, W): CT, meant to lie in [0, 1] but not clipped, then logits of IPH and IVH."""
        return self.backbone.decode(z)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw, decode: the reconstruction and the mean and sigma of the latent."""
        mean, sigma = self.encode(x)
        return self.decode(self.sample(mean, sigma)), mean, sigma


class _FoldedHeads(nn.Module):
    """A 3x3 convolution to many features followed by 1x1 heads, computed as the one 3x3 convolution that they make.

    The two are linear with nothing between them. Trained as two, so that weights mean what they mean in the original.
    """

    def __init__(self, features: nn.Conv2d, heads: nn.Conv2d) -> None:
        super().__init__()
        self.features, self.heads = features, heads

    def forward(self, x: Tensor) -> Tensor:
        head = self.heads.weight.flatten(1)  # (heads, features)
        weight = torch.einsum("hf,fcyx->hcyx", head, self.features.weight)
        bias = self.heads(cast(Tensor, self.features.bias)[:, None, None]).flatten()
        return F.conv2d(x, weight, bias, padding=self.features.padding)


def upstream_autoencoder_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an autoencoder trained with the authors' code, for `MultiHeadAutoencoderKL(middle_attention=True)`.

    Theirs has MONAI's last convolution and three heads after it, ours both in one block.

    Args:
        state: Weights of the autoencoder, read with `weights_only=True`.

    Returns:
        A state that `load_state_dict` takes.
    """
    prefix = "backbone.decoder.blocks."
    last = f"{prefix}{max(int(name.split('.')[3]) for name in state if name.startswith(prefix))}."
    heads = ("ct_head", "iph_head", "ivh_head")
    kept = {name: value for name, value in state.items() if not name.startswith(heads)}
    renamed = {name.replace(f"{last}conv.", f"{last}features."): value for name, value in kept.items()}
    for kind in ("weight", "bias"):
        renamed[f"{last}heads.{kind}"] = torch.cat([state[f"{head}.{kind}"] for head in heads])
    return renamed
