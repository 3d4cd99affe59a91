"""nnU-Net's plain U-Net.

Isensee et al. 2021 (doi:10.1038/s41592-020-01008-z); github.com/MIC-DKFZ/nnUNet (Apache-2.0). MONAI's DynUNet is
similar, but takes the kernels of a decoder stage from the stage below, and upsamples and stacks its deep-supervision
heads.
"""

from collections.abc import Sequence

import torch
from monai.networks.layers.factories import Conv, Norm
from torch import Tensor, nn

from medzoo.models.segmentation.blocks import init_he
from medzoo.models.segmentation.padding import crop

__all__ = ["PlainUNet"]


class PlainUNet(nn.Module):
    """Two convolutions per stage, strided convolutions down, transposed ones up, concatenated skips.

    Args:
        spatial_dims: 2 or 3.
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        features: Channels of each stage.
        strides: Downsampling of each stage, one entry for each axis; the first is usually 1.
        kernels: Kernel size of each stage, likewise.
        deep_supervision: Return the logits of all decoder stages, not only of the last.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        features: Sequence[int],
        strides: Sequence[Sequence[int]],
        kernels: Sequence[Sequence[int]],
        *,
        deep_supervision: bool = True,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        conv, up = Conv[Conv.CONV, spatial_dims], Conv[Conv.CONVTRANS, spatial_dims]
        self.encoder, self.up, self.decoder, self.heads = (nn.ModuleList() for _ in range(4))
        for before, after, kernel, stride in zip(
            [in_channels, *features[:-1]], features, kernels, strides, strict=True
        ):
            self.encoder.append(_stage(spatial_dims, before, after, kernel, stride))
        for here, below, kernel, stride in zip(features[:-1], features[1:], kernels[:-1], strides[1:], strict=True):
            self.up.append(up(below, here, tuple(stride), tuple(stride)))
            self.decoder.append(_stage(spatial_dims, 2 * here, here, kernel, (1,) * spatial_dims))
            self.heads.append(conv(here, out_channels, 1))
        if not deep_supervision:
            self.heads = self.heads[:1]
        self.apply(init_he)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, in_channels, *spatial) to logits, full resolution first: [(B, out_channels, *spatial), ...].

        Sides that the strides do not divide are rounded up in the encoder and cropped in the decoder.
        """
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        x = skips.pop()
        outputs: list[Tensor] = []
        for up, stage in zip(reversed(self.up), reversed(self.decoder), strict=True):
            skip = skips.pop()
            above = crop(up(x), skip.shape[2:])
            x = stage(torch.cat([above, skip], dim=1))
            outputs.insert(0, x)
        return [head(x) for head, x in zip(self.heads, outputs, strict=False)]


def _stage(
    spatial_dims: int, in_channels: int, out_channels: int, kernel: Sequence[int], stride: Sequence[int]
) -> nn.Sequential:
    conv, norm = Conv[Conv.CONV, spatial_dims], Norm[Norm.INSTANCE, spatial_dims]
    padding = tuple(side // 2 for side in kernel)
    layers: list[nn.Module] = []
    for before, step in ((in_channels, tuple(stride)), (out_channels, (1,) * spatial_dims)):
        layers += [conv(before, out_channels, tuple(kernel), step, padding), norm(out_channels, affine=True)]
        layers.append(nn.LeakyReLU(0.01, inplace=True))
    return nn.Sequential(*layers)
