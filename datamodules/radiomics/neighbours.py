"""Grey levels of the neighbours of each masked voxel, the basis of all texture features."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from medzoo.datamodules.radiomics.regions import Regions

__all__ = ["Neighbours", "directions"]


def directions(dims: int) -> list[tuple[int, ...]]:
    """One of each pair of opposite steps to a neighbour: 4 in 2-D, 13 in 3-D."""
    return [step for step in product((0, 1, -1), repeat=dims) if step > tuple(-part for part in step)]


@dataclass(frozen=True)
class Neighbours:
    """Looks up the neighbours of masked voxels in a padded grid, so that no step leaves it."""

    regions: Regions
    levels: np.ndarray
    """(V,) grey levels, starting at 1."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid: (N, *size + 2)."""
        return (len(self.regions.counts), *(edge + 2 for edge in self.regions.size))

    @cached_property
    def at(self) -> np.ndarray:
        """(V,) indices of the voxels in the flattened grid."""
        return np.ravel_multi_index((self.regions.image, *(self.regions.position + 1).T), self.shape)

    @cached_property
    def voxels(self) -> np.ndarray:
        """The flattened grid of 1 + voxel index; 0 outside every mask."""
        grid = np.zeros(np.prod(self.shape), np.int32)
        grid[self.at] = np.arange(1, len(self.at) + 1)
        return grid

    @cached_property
    def grid(self) -> np.ndarray:
        """The flattened grid of levels; 0 outside every mask."""
        grid = np.zeros(np.prod(self.shape), np.int32)
        grid[self.at] = self.levels
        return grid

    def offset(self, step: tuple[int, ...]) -> int:
        """Distance of a step in the flattened grid."""
        strides = np.cumprod((1, *self.shape[:1:-1]))[::-1]
        return int(np.dot(step, strides))

    def beside(self, step: tuple[int, ...]) -> np.ndarray:
        """(V,) levels one step away; 0 outside the mask."""
        return self.grid.take(self.at + self.offset(step))
