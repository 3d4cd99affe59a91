"""ResNet-like variational autoencoder of 2-D images of any size.

The HLHS paper (J Ultrasound Med 2026) names an RVAE and releases no code of it; all of this is assumed. Blocks are
those of He et al. 2016 (arXiv:1603.05027, full pre-activation) with group normalisation (Wu and He 2018,
arXiv:1803.08494) and SiLU; the variational part is Kingma and Welling's (arXiv:1312.6114).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ResidualVAE"]


class ResidualVAE(nn.Module):
    """Encodes (B, C, H, W) into `latent_features` numbers and decodes them.

    Every level of the encoder halves the image, rounded up; the decoder goes back through the same sizes.

    Args:
        image_size: H and W.
        in_channels: C, of input and output.
        channels: Width of each level.
        num_res_blocks: Residual blocks of each level.
        latent_features: Numbers in the latent.
        norm_num_groups: Groups of the normalisation; must divide every width.

    Raises:
        ValueError: If the image is too small for so many levels, or `norm_num_groups` does not divide a width.
    """

    def __init__(
        self,
        *,
        image_size: Sequence[int],
        in_channels: int = 1,
        channels: Sequence[int] = (32, 64, 128, 256),
        num_res_blocks: int = 2,
        latent_features: int = 128,
        norm_num_groups: int = 8,
    ) -> None:
        super().__init__()
        if any(width % norm_num_groups for width in channels):
            raise ValueError(f"norm_num_groups={norm_num_groups} does not divide every width of {tuple(channels)}")
        self.sizes: list[tuple[int, ...]] = [tuple(image_size)]
        for _ in channels:
            self.sizes.append(tuple(-(-edge // 2) for edge in self.sizes[-1]))
        if min(self.sizes[-2]) < 2:
            raise ValueError(
                f"an image of {tuple(image_size)} pixels has no {len(channels)} levels: give fewer channels"
            )
        self.latent_features = latent_features
        self.stem = nn.Conv2d(in_channels, channels[0], 3, padding=1)
        self.down = nn.ModuleList()
        before = channels[0]
        for width in channels:
            rest = [_Residual(width, width, norm_num_groups) for _ in range(num_res_blocks - 1)]
            self.down.append(nn.Sequential(_Residual(before, width, norm_num_groups, stride=2), *rest))
            before = width
        self.norm = nn.Sequential(nn.GroupNorm(norm_num_groups, before), nn.SiLU())
        height, width = self.sizes[-1]
        self._deepest = (before, height, width)
        self.to_latent = nn.Linear(before * height * width, 2 * latent_features)
        self.from_latent = nn.Linear(latent_features, before * height * width)
        self.up = nn.ModuleList()
        for width in [*channels[::-1][1:], channels[0]]:
            rest = [_Residual(width, width, norm_num_groups) for _ in range(num_res_blocks - 1)]
            self.up.append(nn.Sequential(_Residual(before, width, norm_num_groups), *rest))
            before = width
        self.out = nn.Sequential(
            nn.GroupNorm(norm_num_groups, before), nn.SiLU(), nn.Conv2d(before, in_channels, 3, padding=1)
        )

    def features(self, x: Tensor) -> Tensor:
        """(B, C, h, w), the deepest map of the encoder."""
        x = self.stem(x)
        for level in self.down:
            x = level(x)
        return self.norm(x)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (B, latent_features) of the latent of images (B, C, H, W) in [0, 1].

        Raises:
            ValueError: If the images have another size than the network was made for.
        """
        if tuple(x.shape[2:]) != self.sizes[0]:
            raise ValueError(f"images of {tuple(x.shape[2:])} pixels; this network takes {self.sizes[0]}")
        mean, log_variance = self.to_latent(self.features(x).flatten(1)).chunk(2, dim=1)
        return mean, (0.5 * log_variance.clamp(-12, 12)).exp()

    def sample(self, mean: Tensor, sigma: Tensor) -> Tensor:
        """A latent drawn from its distribution, differentiable in both arguments."""
        return mean + sigma * torch.randn_like(sigma)

    def decode(self, z: Tensor) -> Tensor:
        """Logits (B, C, H, W) of latents (B, latent_features); a sigmoid makes them intensities."""
        x = self.from_latent(z).view(len(z), *self._deepest)
        for level, size in zip(self.up, self.sizes[-2::-1], strict=True):
            x = level(F.interpolate(x, size, mode="bilinear", align_corners=False))
        return self.out(x)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode, draw, decode: logits, and mean and sigma of the latent."""
        mean, sigma = self.encode(x)
        return self.decode(self.sample(mean, sigma)), mean, sigma


class _Residual(nn.Module):
    """Two convolutions of 3 x 3 beside a shortcut."""

    def __init__(self, before: int, width: int, groups: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.GroupNorm(groups, before), nn.SiLU(), nn.Conv2d(before, width, 3, stride=stride, padding=1)
        )
        self.second = nn.Sequential(nn.GroupNorm(groups, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != width:
            self.shortcut = nn.Conv2d(before, width, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.second(self.first(x))
