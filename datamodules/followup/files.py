"""Scans of the follow-up layout: from files to arrays a network takes, and back onto the file's own grid.

    root/clinical.csv
    root/<hospital>/<patient>/{baseline,followup}/{ct,iph,ivh}.nii.gz

CT in HU, skull-stripped; masks 0/1 on the CT's grid; follow-up on the baseline's grid (`prepare.py` makes it so). The
slice tree of the original code is read too: `slices/<hospital>/<hospital>_<patient>/<time>/<kind>/slice_NNN.nii.gz`
with `slice_thickness.csv` (Patient_ID, slice_thickness in mm) beside `clinical.csv`.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from datamodules.io import find_table, match_ids, number, read_table
from evaluation.volumes import voxel_mm

__all__ = ["Grid", "Scan", "find_patients", "read_scan"]

KINDS = ("ct", "iph", "ivh")
_THICKNESS = (0.1, 20)
"""mm; less is given in cm, more is no head CT."""


@dataclass(frozen=True)
class Grid:
    """Where an array (Z, H, W) lies in the file that it came from.

    Attributes:
        shape: Of the file, three axes.
        affine: (4, 4) of the file.
        size: H = W of the array.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    size: int

    @property
    def spacing(self) -> tuple[float, float, float]:
        """(x, y, z) mm of the array; their product is the volume of a voxel."""
        sizes = voxel_mm(self.affine)
        order = nib.orientations.io_orientation(self.affine)[:, 0]
        return tuple(float(sizes[int(np.flatnonzero(order == axis)[0])]) for axis in range(3))  # type: ignore[return-value]

    def to_array(self, data: np.ndarray) -> np.ndarray:
        """(Z, H, W) from file data: turned to RAS+, then cropped or padded with 0 in plane about the centre."""
        turned = nib.orientations.apply_orientation(data, nib.orientations.io_orientation(self.affine))
        stack = turned.transpose(2, 1, 0)
        out = np.zeros((len(stack), self.size, self.size), stack.dtype)
        there, here = self._windows(stack.shape)
        out[:, *here] = stack[:, *there]
        return out

    def to_file(self, array: np.ndarray, background: np.ndarray) -> np.ndarray:
        """File data from (Z, H, W); voxels that were cropped away are those of `background`, which is file data."""
        orientation = nib.orientations.io_orientation(self.affine)
        stack = nib.orientations.apply_orientation(background, orientation).transpose(2, 1, 0).astype(array.dtype)
        stack = stack.copy()
        there, here = self._windows(stack.shape)
        stack[:, *there] = array[:, *here]
        ras = nib.orientations.axcodes2ornt("RAS")
        back = nib.orientations.ornt_transform(ras, orientation)
        return nib.orientations.apply_orientation(stack.transpose(2, 1, 0), back)

    def _windows(self, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """In-plane windows that correspond: of the whole stack, and of the cropped or padded one."""
        there, here = [], []
        for length in shape[1:]:
            kept = min(length, self.size)
            there.append(slice((length - kept) // 2, (length - kept) // 2 + kept))
            here.append(slice((self.size - kept) // 2, (self.size - kept) // 2 + kept))
        return (there[0], there[1]), (here[0], here[1])


@dataclass(frozen=True)
class Scan:
    """One head CT and its masks.

    Attributes:
        ct: (Z, H, W) float32 in HU.
        iph: (Z, H, W) bool, intraparenchymal haemorrhage.
        ivh: (Z, H, W) bool, intraventricular haemorrhage.
        grid: Of the file.
    """

    ct: np.ndarray
    iph: np.ndarray
    ivh: np.ndarray
    grid: Grid


def find_patients(root: Path) -> dict[str, Path]:
    """Folders of patients below `root`, by id; the id of `slices/<hospital>/<hospital>_<patient>` is `<patient>`.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If two folders have the same id.
    """
    top = root / "slices" if (root / "slices").is_dir() else root
    found: dict[str, Path] = {}
    for folder in sorted(path.parent for path in top.glob("*/*/baseline") if path.is_dir()):
        patient = folder.name.removeprefix(f"{folder.parent.name}_") if top != root else folder.name
        if patient in found:
            raise ValueError(
                f"patient {patient} stands in {found[patient]} and in {folder}: give each an id of its own"
            )
        found[patient] = folder
    if not found:
        raise FileNotFoundError(
            f"no patients in {root}: expected <hospital>/<patient>/baseline/ct.nii.gz; prepare.py makes this layout"
        )
    return found


def read_scan(folder: Path, size: int, *, need_iph: bool) -> Scan:
    """Read and check one time point.

    Args:
        folder: Holds `ct`, `iph` and `ivh`, as `.nii.gz` files or as folders of slices.
        size: Edge in pixels to crop or pad to.
        need_iph: Whether an empty IPH mask is an error (at baseline).

    Returns:
        The scan.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If masks do not lie on the CT's grid or are not 0/1, the CT is not in HU or not finite, the crop
            would cut the bleed, or a needed IPH is empty.
    """
    images = {kind: _read(folder, kind) for kind in KINDS}
    data, affine = images["ct"]
    if not np.isfinite(data).all():
        raise ValueError(f"{folder}/ct: has NaN or infinite voxels")
    if data.max() <= 2:
        raise ValueError(
            f"{folder}/ct: largest value {data.max():g}; expected HU, such as 30 to 80 for brain and blood"
        )
    grid = Grid(data.shape, affine, size)
    masks = {}
    for kind in ("iph", "ivh"):
        mask, mask_affine = images[kind]
        if mask.shape != data.shape or not np.allclose(mask_affine, affine, atol=1e-3):
            raise ValueError(f"{folder}/{kind}: not on the grid of ct ({mask.shape} against {data.shape}, or affine)")
        if not np.isin(mask, (0, 1)).all():
            raise ValueError(f"{folder}/{kind}: values {np.unique(mask)[:5]}; a mask holds 0 and 1 only")
        masks[kind] = grid.to_array(mask.astype(bool))
        if masks[kind].sum() != mask.sum():
            raise ValueError(f"{folder}/{kind}: a crop to {size} pixels cuts the bleed; set a larger image_size")
    if need_iph and not masks["iph"].any():
        raise ValueError(f"{folder}/iph: empty; a follow-up is forecast from an intraparenchymal haemorrhage")
    return Scan(grid.to_array(data), masks["iph"], masks["ivh"], grid)


def _read(folder: Path, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Data and affine of one kind of image."""
    file = folder / f"{kind}.nii.gz"
    if (folder / kind).is_dir():
        return _read_slices(folder / kind)
    if not file.is_file():
        raise FileNotFoundError(f"no {file}, and no folder {folder / kind} of slices")
    image = _load(file)
    data = np.asarray(image.dataobj, dtype=np.float32)
    if data.ndim != 3:
        raise ValueError(f"{file}: {data.ndim} axes of shape {data.shape}; expected a volume")
    return data, image.affine


def _load(file: Path) -> nib.Nifti1Image:
    try:
        return nib.load(file)  # type: ignore[return-value]
    except (nib.filebasedimages.ImageFileError, OSError) as error:
        raise ValueError(f"{file} cannot be read as NIfTI: {error}") from error


def _read_slices(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """A volume from `slice_NNN.nii.gz`; the distance between slices stands in `slice_thickness.csv`."""
    files = sorted(folder.glob("slice_*.nii.gz"))
    if not files:
        raise FileNotFoundError(f"no slice_*.nii.gz in {folder}")
    images = [_load(file) for file in files]
    stack = np.stack([np.asarray(image.dataobj, dtype=np.float32).squeeze() for image in images], axis=-1)
    affine = images[0].affine.copy()
    direction = affine[:3, 2] / np.linalg.norm(affine[:3, 2])
    affine[:3, 2] = direction * _thickness(folder)
    return stack, affine


def _thickness(folder: Path) -> float:
    """Slice thickness in mm of the patient whose slices lie in `slices/<hospital>/<patient>/<time>/<kind>`."""
    table, patient = find_table(folder.parents[4], "slice_thickness"), folder.parents[1].name
    if not table.is_file():
        raise FileNotFoundError(f"no {table}: volumes need the slice thickness (Patient_ID, slice_thickness in mm)")
    rows = read_table(table).by("Patient_ID")
    names = (patient, patient.removeprefix(f"{folder.parents[2].name}_"))
    row = next((rows[name] for name in names if name in rows), None)
    if row is None:
        match_ids(names, rows, table)
        raise ValueError(f"{table} has no row for {patient}")
    thickness = number(row, "slice_thickness", *_THICKNESS)
    if math.isnan(thickness):
        raise ValueError(f"{row.where}: slice_thickness is missing; write it in mm")
    return thickness
