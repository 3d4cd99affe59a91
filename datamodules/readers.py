"""Read images of any common format as uint8 arrays of a given shape, as for `predict.py`."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from medzoo.datamodules.io import VOLUMES, is_dicom, named, read_volume, some
from medzoo.datamodules.io.arrays import ARRAYS, npz_keys, read_npy, read_npz, stretched
from medzoo.datamodules.io.dicom.files import DICOM
from medzoo.datamodules.io.dicom.images import read_pictures
from medzoo.datamodules.io.pictures.pages import PICTURES, read_pages

__all__ = ["ENDINGS", "find_images", "numbered", "read_each", "read_images", "resized", "smallest_side"]

log = logging.getLogger(__name__)

ENDINGS = (*PICTURES, *VOLUMES, *ARRAYS)
_FLAT = 4  # an axis this short holds channels rather than columns


def read_images(
    path: Path, shape: tuple[int, ...], *, below: bool = False, one: bool = False
) -> tuple[list[str], np.ndarray]:
    """Read one file, or all images of a folder in order of name.

    Args:
        path: A picture (`io/pictures/pages.py`; with several pages, each is an image, or all are a volume), a
            volume (NIfTI, NRRD, MetaImage, a folder with one DICOM series; z, y, x in RAS, or one slice as a picture),
            a DICOM file (each of its frames a picture), an array (npy: one image, or images along the first axis), an
            npz with `images` or `test_images`, or a folder of such files. Hidden files are skipped; other files are
            logged.
        shape: (C, *spatial) of the result. Intensities that are not 8-bit are stretched to fill 0..255, other sizes are
            interpolated linearly, colour is turned to grey (ITU-R 601 weights), and grey is repeated.
        below: Whether to read subfolders too.
        one: Whether to refuse files with several images.

    Returns:
        N ids (paths below the folder without ending, numbered if a file holds several images), and images (N, *shape)
        uint8.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If there is no image, one cannot be read, or it has too few or too many axes.
    """
    files = find_images(path, len(shape) - 1, below=below)
    found = read_each(files, shape)
    for name, images in found.items():
        if one and len(images) > 1:
            raise ValueError(
                f"{files[name]}: holds {len(images)} pages; one is expected: save each as a file of its own"
            )
    ids = [one for name, images in found.items() for one in numbered(name, len(images))]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{path}: two images have the same name; rename one")
    return ids, np.concatenate([*found.values()])


def numbered(name: str, count: int) -> list[str]:
    """Ids of the images of a file: its name, numbered if there are several."""
    return [name] if count == 1 else [f"{name}_{index:05d}" for index in range(count)]


def find_images(path: Path, axes: int, *, below: bool = False) -> dict[str, Path]:
    """Find the images of a folder, by path below it without ending, or one named image.

    Args:
        path: A file or a folder.
        axes: Spatial axes of an image. With 3, a folder of DICOM files is one image; with 2, each file is one.
        below: Whether to search subfolders too.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If there is no image.
    """
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {path}: set input to an image, a folder of images, or an npz")
    if path.is_dir():
        files = named(path, ENDINGS, below=below, dicom="series" if axes == 3 else "files")
    else:
        files = {_short(path): path} if _ending(path) or is_dicom(path) else {}
    if not files:
        raise ValueError(f"{path}: no image to read; expected files ending in {', '.join(ENDINGS)}, or DICOM")
    return files


def read_each(
    files: Mapping[str, Path], shape: tuple[int, ...], *, window: tuple[float, float] | None = None
) -> dict[str, np.ndarray]:
    """Read all images of each file.

    Args:
        files: Files by name.
        shape: (C, *spatial) of the result, as in `read_images`.
        window: Intensities of volumes and DICOM that become 0 and 255; None stretches each image that is not 8-bit.

    Returns:
        By name, (N, *shape) uint8, N at least 1.

    Raises:
        ValueError: If a file cannot be read, or has too few or too many axes; the message counts such files.
    """
    found: dict[str, np.ndarray] = {}
    damaged: dict[str, str] = {}
    for name, file in files.items():
        try:
            images = [_to_shape(array, shape, file) for array in _arrays_in(file, shape, window)]
            if not images:
                raise ValueError(f"{file}: holds no image")
            found[name] = np.stack(images)
        except ValueError as error:
            damaged[name] = str(error)
    if damaged:
        also = f"; {len(damaged)} files of {len(files)} are like this: {some(list(damaged))}" * (len(damaged) > 1)
        raise ValueError(next(iter(damaged.values())) + also)
    return found


def _ending(file: Path) -> str:
    return max((end for end in (*ENDINGS, *DICOM) if file.name.lower().endswith(end)), key=len, default="")


def _short(file: Path) -> str:
    return file.name[: len(file.name) - len(_ending(file))]


def _arrays_in(file: Path, shape: tuple[int, ...], window: tuple[float, float] | None = None) -> list[np.ndarray]:
    """Images in a file, each (*spatial) or (*spatial, 3) float32 from 0 to 255."""
    ending, axes = _ending(file), len(shape) - 1
    if ending in PICTURES:
        pages = read_pages(file, colour=shape[0] > 1)
        whole = axes == 3 and len(pages) > 1 and len({page.shape for page in pages}) == 1
        return [np.stack(pages)] if whole else pages
    if ending not in ARRAYS:
        frames = axes == 2 and ending not in VOLUMES and file.is_file()
        shown = read_pictures(file) if frames else [_volume(file, axes)]
        return [_levels(image, file, window if image.ndim == axes else None) for image in shown]
    array = _plain(read_npy(file) if ending == ".npy" else read_npz(file, _key(file)), axes, file)
    several = array.ndim - _has_colour(array, axes) > axes
    return [stretched(each, file) for each in array] if several else [stretched(array, file)]


def _levels(image: np.ndarray, file: Path, window: tuple[float, float] | None) -> np.ndarray:
    """Intensities from 0 to 255, by the window if there is one."""
    if window is None:
        return stretched(image, file)
    low, high = window
    return 255 * np.clip((image.astype(np.float32) - low) / (high - low), 0, 1)


def _volume(file: Path, axes: int) -> np.ndarray:
    """A volume (z, y, x), or for 2-D models the picture of a volume of one slice."""
    volume = read_volume(file)
    if axes == 3:
        return volume.array
    if not volume.grid.is_slice:
        raise ValueError(f"{file}: a volume of {len(volume.array)} slices; this model takes {axes} spatial axes")
    return volume.grid.to_picture(volume.array)


def _key(file: Path) -> str:
    keys = npz_keys(file)
    key = next((key for key in ("images", "test_images") if key in keys), None)
    if key is None:
        raise ValueError(f"{file}: holds {keys}; expected 'images' or 'test_images'")
    return key


def _plain(array: np.ndarray, axes: int, file: Path) -> np.ndarray:
    """A user's array, with channels last if there are any."""
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{file}: holds {array.dtype}; expected numbers")
    told = f"{file}: an array of shape {array.shape}"
    if array.ndim > axes and 0 < array.shape[-1] <= _FLAT < min(array.shape[-1 - axes : -1]):
        if array.shape[-1] not in (1, 3):
            raise ValueError(f"{told} has {array.shape[-1]} channels; expected grey, or three colours")
        return array[..., 0] if array.shape[-1] == 1 else array
    least = 4 if axes == 2 else 3  # (N, C, H, W) of pictures; (C, H, W), which is no volume
    if array.ndim >= least and array.shape[-3] in (1, 3) and min(array.shape[-2:]) > _FLAT:
        raise ValueError(f"{told} seems to have channels before rows; put them last: np.moveaxis(array, -3, -1)")
    if axes == 2 and array.ndim == 3 and len(array) == 3:
        log.warning("%s is taken for three grey images; of one in colour put the channels last", told)
    return array


def _has_colour(array: np.ndarray, axes: int) -> bool:
    return array.ndim > axes and array.shape[-1] == 3


def _to_shape(pixels: np.ndarray, shape: tuple[int, ...], file: Path) -> np.ndarray:
    """One image as (C, *spatial) uint8."""
    channels, spatial = shape[0], shape[1:]
    colour = pixels.ndim == len(spatial) + 1 and pixels.shape[-1] == 3
    if pixels.ndim != len(spatial) + colour:
        raise ValueError(f"{file}: an image of shape {pixels.shape}; this model takes {len(spatial)} spatial axes")
    pixels = np.moveaxis(pixels, -1, 0) if colour else pixels[None]
    if colour and channels == 1:
        pixels = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), pixels, axes=1)[None]
    elif not colour and channels == 3:
        pixels = np.repeat(pixels, 3, axis=0)
    return resized(pixels[None], spatial)[0]


def resized(images: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Images (N, C, *spatial) from 0 to 255, interpolated linearly to another size, as uint8."""
    if images.shape[2:] != size:
        mode = "bilinear" if len(size) == 2 else "trilinear"
        each = (torch.from_numpy(np.ascontiguousarray(image, np.float32))[None] for image in images)
        made = [F.interpolate(image, size, mode=mode, antialias=mode == "bilinear") for image in each]
        images = torch.cat(made).numpy()
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


def smallest_side(folder: Path) -> int:
    """Pixels along the shortest side of the pictures (PNG, JPEG, ...) of a folder."""
    files = [file for file in find_images(folder, 2).values() if _ending(file) in PICTURES]
    return min((min(page.shape[:2]) for file in files for page in read_pages(file, colour=False)), default=2**16)
