"""The encoder of nnU-Net's plain U-Net as an encoder of whole images, for pretrained weights.

Models Genesis (Zhou et al. 2021, Medical Image Analysis) transfers its encoder this way: global average pooling of the
last map, then linear layers.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from medzoo.models.segmentation.nnunet import PlainUNet

__all__ = ["UNetEncoder"]


class UNetEncoder(nn.Module):
    """Its weights have the same names as in `PlainUNet`: `lightning_modules.transfer.take_over` copies them.

    Args:
        spatial_dims: 2 or 3.
        in_channels: C.
        dim: Width of the output: that of a token, or the number of classes.
        features: Channels of each stage.
        strides: Downsampling of each stage, one entry for each axis.
        kernels: Kernel size of each stage, likewise.
        dropout: Dropout rate of the pooled features.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        dim: int,
        features: Sequence[int],
        strides: Sequence[Sequence[int]],
        kernels: Sequence[Sequence[int]],
        *,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = PlainUNet(spatial_dims, in_channels, 1, features, strides, kernels).encoder
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features[-1], dim))

    def forward(self, image: Tensor) -> Tensor:
        """Tokens or logits (B, dim) of images (B, C, *spatial)."""
        for stage in self.encoder:
            image = stage(image)
        return self.head(image.flatten(2).mean(2))
