"""The U-Net of Models Genesis.

Zhou et al. 2021 (Medical Image Analysis, arXiv:2004.07882). Written from the architecture: their code is free for
non-commercial use only. With the default sizes it is their network of 19.1 million weights, without the final
sigmoid, which belongs to the objective (`lightning_modules.RestorationModule`).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from monai.networks.layers.factories import Conv, Norm, Pool
from torch import Tensor, nn

from medzoo.models.segmentation.padding import crop

__all__ = ["GenesisUNet", "upstream_genesis_state"]

Sizes = Sequence[int | Sequence[int]]


class GenesisUNet(nn.Module):
    """Two convolutions with batch norm and ReLU per stage, max pooling, transposed convolutions, concatenated skips.

    Args:
        spatial_dims: 2 or 3.
        in_channels: Channels of the image.
        out_channels: Classes, background included; as many as `in_channels` to restore images.
        features: Channels of each stage; the first convolution of an encoder stage has half of them.
        strides: Pooling before each stage, one number for all axes or one for each; the first is 1.
        kernels: Kernel size of each stage, likewise; odd.
        batch_statistics: Normalise by batch statistics in evaluation too, as the original does: a prediction then
            depends on the other images of the batch. False uses running statistics, as usual.
        deep_supervision: Return the logits of all decoder stages, not only of the last; the original has none.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        features: Sequence[int] = (64, 128, 256, 512),
        strides: Sizes = (1, 2, 2, 2),
        kernels: Sizes = (3, 3, 3, 3),
        *,
        batch_statistics: bool = True,
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        conv, up = Conv[Conv.CONV, spatial_dims], Conv[Conv.CONVTRANS, spatial_dims]
        pool = Pool[Pool.MAX, spatial_dims]
        norm = _BatchStatisticsNorm if batch_statistics else Norm[Norm.BATCH, spatial_dims]
        steps, sides = ([_axes(size, spatial_dims) for size in sizes] for sizes in (strides, kernels))
        if not len(features) == len(steps) == len(sides):
            raise ValueError(
                f"features, strides and kernels must be equally long: {len(features)}, {len(steps)}, {len(sides)}"
            )
        if set(steps[0]) != {1}:
            raise ValueError(f"strides[0] is {strides[0]}: nothing is pooled before the first stage, so it must be 1")
        self.encoder, self.pools, self.up, self.decoder, self.heads = (nn.ModuleList() for _ in range(5))
        for before, after, kernel, step in zip([in_channels, *features[:-1]], features, sides, steps, strict=True):
            self.pools.append(pool(step, step, ceil_mode=True))
            self.encoder.append(_stage(conv, norm, (before, after // 2, after), kernel))
        for here, below, kernel, step in zip(features[:-1], features[1:], sides[:-1], steps[1:], strict=True):
            self.up.append(up(below, below, step, step))
            self.decoder.append(_stage(conv, norm, (here + below, here, here), kernel))
            self.heads.append(conv(here, out_channels, 1))
        if not deep_supervision:
            self.heads = self.heads[:1]

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, in_channels, *spatial) to logits, full resolution first: [(B, out_channels, *spatial), ...].

        Sides that the strides do not divide are rounded up in the encoder and cropped in the decoder.
        """
        skips = []
        for pool, stage in zip(self.pools, self.encoder, strict=True):
            x = stage(pool(x))
            skips.append(x)
        x = skips.pop()
        outputs: list[Tensor] = []
        for up, stage in zip(reversed(self.up), reversed(self.decoder), strict=True):
            skip = skips.pop()
            x = stage(torch.cat([crop(up(x), skip.shape[2:]), skip], dim=1))
            outputs.insert(0, x)
        return [head(x) for head, x in zip(self.heads, outputs, strict=False)]


class _BatchStatisticsNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm that always uses batch statistics; running ones are tracked for use in other networks.

    A channel with a single value has no statistics; evaluation then falls back on the running ones.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        if self.training or x.numel() == x.shape[1]:
            return super().forward(x)
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


def _stage(
    conv: type[nn.Module], norm: type[nn.Module], channels: Sequence[int], kernel: Sequence[int]
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [conv(before, after, kernel, padding=[side // 2 for side in kernel]), norm(after)]
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _axes(size: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    return (size,) * spatial_dims if isinstance(size, int) else tuple(size)


def upstream_genesis_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights that were trained with the authors' code, under the names used here.

    Args:
        state: `state_dict` of their file, read with `weights_only=True`, with or without `module.` before the names.

    Returns:
        A state that `GenesisUNet(3, 1, 1).load_state_dict` takes.

    Raises:
        ValueError: If a name is not one of theirs.
    """
    return {_renamed(name.removeprefix("module.")): weight for name, weight in state.items()}


def _renamed(name: str) -> str:
    """`down_tr128.ops.1.bn1.weight` to `encoder.1.4.weight`: stages count from the full resolution on."""
    part, *inner, kind = name.split(".")
    way, _, width = part.partition("_tr")
    level = {"64": 0, "128": 1, "256": 2, "512": 3}.get(width)
    match way, level, inner:
        case "out", None, ["final_conv"]:
            return f"heads.0.{kind}"
        case "up", int(), ["up_conv"]:
            return f"up.{level}.{kind}"
        case "down" | "up", int(), ["ops", "0" | "1" as place, "conv1" | "bn1" as layer]:
            side = "encoder" if way == "down" else "decoder"
            return f"{side}.{level}.{3 * int(place) + (layer == 'bn1')}.{kind}"
    raise ValueError(f"{name} is no parameter of the U-Net of Models Genesis")
