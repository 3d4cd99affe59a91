"""U-Mamba: a residual U-Net with Mamba layers over its features.

Ma et al. 2024 (arXiv:2401.04722); github.com/bowang-lab/U-Mamba, commit 28459e3 (Apache-2.0), whose parameter names are
kept. Different by default: Mamba layers have a residual connection, and every pixel is a token at every stage, so any
input size fits and float16 does not overflow. `released_for` builds the network as released.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from monai.networks.layers.factories import Conv
from torch import Tensor, nn

from medzoo.models.segmentation.blocks import ResidualBlock, ResNetDBlock, init_he
from medzoo.models.state_space import MambaLayer
from medzoo.models.state_space.selective_scan import Method

__all__ = ["UMamba", "upstream_state"]


class UMamba(nn.Module):
    """Logits of an image at every resolution of the decoder.

    Args:
        spatial_dims: 2 or 3.
        in_channels: Channels of the image.
        out_channels: Classes, background included.
        features: Channels of each stage.
        strides: Downsampling of each stage, one entry for each axis; the first is usually 1.
        kernels: Kernel size of each stage, likewise.
        mamba: `none`, the residual U-Net alone; `bot`, a layer at the lowest resolution; `enc`, one after each stage
            (in 2-D after every other one, as released).
        deep_supervision: Return the logits of all decoder stages, not only of the last.
        released_for: Patch size for which to build the network as released: Mamba layers have no residual connection;
            in stages with no more pixels than channels, channels are the tokens, which fixes the input size; in 2-D the
            last decoder stage has no skip connection.
        scan: Method of the selective scan.
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
        mamba: Literal["none", "bot", "enc"] = "enc",
        deep_supervision: bool = True,
        released_for: Sequence[int] | None = None,
        scan: Method = "auto",
    ) -> None:
        super().__init__()
        stages = len(features)
        if len(strides) != stages or len(kernels) != stages:
            raise ValueError(
                f"features, strides and kernels must be equally long: {stages}, {len(strides)}, {len(kernels)}"
            )
        sizes = _sizes(released_for, strides) if released_for else [None] * stages
        layers = {
            stage: MambaLayer(
                width,
                math.prod(size) if mamba == "enc" and size and math.prod(size) <= width else None,
                residual=released_for is None,
                method=scan,
            )
            for stage, (width, size) in enumerate(zip(features, sizes, strict=True))
            if stage in _mamba_stages(mamba, spatial_dims, stages)
        }
        self.encoder = _Encoder(spatial_dims, in_channels, features, strides, kernels, layers if mamba == "enc" else {})
        self.mamba_layer = layers[stages - 1] if mamba == "bot" else nn.Identity()
        last_skip = released_for is None or spatial_dims == 3
        self.decoder = _Decoder(spatial_dims, out_channels, features, kernels, deep_supervision, last_skip)
        for part in (self.encoder.stem, self.encoder.stages, self.decoder):
            part.apply(init_he)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, in_channels, *spatial) to logits, full resolution first: [(B, out_channels, *spatial), ...].

        Sides that the strides do not divide are rounded up in the encoder.
        """
        skips = self.encoder(x)
        skips[-1] = self.mamba_layer(skips[-1])
        return self.decoder(skips)


class _Encoder(nn.Module):
    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        features: Sequence[int],
        strides: Sequence[Sequence[int]],
        kernels: Sequence[Sequence[int]],
        layers: dict[int, MambaLayer],
    ) -> None:
        super().__init__()
        blocks = [2 if stage < math.ceil(len(features) / 2) else 1 for stage in range(len(features))]
        ones = (1,) * spatial_dims
        self.stem = _stage(spatial_dims, in_channels, features[0], kernels[0], ones, blocks[0])
        widths = [features[0], *features]
        self.stages = nn.ModuleList(
            _stage(spatial_dims, before, after, kernel, stride, count)
            for before, after, kernel, stride, count in zip(
                widths[:-1], features, kernels, strides, blocks, strict=True
            )
        )
        self.mamba_layers = nn.ModuleList(layers.get(stage, nn.Identity()) for stage in range(len(features)))

    def forward(self, x: Tensor) -> list[Tensor]:
        x, features = self.stem(x), []
        for stage, layer in zip(self.stages, self.mamba_layers, strict=True):
            x = layer(stage(x))
            features.append(x)
        return features


class _Decoder(nn.Module):
    def __init__(
        self,
        spatial_dims: int,
        out_channels: int,
        features: Sequence[int],
        kernels: Sequence[Sequence[int]],
        deep_supervision: bool,
        last_skip: bool,
    ) -> None:
        super().__init__()
        self.deep_supervision, self.last_skip = deep_supervision, last_skip
        conv, count = Conv[Conv.CONV, spatial_dims], len(features) - 1
        two = math.ceil(count / 2 + 0.5)  # number of stages with two blocks
        self.upsample_layers, self.stages, self.seg_layers = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for index in range(count):
            below, skip = features[-1 - index], features[-2 - index]
            ones = (1,) * spatial_dims
            self.upsample_layers.append(_Upsample(conv(below, skip, 1)))
            blocks = 2 if index < two else 1
            width = 2 * skip if last_skip or index < count - 1 else skip
            self.stages.append(_stage(spatial_dims, width, skip, kernels[-2 - index], ones, blocks))
            self.seg_layers.append(conv(skip, out_channels, 1))

    def forward(self, skips: list[Tensor]) -> list[Tensor]:
        x = skips[-1]
        logits: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            skip, last = skips[-2 - index], index == len(self.stages) - 1
            x = self.upsample_layers[index](x, skip.shape[2:])
            x = stage(x if last and not self.last_skip else torch.cat([x, skip], dim=1))
            if self.deep_supervision or last:
                logits.insert(0, self.seg_layers[index](x))
        return logits


class _Upsample(nn.Module):
    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        return self.conv(F.interpolate(x, list(size), mode="nearest"))


def upstream_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a U-Mamba trained with the authors' code, under the names used here.

    Their decoder and blocks list some modules under a second name; these copies are dropped.

    Args:
        state: `network_weights` of a checkpoint, read with `weights_only=True`.

    Returns:
        A state that `UMamba(..., released_for=patch).load_state_dict` takes.
    """
    kept = {name: value for name, value in state.items() if ".all_modules." not in name}
    return {name: value for name, value in kept.items() if not name.startswith("decoder.encoder.")}


def _stage(
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    kernel: Sequence[int],
    stride: Sequence[int],
    blocks: int,
) -> nn.Sequential:
    more = [ResNetDBlock(spatial_dims, out_channels, kernel) for _ in range(blocks - 1)]
    return nn.Sequential(ResidualBlock(spatial_dims, in_channels, out_channels, kernel, stride), *more)


def _mamba_stages(mamba: str, spatial_dims: int, stages: int) -> set[int]:
    if mamba == "none":
        return set()
    if mamba == "bot":
        return {stages - 1}
    return {stage for stage in range(stages) if spatial_dims == 3 or (stage % 2) != (stages % 2)}


def _sizes(patch: Sequence[int], strides: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    sizes, size = [], tuple(patch)
    for stride in strides:
        size = tuple(axis // step for axis, step in zip(size, stride, strict=True))
        sizes.append(size)
    return sizes
