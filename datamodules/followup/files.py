"""Scans of the follow-up layout: read as arrays for a network, and put back on the file's own grid.

    root/clinical.csv
    root/<hospital>/<patient>/{baseline,followup}/{ct,iph,ivh}.nii.gz (ct: or a folder with a DICOM series)

CT in HU, skull-stripped; masks 0/1 on the CT's grid; follow-up on the baseline's grid (`prepare.py` makes it so). The
slice tree of the original code is read too: `slices/<hospital>/<hospital>_<patient>/<time>/<kind>/slice_NNN.nii.gz`
with `slice_thickness.csv` (Patient_ID, slice_thickness in mm) beside `clinical.csv`.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medzoo.datamodules import io
from medzoo.datamodules.io import Grid, Volume, find_table, match_ids, number, read_table, spelt

__all__ = ["Scan", "find_patients", "fitted", "put_back", "read_scan", "read_volume", "thickness_table"]

_THICKNESS = (0.1, 20)
"""mm; lower values are in cm, higher ones are not head CT."""


@dataclass(frozen=True)
class Scan:
    """One head CT and its masks."""

    ct: np.ndarray  # (Z, H, W) float32 in HU
    iph: np.ndarray  # (Z, H, W) bool, intraparenchymal haemorrhage
    ivh: np.ndarray  # (Z, H, W) bool, intraventricular haemorrhage
    grid: Grid  # of the file; arrays are the middle of it


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
            raise ValueError(f"patient {patient} is in both {found[patient]} and {folder}: give each an id of its own")
        found[patient] = folder
    if not found:
        raise FileNotFoundError(
            f"no patients in {root}: expected <hospital>/<patient>/baseline/ct.nii.gz; prepare.py makes this layout"
        )
    return found


def read_scan(folder: Path, size: int, *, need_iph: bool) -> Scan:
    """Read and check one time point, cropped or padded to H = W = `size` pixels.

    Args:
        folder: Holds `ct`, `iph` and `ivh`, as `.nii.gz` files, as folders of slices, or the CT as a folder of DICOM.
        size: Edge in pixels to crop or pad to.
        need_iph: Whether an empty IPH mask is an error (at baseline).

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If masks are not on the CT's grid or not 0/1, the CT is not in HU or not finite, the crop would cut
            the bleed, or a needed IPH mask is empty.
    """
    ct = read_volume(folder, "ct")
    io.check_hu(ct.array, _place(folder, "ct"), stripped=True)
    masks = {}
    for kind in ("iph", "ivh"):
        file, volume = _place(folder, kind), read_volume(folder, kind)
        io.check_same_grid(file, volume.grid, _place(folder, "ct"), ct.grid)
        mask = io.label_map(volume.array, file, (0, 1)).astype(bool)
        masks[kind] = fitted(mask, size)
        if masks[kind].sum() != mask.sum():
            raise ValueError(f"{file}: a crop to {size} pixels cuts the bleed; set a larger image_size")
    if need_iph and not masks["iph"].any():
        file = _place(folder, "iph")
        raise ValueError(f"{file}: empty; a follow-up is forecast from an intraparenchymal haemorrhage")
    return Scan(fitted(ct.array.astype(np.float32), size), masks["iph"], masks["ivh"], ct.grid)


def fitted(stack: np.ndarray, size: int) -> np.ndarray:
    """Crop or pad (Z, Y, X) with 0 in plane about the centre, to (Z, size, size)."""
    out = np.zeros((len(stack), size, size), stack.dtype)
    there, here = _windows(stack.shape, size)
    out[:, *here] = stack[:, *there]
    return out


def put_back(array: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Undo `fitted`: (Z, H, W) to (Z, Y, X), with cropped voxels taken from `background` (Z, Y, X)."""
    stack = background.astype(array.dtype)
    there, here = _windows(stack.shape, array.shape[-1])
    stack[:, *there] = array[:, *here]
    return stack


def _windows(shape: tuple[int, ...], size: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Corresponding in-plane windows of the whole stack and of the cropped or padded one."""
    there, here = [], []
    for length in shape[1:]:
        kept = min(length, size)
        there.append(slice((length - kept) // 2, (length - kept) // 2 + kept))
        here.append(slice((size - kept) // 2, (size - kept) // 2 + kept))
    return (there[0], there[1]), (here[0], here[1])


def _place(folder: Path, kind: str) -> Path:
    """Path of one kind of image: a file or a folder of slices."""
    return folder / kind if (folder / kind).is_dir() else spelt(folder / f"{kind}.nii.gz")


def read_volume(folder: Path, kind: str) -> Volume:
    """Read `ct`, `iph` or `ivh` of one time point, as `io.read_volume` does.

    Raises:
        FileNotFoundError: If there is neither a file nor a folder of slices.
        ValueError: If it cannot be read.
    """
    place = _place(folder, kind)
    if place.is_dir():
        return io.read_volume(place) if io.holds_dicom(place) else _read_slices(place)
    if not place.is_file():
        raise FileNotFoundError(f"no {place}, and no folder {folder / kind} of slices")
    return io.read_volume(place)


def _read_slices(folder: Path) -> Volume:
    """Read a volume from `slice_NNN.nii.gz`; `slice_thickness.csv` has the distance between slices."""
    files = io.listed(folder, "slice_*.nii.gz")
    if not files:
        raise FileNotFoundError(f"no slice_*.nii.gz in {folder}")
    slices = [io.read_volume(file) for file in files]
    data = [one.grid.to_file(one.array) for one in slices]
    for file, one in zip(files, data, strict=True):
        if one.shape != (*data[0].shape[:2], 1):
            raise ValueError(f"{file}: {one.shape} voxels, but {files[0].name} has {data[0].shape}; expected one slice")
    affine = slices[0].grid.file_affine.copy()
    affine[:3, 2] *= _thickness(folder) / np.linalg.norm(affine[:3, 2])
    stack = np.concatenate(data, axis=2)
    grid = Grid(stack.shape, affine)
    return Volume(grid.to_array(stack), grid)


def thickness_table(folder: Path) -> Path:
    """Where the table of slice thicknesses is or would be, for a patient's folder `slices/<hospital>/<patient>`."""
    return find_table(folder.parents[2], "slice_thickness")


def _thickness(folder: Path) -> float:
    """Slice thickness in mm of the patient with slices in `slices/<hospital>/<patient>/<time>/<kind>`."""
    table, patient = thickness_table(folder.parents[1]), folder.parents[1].name
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
