"""Reads one file into an array: the zoo's reader of each format, and the usual library.

A head CT (int16, 40 slices of 384 x 384 pixels, smooth tissue with noise in air) is written as NIfTI, NRRD, MetaImage
and npy, and as a DICOM series of 40 files. A grey PNG of 1024 x 1024 pixels and a CSV of 10,000 rows (an id, seven
numbers and a word) are added. The zoo's side is `medzoo.datamodules.io`: `read_volume`, `read_picture` and
`read_table`, with all their checks (size against header, checksums, geometry, finite values; for DICOM positions,
duplicates, gaps and units). The peers do what a script would do: nibabel with `as_closest_canonical`, SimpleITK with
`DICOMOrient`, MONAI's `LoadImage` with `Orientation`; for DICOM, SimpleITK's series reader and a pydicom loop; for the
rest, `np.load`, Pillow and pandas. None of them checks as much. Both sides return volumes as a contiguous array z, y, x
in RAS, pictures as float32 and tables as text, and must agree before anything is timed. They take turns on warm files,
in one thread, and medians are compared.

Each system used to have its own readers (commit 2f8aa69). Compared with those, in turn on the same files and by
CPU time, NIfTI takes 0.99 (compressed) and 1.0 to 1.1 (uncompressed) times as long, a PNG 0.94 to 1.0, a DICOM series
1.2, because its headers are read before its pixels, and a CSV 1.7 to 2.7, because it is stripped of blanks, its lines
are counted, and decimal commas are detected.
"""

import csv
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import SimpleITK as sitk
from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Orientation
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy import ndimage

from benchmarks.tables.row import Row, print_rows
from medzoo.datamodules.io import read_table, read_volume
from medzoo.datamodules.io.pictures.pages import read_picture

__all__ = ["run", "write_files"]

SPACING = (0.5, 0.5, 4.0)  # mm, x, y, z
Reader = Callable[[Path], Any]
_MONAI = Compose([LoadImage("NibabelReader", dtype=np.int16), EnsureChannelFirst(), Orientation("RAS", labels=None)])


def run(*, size: tuple[int, int, int] = (40, 384, 384), rows: int = 10_000, rounds: int = 11) -> list[Row]:
    """Read each file with both sides, in turn.

    Args:
        size: Slices, rows and columns of the CT.
        rows: Rows of the table.
        rounds: Timed reads per side; medians are compared.

    Returns:
        One row per format and peer, in milliseconds per file.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), size, rows)
        return [_compare(files[name], name, peer, *pair, rounds) for name, peer, pair in _pairs()]


def _pairs() -> Iterator[tuple[str, str, tuple[Reader, Reader]]]:
    """Format, peer, and the readers of both."""

    def ours(file: Path) -> np.ndarray:
        return read_volume(file).array

    for name in ("nii.gz", "nii"):
        yield name, "nibabel", (ours, _by_nibabel)
        yield name, "SimpleITK", (ours, _by_simpleitk)
        yield name, "MONAI", (ours, _by_monai)
    for name in ("nrrd", "mha"):
        yield name, "SimpleITK", (ours, _by_simpleitk)
    yield "npy", "np.load", (ours, np.load)
    yield "dicom", "SimpleITK", (ours, _series_by_simpleitk)
    yield "dicom", "pydicom", (ours, _series_by_pydicom)
    yield "png", "Pillow", (read_picture, lambda file: np.asarray(Image.open(file), np.float32))
    yield "csv", "pandas", (_our_cells, lambda file: pd.read_csv(file, dtype=str, keep_default_na=False).to_numpy())


def _compare(file: Path, name: str, peer: str, ours: Reader, theirs: Reader, rounds: int) -> Row:
    first, second = ours(file), theirs(file)
    if not np.array_equal(first, second):
        raise AssertionError(f"{name}: zoo and {peer} read different values")
    seconds = [(_seconds(partial(ours, file)), _seconds(partial(theirs, file))) for _ in range(rounds)]
    zoo, other = (1000 * statistics.median(side) for side in zip(*seconds, strict=True))
    return Row(f"{name}, peer {peer}", "ms", zoo, other, higher_is_better=False, remark="equal values")


def _seconds(read: Callable[[], Any]) -> float:
    start = time.perf_counter()
    read()
    return time.perf_counter() - start


def _by_nibabel(file: Path) -> np.ndarray:
    image = nib.as_closest_canonical(nib.load(file))
    return np.ascontiguousarray(np.asarray(image.dataobj).T)  # type: ignore[attr-defined]


def _by_simpleitk(file: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(file)), "RAS"))


def _by_monai(file: Path) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(_MONAI(file))[0].T)


def _series_by_simpleitk(folder: Path) -> np.ndarray:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return sitk.GetArrayFromImage(sitk.DICOMOrient(reader.Execute(), "RAS"))


def _series_by_pydicom(folder: Path) -> np.ndarray:
    slices = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda one: one.ImagePositionPatient[2])
    pixels = [one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in slices]
    return np.stack(pixels).astype(np.int16)[:, ::-1, ::-1].copy()


def _our_cells(file: Path) -> np.ndarray:
    return np.array([list(row.values()) for row in read_table(file).rows], dtype=object)


def write_files(folder: Path, size: tuple[int, int, int], rows: int) -> dict[str, Path]:
    """Write the same head CT in each format, a picture and a table; return the files by format."""
    ct = _head(size)
    image = nib.Nifti1Image(np.ascontiguousarray(ct.T), np.diag([*SPACING, 1.0]))
    turned = image.as_reoriented(np.array([[0, -1], [1, -1], [2, 1]]))  # LPS, as DICOM converters leave it
    files = {name: folder / f"ct.{name}" for name in ("nii.gz", "nii", "nrrd", "mha", "npy")}
    nib.save(turned, files["nii.gz"])
    nib.save(turned, files["nii"])
    read = sitk.ReadImage(str(files["nii"]))
    plain = sitk.GetImageFromArray(sitk.GetArrayFromImage(read))  # without NIfTI's other fields
    plain.CopyInformation(read)
    for name in ("nrrd", "mha"):
        sitk.WriteImage(plain, str(files[name]), useCompression=True)
    np.save(files["npy"], ct)
    files["dicom"] = _write_series(folder / "series", ct)
    files["png"] = folder / "picture.png"
    tones = np.clip(np.kron(ct[len(ct) // 2, :256, :256] / 4 + 64, np.ones((4, 4))), 0, 255).astype(np.uint8)
    Image.fromarray(tones).save(files["png"])
    files["csv"] = folder / "table.csv"
    with files["csv"].open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["id", *(f"value_{number}" for number in range(7)), "group"])
        numbers = np.random.default_rng(0).normal(100, 20, (rows, 7)).round(3)
        for number, values in enumerate(numbers.tolist()):
            writer.writerow([f"case_{number:05d}", *values, ("treated", "control")[number % 2]])
    return files


def _head(size: tuple[int, int, int]) -> np.ndarray:
    """(z, y, x) int16 in HU."""
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in size), indexing="ij", sparse=True)
    inside = x**2 / 0.6 + y**2 / 0.8 + z**2 / 1.2 < 0.8
    tissue = 35 + 40 * ndimage.gaussian_filter(rng.normal(size=size), 2) + rng.normal(0, 4, size)
    return np.where(inside, tissue, -1000 + rng.normal(0, 5, size)).round().astype(np.int16)


def _write_series(folder: Path, ct: np.ndarray) -> Path:
    folder.mkdir()
    series = generate_uid()
    for number, pixels in enumerate(ct[:, ::-1, ::-1]):  # rows to the back, columns to the left
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        said = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        said.SOPClassUID, said.SOPInstanceUID, said.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
        said.SeriesInstanceUID, said.PatientID, said.ImageType = series, "phantom", ["ORIGINAL", "PRIMARY", "AXIAL"]
        said.Rows, said.Columns, said.SamplesPerPixel, said.PhotometricInterpretation = *pixels.shape, 1, "MONOCHROME2"
        said.BitsAllocated, said.BitsStored, said.HighBit, said.PixelRepresentation = 16, 16, 15, 1
        said.RescaleSlope, said.RescaleIntercept = 1, -1024
        said.ImageOrientationPatient, said.PixelSpacing = [1, 0, 0, 0, 1, 0], list(SPACING[:2])
        said.ImagePositionPatient = [0, 0, SPACING[2] * number]
        said.PixelData = (pixels + 1024).astype(np.int16).tobytes()
        said.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)
    return folder


if __name__ == "__main__":
    print_rows("reading", run())
