"""The generator of CycleGAN: down, residual blocks, up.

Zhu et al. 2017 (arXiv:1703.10593), appendix: c7s1-64, d128, d256, nine R256, u128, u64, c7s1; instance normalisation,
reflection at the borders. Written from the paper. Images of any size fit: they are padded by reflection.
"""

import itertools

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["ResNetGenerator"]

_MULTIPLE = 4  # two strides of 2


class ResNetGenerator(nn.Module):
    """From images in [-1, 1] to images in [-1, 1].

    Args:
        in_channels: Of both images.
        channels: Of the first layer; 64 in the paper.
        blocks: Residual blocks; nine for 256 pixels in the paper, six for 128.
    """

    def __init__(self, in_channels: int, channels: int = 64, blocks: int = 9) -> None:
        super().__init__()
        widths = [channels, 2 * channels, 4 * channels]
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, channels, 7), *_normalised(channels)]
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), *_normalised(after)]
        layers += [_Residual(widths[-1]) for _ in range(blocks)]
        for before, after in itertools.pairwise(reversed(widths)):
            layers += [nn.ConvTranspose2d(before, after, 3, 2, padding=1, output_padding=1), *_normalised(after)]
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(channels, in_channels, 7), nn.Tanh())
        self.apply(_init)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        height, width = image.shape[2:]
        filled = F.pad(image, (0, -width % _MULTIPLE, 0, -height % _MULTIPLE), mode="reflect")
        return self.layers(filled)[:, :, :height, :width]


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        conv = [nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3)) for _ in range(2)]
        self.layers = nn.Sequential(conv[0], *_normalised(channels), conv[1], nn.InstanceNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


def _normalised(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels), nn.ReLU(inplace=True)]


def _init(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, std=0.02)
        assert module.bias is not None
        nn.init.zeros_(module.bias)
