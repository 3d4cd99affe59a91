"""Resample a stack of slices with individual positions to one even, orthogonal grid.

With a tilted gantry the stack is a sheared box: the table moves along z while the slices are tilted. Each slice is
moved in plane to its true position, so the planes stay as acquired (oblique in the patient) and only one axis is
interpolated for the tilt. Uneven slice distances are then interpolated linearly along the normal.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from medzoo.datamodules.io.volumes.grid import LPS, Grid, to_itk

__all__ = ["Slices"]

log = logging.getLogger(__name__)

_MAX_GAP = 12.0  # mm; slices of head CT are up to 10 mm apart, and a wider gap cannot be interpolated
_IN_PLACE = 0.1  # mm; smaller offsets are rounding in the headers


@dataclass
class Slices:
    """Parallel slices as acquired.

    Args:
        pixels: (slices, rows, columns), sorted along the normal.
        positions: (slices, 3), LPS position in mm of the first pixel's centre.
        row: Unit vector (LPS) of growing column index.
        column: Unit vector (LPS) of growing row index.
        spacing: Distance in mm between rows, and between columns.
        source: Their folder or file, for messages.
        series: Series Instance UID, empty if missing.
        hounsfield: Whether they are CT in HU; voxels that no slice covers are then air, else 0.
    """

    pixels: np.ndarray
    positions: np.ndarray
    row: np.ndarray
    column: np.ndarray
    spacing: tuple[float, float]
    source: Path
    series: str = ""
    hounsfield: bool = True

    def __post_init__(self) -> None:
        widest = float(np.diff(self.heights).max())
        if widest > _MAX_GAP:
            raise ValueError(
                f"{self.source}: {widest:.1f} mm between two slices; at most {_MAX_GAP:g} mm can be bridged, "
                "get the missing slices"
            )

    @property
    def normal(self) -> np.ndarray:
        """Unit vector (LPS) in which the slices are sorted."""
        return np.cross(self.row, self.column)

    @property
    def heights(self) -> np.ndarray:
        """Position of each slice along the normal, in mm from the first."""
        return (self.positions - self.positions[0]) @ self.normal

    @property
    def tilt(self) -> float:
        """Angle in degrees between the normal and the direction in which the slices are stacked."""
        stacking = self.positions[-1] - self.positions[0]
        return float(np.degrees(np.arccos(np.clip(self.normal @ stacking / np.linalg.norm(stacking), -1, 1))))

    def is_even(self) -> bool:
        """Whether all slices lie within a twentieth of the slice distance of an even grid."""
        even = np.linspace(0, self.heights[-1], len(self.heights))
        return bool(np.abs(self.heights - even).max() < 0.05 * even[1])

    def to_image(self, spacing: float | None = None) -> sitk.Image:
        """Resample the slices to an even, orthogonal grid that covers all of them.

        Args:
            spacing: Slice distance in mm if slices are uneven; None takes the median.

        Returns:
            int16 image in HU; voxels that no slice covers are air.
        """
        return to_itk(self.to_array(spacing), self.grid(spacing).file_affine)

    def to_array(self, spacing: float | None = None) -> np.ndarray:
        """The values of `to_image`, in the order slices, rows, columns; float32 if they are not in HU."""
        gaps = np.diff(self.heights)
        if not self.is_even():
            log.warning(
                "%s: slices are %.2f to %.2f mm apart; interpolated linearly to %.2f mm",
                self.source,
                gaps.min(),
                gaps.max(),
                self._step(spacing),
            )
        if self.tilt > 0.5:
            log.info("%s: gantry tilt of %.1f deg; slices moved onto an orthogonal grid", self.source, self.tilt)
        volume = self._resample(self.pixels, spacing, order=1, outside=-1024 if self.hounsfield else 0)
        return np.rint(volume).astype(np.int16) if self.hounsfield else volume

    def grid(self, spacing: float | None = None) -> Grid:
        """The affine of `to_image`; axes are columns, rows, slices."""
        corner = -self._offsets()[0] * self.spacing  # from the first slice's first pixel, along columns and rows
        lps = np.eye(4)
        lps[:3, :3] = np.stack(
            [self.row * self.spacing[1], self.column * self.spacing[0], self.normal * self._step(spacing)], 1
        )
        lps[:3, 3] = self.positions[0] + corner[0] * self.column + corner[1] * self.row
        rows, columns = self._plane()
        return Grid((columns, rows, len(self._places(spacing))), LPS @ lps)

    def mask_to_image(self, mask: np.ndarray, spacing: float | None = None) -> sitk.Image:
        """Resample a mask drawn on the slices to the grid of `to_image`, by nearest neighbour.

        Args:
            mask: (slices, rows, columns).
            spacing: As for `to_image`.

        Returns:
            uint8 image.
        """
        drawn = self._resample(mask, spacing, order=0, outside=0).astype(np.uint8)
        return to_itk(drawn, self.grid(spacing).file_affine)

    def _step(self, spacing: float | None) -> float:
        """Slice distance of the even grid in mm."""
        if self.is_even():
            return float(self.heights[-1]) / (len(self.heights) - 1)
        return spacing or float(np.median(np.diff(self.heights)))

    def _offsets(self) -> np.ndarray:
        """In-plane offset (slices, 2) of each slice, in rows and columns from the grid's corner."""
        offsets = (self.positions - self.positions[0]) @ np.stack([self.column, self.row], 1)
        if np.abs(offsets).max() < _IN_PLACE:
            offsets = np.zeros_like(offsets)
        return (offsets - offsets.min(0)) / self.spacing

    def _plane(self) -> tuple[int, int]:
        """Rows and columns that cover all slices."""
        rows, columns = np.array(self.pixels.shape[1:]) + np.ceil(self._offsets().max(0) - 1e-6).astype(int)
        return int(rows), int(columns)

    def _places(self, spacing: float | None) -> np.ndarray:
        """Fractional index of each slice of the even grid among the acquired slices."""
        if self.is_even():
            return np.arange(len(self.pixels))
        even = np.arange(0, self.heights[-1] + 1e-3, self._step(spacing))
        return np.interp(even, self.heights, np.arange(len(self.pixels)))

    def _resample(self, volume: np.ndarray, spacing: float | None, *, order: int, outside: float) -> np.ndarray:
        offsets, moved = self._offsets(), volume
        if offsets.any():
            moved = np.stack(
                [
                    ndimage.affine_transform(
                        plane, np.ones(2), -offset, self._plane(), order=order, mode="grid-constant", cval=outside
                    )
                    for plane, offset in zip(volume, offsets, strict=True)
                ]
            )
        if self.is_even():
            return moved
        place = self._places(spacing)
        if order == 0:
            return moved[np.rint(place).astype(int)]
        lower = np.minimum(place.astype(int), len(moved) - 2)
        weight = (place - lower)[:, None, None].astype(np.float32)
        return (1 - weight) * moved[lower] + weight * moved[lower + 1]
