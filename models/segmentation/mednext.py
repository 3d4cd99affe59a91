"""MedNeXt: a U-Net of ConvNeXt blocks that widens inside each block and grows by kernel size.

Roy et al. 2023 (arXiv:2303.09975). The code is MONAI's; images are padded to sizes that it takes.
"""

from typing import Literal

from monai.networks.nets.mednext import create_mednext
from torch import Tensor, nn

from medzoo.models.segmentation.padding import crop_logits, pad_to_multiple

__all__ = ["MedNeXt"]

_MULTIPLE = 16  # four stages halve every axis


class MedNeXt(nn.Module):
    """Logits of an image, in training at five resolutions.

    Args:
        spatial_dims: 2 or 3.
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        variant: Size; S, B, M and L have 5.6, 10.5, 17.6 and 61.8 million parameters in 3-D.
        kernel_size: Of the depthwise convolutions; 5 is the paper's other choice.
        deep_supervision: Give the logits of all stages while training, not only of the last.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        *,
        variant: Literal["S", "B", "M", "L"] = "S",
        kernel_size: int = 3,
        deep_supervision: bool = True,
    ) -> None:
        super().__init__()
        self.net = create_mednext(variant, spatial_dims, in_channels, out_channels, kernel_size, deep_supervision)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, in_channels, *spatial) to logits, full resolution first: [(B, out_channels, *spatial), ...]."""
        size = x.shape[2:]
        logits = self.net(pad_to_multiple(x, [_MULTIPLE] * len(size)))
        return crop_logits([logits] if isinstance(logits, Tensor) else list(logits), size)
