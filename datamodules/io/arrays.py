"""Read npy and npz files; a header is trusted only if the file has the length that it implies.

Pickled objects are never loaded. Arrays come in native byte order and C order.
"""

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from medzoo.datamodules.io.files import hidden, opening

__all__ = ["ARRAYS", "mapped", "npy_header", "npz_header", "npz_keys", "npz_rows", "read_npy", "read_npz", "stretched"]

ARRAYS = (".npy", ".npz")
"""Endings of array files, in lower case."""
_BOMB = 1 << 30, 200  # arrays of more bytes, at a higher compression ratio, are not images


def stretched(image: np.ndarray, file: Path) -> np.ndarray:
    """Intensities as float32 from 0 to 255: uint8 unchanged, others stretched to their range, or 0 if constant.

    Args:
        image: An array of any shape and number type.
        file: Its file, for messages.

    Raises:
        ValueError: If it holds NaN or infinite values.
    """
    wide = image.dtype.kind in "iu" and image.dtype.itemsize >= 4  # float32 would lose digits
    pixels: np.ndarray = image.astype(np.float64 if wide else np.float32)
    if image.dtype in (np.uint8, np.bool_):
        return pixels * 255 if image.dtype == bool else pixels
    if not np.isfinite(pixels).all():
        raise ValueError(f"{file}: holds NaN or infinite intensities; replace them first")
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
    if not 1e-30 < high - low < 1e30:  # the range does not fit float32
        pixels = pixels.astype(np.float64)
    scale = 255 / (high - low) if high > low else 0
    return np.clip(np.multiply(pixels - low, scale), 0, 255).astype(np.float32)


def npy_header(file: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and type of the array of an npy file.

    Raises:
        FileNotFoundError: As of `read_npy`.
        ValueError: As of `read_npy`.
    """
    with opening(file, "an npy array"), file.open("rb") as stream:
        wrong, shape, kind = _header(stream, file.stat().st_size)
    _checked(np.empty(0), wrong, str(file))
    return shape, kind


def read_npy(file: Path) -> np.ndarray:
    """Read the array of an npy file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or holds no numbers or text.
    """
    npy_header(file)
    with opening(file, "an npy array"), file.open("rb") as stream:
        array = np.lib.format.read_array(stream, allow_pickle=False)
    return _checked(array, "", str(file))


def mapped(file: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Memory-map an array that this program has written; its header, which takes longest to read, is skipped."""
    size = dtype.itemsize * math.prod(shape)
    with opening(file, "an npy array"):
        return np.memmap(file, dtype, "r", offset=file.stat().st_size - size, shape=shape)


def read_npz(file: Path, key: str) -> np.ndarray:
    """Read one array of an npz.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the array is missing or damaged, or holds no numbers or text.
    """
    with _member(file, key) as (stream, size):
        wrong, *_ = _header(stream, size)
    array = np.empty(0)
    if not wrong:
        with _member(file, key) as (stream, _):
            array = np.lib.format.read_array(stream, allow_pickle=False)
            stream.read(1)  # reach the end, where the checksum is compared
    return _checked(array, wrong, f"{file}: {key}")


def npz_rows(file: Path, key: str, at_once: int) -> Iterator[np.ndarray]:
    """Read one array of an npz in parts of `at_once` rows, for arrays that may not fit into memory.

    Raises:
        FileNotFoundError: As of `read_npz`.
        ValueError: As of `read_npz`.
    """
    with _member(file, key) as (stream, size):
        wrong, shape, kind = _header(stream, size)
        _checked(np.empty(0), wrong, f"{file}: {key}")
    with _member(file, key) as (stream, _):
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        if read(stream)[1]:  # Fortran order: no row is complete before the end
            whole = read_npz(file, key)
            yield from (whole[start : start + at_once] for start in range(0, len(whole), at_once))
            return
        row = kind.itemsize * int(np.prod(shape[1:], dtype=int))
        for start in range(0, shape[0], at_once):
            count = min(at_once, shape[0] - start)
            part = np.frombuffer(stream.read(count * row), kind).reshape(count, *shape[1:])
            yield part.astype(kind.newbyteorder("="), copy=False)
        stream.read(1)  # reach the end, where the checksum is compared


def npz_header(file: Path, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Read shape and type of an array of an npz.

    Raises:
        FileNotFoundError: As of `read_npz`.
        ValueError: As of `read_npz`.
    """
    with _member(file, key) as (stream, size):
        wrong, shape, kind = _header(stream, size)
    _checked(np.empty(0), wrong, f"{file}: {key}")
    return shape, kind


def npz_keys(file: Path) -> list[str]:
    """Names of the arrays of an npz.

    Raises:
        FileNotFoundError: As of `read_npz`.
        ValueError: As of `read_npz`.
    """
    with opening(file, "an npz"), zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if not any(hidden(Path(part)) for part in Path(name).parts)]
    return sorted(name.removesuffix(".npy") for name in names)


@contextmanager
def _member(file: Path, key: str) -> Iterator[tuple[IO[bytes], int]]:
    """The unpacked bytes of an array, and their number."""
    keys = npz_keys(file)
    if key not in keys:
        raise ValueError(f"{file}: no array '{key}'; it holds {keys}")
    with opening(file, "an npz"), zipfile.ZipFile(file) as archive:
        of_key = [each for each in archive.infolist() if each.filename.removesuffix(".npy") == key]
        if len(of_key) > 1:
            raise ValueError(f"it holds {len(of_key)} arrays named {key}")
        about = of_key[0]
        if about.file_size > _BOMB[0] and about.file_size > _BOMB[1] * about.compress_size:
            raise ValueError(f"{key} unpacks to {about.file_size >> 30} GiB from almost nothing")
        with archive.open(about) as stream:
            yield stream, about.file_size


def _header(stream: IO[bytes], size: int) -> tuple[str, tuple[int, ...], np.dtype[Any]]:
    """Read a problem with the type (or an empty string), the shape and the type, before anything is allocated.

    Raises:
        ValueError: If it is not npy, or the length of the file differs from that in its header.
    """
    version = np.lib.format.read_magic(stream)
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    length = stream.read(2 if first else 4)
    text = stream.read(min(int.from_bytes(length, "little"), size))  # numpy would allocate 4 GiB
    shape, _, dtype = read(io.BytesIO(length + text))
    if dtype.hasobject:
        return (
            "holds Python objects, which are not loaded; save it again as numbers, by array.astype(...)",
            shape,
            dtype,
        )
    if dtype.kind not in "biufUS":
        return f"holds {dtype}; expected numbers", shape, dtype
    wanted = stream.tell() + dtype.itemsize * int(np.prod([int(side) for side in shape], dtype=object))
    if any(side < 0 for side in shape) or wanted != size:
        raise ValueError(f"its header says {shape} of {dtype}, {wanted} bytes in all; there are {size}")
    return "", shape, dtype


def _checked(array: np.ndarray, wrong: str, where: str) -> np.ndarray:
    if wrong:
        raise ValueError(f"{where} {wrong}")
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False)).reshape(array.shape)
