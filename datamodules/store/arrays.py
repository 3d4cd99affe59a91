"""Arrays on disk: plain `.npy` files, or compressed in blocks where patches are cut from whole volumes.

`benchmarks/store.py` measures both: in blocks of Blosc2, 16 bits of a head CT take less than a tenth of float32, and a
patch of 16 x 320 x 320 voxels takes 5 ms more, where its augmentation takes 90 ms.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from medzoo.datamodules.io.arrays import mapped

__all__ = ["StoredArray", "Streamed", "write_blocks", "write_plain"]

_CHUNK = (16, 256, 256)  # voxels that are compressed together, of the last axes
_BLOCK = (4, 64, 64)  # voxels that are unpacked at once


@dataclass(frozen=True)
class Streamed:
    """An array that is written part by part, since it may not fit into memory.

    Args:
        shape: Its shape.
        dtype: Its type.
        parts: Arrays that follow each other along the first axis.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    parts: Iterable[np.ndarray]


class StoredArray:
    """An array on disk, whose parts are read by indexing.

    The file is opened for each reading, so a cohort keeps no file open and a worker process gets a path, not voxels.

    Args:
        file: A `.npy`, or a `.b2nd` of Blosc2.
        shape: Its shape.
        dtype: Its type.
    """

    def __init__(self, file: Path, shape: Sequence[int], dtype: str) -> None:
        self.file, self.shape, self.dtype = file, tuple(shape), np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, place: Any) -> np.ndarray:
        if self.file.suffix == ".npy":
            return np.array(self.mapped()[place])
        import blosc2  # late: most runs need no volumes

        return np.asarray(blosc2.open(str(self.file), mode="r", mmap_mode="r", dparams={"nthreads": 1})[place])

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return self[...].astype(dtype or self.dtype, copy=False)

    def mapped(self) -> np.ndarray:
        """The whole of a `.npy`, mapped; the file stays open as long as the array lives."""
        return mapped(self.file, self.shape, self.dtype) if all(self.shape) else np.empty(self.shape, self.dtype)


def write_plain(file: Path, array: np.ndarray | Streamed) -> None:
    """Write a `.npy`."""
    about = {"descr": array.dtype.str, "fortran_order": False, "shape": tuple(array.shape)}
    with file.open("wb") as opened:
        np.lib.format.write_array_header_2_0(opened, about)
        for part in array.parts if isinstance(array, Streamed) else (array,):
            opened.write(np.ascontiguousarray(part, array.dtype).data)


def write_blocks(file: Path, array: np.ndarray) -> None:
    """Write a `.b2nd`, compressed in blocks along the last axes."""
    import blosc2

    axes = min(array.ndim, len(_CHUNK))
    chunks, blocks = (
        [1] * (array.ndim - axes) + [min(n, most) for n, most in zip(array.shape[-axes:], size[-axes:], strict=True)]
        for size in (_CHUNK, _BLOCK)
    )
    parameters = {"codec": blosc2.Codec.ZSTD, "clevel": 1, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1}
    packed = blosc2.asarray(np.ascontiguousarray(array), chunks=chunks, blocks=blocks, cparams=parameters)
    file.write_bytes(packed.to_cframe())  # Python's own writing tells a full disk, a mapped file would crash
