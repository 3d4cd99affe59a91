"""The corruptions that Models Genesis learns to undo, in 2-D and 3-D.

Zhou et al. 2021, "Models Genesis", Medical Image Analysis (MICCAI 2019 first). The released code
(github.com/MrGiovanni/ModelsGenesis) is non-commercial: this is written from the facts of the method, none of its code
is used. Different here: all randomness comes from one torch generator, the blocks of a shuffle are made together, and
ranges are clamped where an image is so small that they would be empty.
"""

import torch
from torch import Tensor

__all__ = ["GenesisCorruption", "bezier_curve", "in_painting", "local_shuffle", "non_linear", "out_painting"]

_SAMPLES = 100_000  # points of an intensity curve
_AGAIN = 0.95  # probability of another window of noise
_BORDER = 3  # voxels that windows keep from the border of the image


class GenesisCorruption:
    """Shuffling of small blocks, a non-linear map of intensities, painting with noise; in this order, each by chance.

    With all probabilities at 0 it is the identity.

    Args:
        flip: Probability of a first, a second and a third flip, along random axes, of image and target alike.
        shuffle: Probability of `local_shuffle`.
        nonlinear: Probability of `non_linear`.
        paint: Probability of painting.
        inpaint: Share of `in_painting` of that; the rest is `out_painting`.
        blocks: Blocks of a shuffle. The published 10,000 are for cubes of 64 x 64 x 32, whose voxels they cover twice.

    Raises:
        ValueError: If a probability is none, or there are no blocks.
    """

    def __init__(
        self,
        *,
        flip: float = 0.4,
        shuffle: float = 0.5,
        nonlinear: float = 0.9,
        paint: float = 0.9,
        inpaint: float = 0.2,
        blocks: int = 10_000,
    ) -> None:
        self.flip, self.shuffle, self.nonlinear, self.paint, self.inpaint = flip, shuffle, nonlinear, paint, inpaint
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"{name}={value}: a probability lies between 0 and 1")
        if blocks < 1:
            raise ValueError(f"blocks={blocks}: a shuffle needs at least one")
        self.blocks = blocks

    def __call__(self, image: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, list[str]]:
        """Corrupt one image (C, *spatial), float in [0, 1], by a generator on the CPU.

        Returns:
            The corrupted image, what it should be restored to (the image, flipped where it was flipped), and the names
            of what was done, in order.

        Raises:
            ValueError: If intensities lie outside [0, 1].
        """
        if image.min() < 0 or image.max() > 1:
            raise ValueError(f"intensities reach from {image.min():g} to {image.max():g}: bring them to 0 to 1 first")
        done = []
        for _ in range(3):
            if not _chance(self.flip, generator):
                break
            axis = _integer(1, image.ndim - 1, generator)
            image = image.flip(axis)
            done.append(f"flip {axis - 1}")
        corrupted = image.clone()
        if _chance(self.shuffle, generator):
            corrupted = local_shuffle(corrupted, generator, self.blocks)
            done.append("shuffle")
        if _chance(self.nonlinear, generator):
            corrupted = non_linear(corrupted, generator)
            done.append("non-linear")
        if _chance(self.paint, generator):
            inside = _chance(self.inpaint, generator)
            corrupted = (in_painting if inside else out_painting)(corrupted, generator)
            done.append("in-painting" if inside else "out-painting")
        return corrupted, image, done


def local_shuffle(image: Tensor, generator: torch.Generator, blocks: int = 10_000) -> Tensor:
    """Permute the voxels of random blocks, whose sides are 1 to a tenth of the image's; later blocks lie over earlier.

    All channels of an image (C, *spatial) are permuted alike. Blocks are read from `image`, so what a voxel of the new
    one holds comes from less than a block's side away.
    """
    size = torch.tensor(image.shape[1:])
    largest = (size // 10).clamp(min=1)
    sides = 1 + (torch.rand(blocks, len(size), generator=generator) * largest).long()
    corners = (torch.rand(blocks, len(size), generator=generator) * (size - sides + 1)).long()
    cells = torch.cartesian_prod(*map(torch.arange, largest.tolist())).view(-1, len(size))  # of the largest block
    inside = (cells < sides[:, None]).all(-1)  # (blocks, cells)
    strides = torch.tensor(image[0].contiguous().stride())
    places = ((corners[:, None] + cells) * strides).sum(-1)
    keys = torch.rand(inside.shape, generator=generator).masked_fill(~inside, 2.0)
    sources = places.gather(1, keys.argsort(1))  # the cells of a block in random order, then what lies outside of it
    targets = places.gather(1, (~inside).byte().argsort(dim=1, stable=True))
    used = torch.arange(len(cells)) < inside.sum(1, keepdim=True)
    numbers = torch.arange(blocks)[:, None].expand_as(used)
    top = torch.full((image[0].numel(),), -1).scatter_reduce(0, targets[used], numbers[used], "amax")
    used = used & (top[targets.clamp(max=len(top) - 1)] == numbers)
    shuffled = image.flatten(1).clone()
    shuffled[:, targets[used]] = image.flatten(1)[:, sources[used]]
    return shuffled.view_as(image)


def non_linear(image: Tensor, generator: torch.Generator) -> Tensor:
    """Map intensities in [0, 1] along a random Bezier curve, rising or, in half of the images, falling.

    The original sorts the abscissae of the curve's points, and in half of the cases the ordinates too. A curve between
    these end points is monotone in both, so what comes of the other half is the curve upside down.
    """
    falling = _chance(0.5, generator)
    x, y = bezier_curve(torch.rand(4, generator=generator))
    y = y.flip(0) if falling else y
    values = image.double()
    right = torch.searchsorted(x, values).clamp(1, _SAMPLES - 1)
    share = (values - x[right - 1]) / (x[right] - x[right - 1]).clamp(min=1e-12)
    return torch.lerp(y[right - 1], y[right], share.clamp(0, 1)).to(image)


def bezier_curve(inner: Tensor) -> tuple[Tensor, Tensor]:
    """Points of the cubic Bezier curve from (0, 0) over (u1, u2) and (u3, u4), `inner` (4,) in [0, 1], to (1, 1).

    Returns:
        Abscissae and ordinates (100,000,) float64 in [0, 1], neither ever falling.
    """
    t = torch.linspace(0, 1, _SAMPLES, dtype=torch.float64)
    first, second, third = 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
    u1, u2, u3, u4 = inner.double()
    # rounding alone could make the last bits fall
    return tuple((u * first + v * second + third).cummax(0).values for u, v in ((u1, u3), (u2, u4)))


def in_painting(image: Tensor, generator: torch.Generator) -> Tensor:
    """Up to five windows of noise from U(0, 1), each side a sixth to a third of the image's."""
    painted, size = image.clone(), image.shape[1:]
    for _ in range(5):
        if not _chance(_AGAIN, generator):
            break
        window = _window([_integer(max(1, n // 6), max(1, n // 3), generator) for n in size], size, generator)
        painted[window] = torch.rand(painted[window].shape, generator=generator, dtype=image.dtype)
    return painted


def out_painting(image: Tensor, generator: torch.Generator) -> Tensor:
    """Noise from U(0, 1) everywhere but in one to five windows, each side three to four sevenths of the image's."""
    painted, size = torch.rand(image.shape, generator=generator, dtype=image.dtype), image.shape[1:]
    for number in range(5):
        if number and not _chance(_AGAIN, generator):
            break
        sides = [max(1, n - _integer(3 * n // 7, 4 * n // 7, generator)) for n in size]
        window = _window(sides, size, generator)
        painted[window] = image[window]
    return painted


def _window(sides: list[int], size: torch.Size, generator: torch.Generator) -> tuple[slice, ...]:
    """Slices of all channels of a window somewhere in the image, off its border where there is room."""
    parts = [slice(None)]
    for side, whole in zip(sides, size, strict=True):
        border = min(_BORDER, (whole - side) // 2)
        start = _integer(border, whole - side - border, generator)
        parts.append(slice(start, start + side))
    return tuple(parts)


def _chance(probability: float, generator: torch.Generator) -> bool:
    return float(torch.rand((), generator=generator)) < probability


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    """From `low` to `high`, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))
