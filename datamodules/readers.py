"""Images from files of any common kind, as uint8 arrays of a wanted shape: the input of `predict.py`."""

import zipfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from datamodules.io import VOLUMES, read_volume

__all__ = ["read_images"]

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_ARRAYS = (".npy", ".npz")


def read_images(path: Path, shape: tuple[int, ...]) -> tuple[list[str], np.ndarray]:
    """Read one file, or every readable file of a folder in order of name.

    Args:
        path: A picture (PNG, JPEG, BMP, TIFF), a volume (NIfTI, NRRD, MetaImage; z, y, x in RAS, or one slice as a
            picture), an array (npy: one image, or images along the first axis), an npz with `images` or `test_images`,
            or a folder of such files.
        shape: (C, *spatial) wanted. Intensities that are not uint8 are stretched so that their range fills 0..255;
            other sizes are interpolated linearly; colour becomes grey (ITU-R 601 weights), and grey is repeated.

    Returns:
        N ids (file names without ending, numbered where a file holds several images), and (N, *shape) uint8.

    Raises:
        FileNotFoundError: If there is nothing at `path`.
        ValueError: If there is no readable file, or an image has too few or too many axes.
    """
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {path}: set input to an image, a folder of images, or an npz")
    files = sorted(file for file in path.iterdir() if _ending(file)) if path.is_dir() else [path]
    endings = ", ".join((*_PICTURES, *VOLUMES, *_ARRAYS))
    if not files or not _ending(files[0]):
        raise ValueError(f"{path}: no image to read; expected files ending in {endings}")
    ids: list[str] = []
    images: list[np.ndarray] = []
    for file in files:
        name = file.name[: -len(_ending(file))]
        if name in ids:  # scan.png beside scan.jpg
            name = file.name
        found = [_to_shape(array, shape, file) for array in _arrays_in(file, len(shape) - 1)]
        ids += [name] if len(found) == 1 else [f"{name}_{index:05d}" for index in range(len(found))]
        images += found
    return ids, np.stack(images)


def _ending(file: Path) -> str:
    name = file.name.lower()
    return next((end for end in (*_PICTURES, *VOLUMES, *_ARRAYS) if name.endswith(end)), "")


def _arrays_in(file: Path, spatial_dims: int) -> list[np.ndarray]:
    """Images in a file, each (*spatial) or (*spatial, 3)."""
    ending = _ending(file)
    if ending in VOLUMES:
        return [_volume(file, spatial_dims)]
    try:
        if ending in _PICTURES:
            with Image.open(file) as picture:
                as_is = picture.mode in ("L", "F") or picture.mode.startswith("I")  # 8-bit, float and integer grey
                return [np.asarray(picture if as_is else picture.convert("RGB"))]
        loaded = np.load(file, allow_pickle=False)
        array = loaded if ending == ".npy" else _images_of_npz(loaded)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} could not be read as an image ({error})") from error
    axes = array.ndim - (1 if array.ndim > spatial_dims and array.shape[-1] == 3 else 0)
    return [array] if axes == spatial_dims else list(array)


def _volume(file: Path, spatial_dims: int) -> np.ndarray:
    """(z, y, x), or the picture of a volume of one slice where a model takes pictures."""
    volume = read_volume(file)
    if spatial_dims == 3:
        return volume.array
    if not volume.grid.is_slice:
        raise ValueError(
            f"{file}: a volume of {len(volume.array)} slices; this model takes {spatial_dims} spatial axes"
        )
    return volume.grid.to_picture(volume.array)


def _images_of_npz(archive: np.lib.npyio.NpzFile) -> np.ndarray:
    key = next((key for key in ("images", "test_images") if key in archive), None)
    if key is None:
        raise ValueError(f"it holds {sorted(archive.files)}; expected 'images' or 'test_images'")
    return archive[key]


def _to_shape(array: np.ndarray, shape: tuple[int, ...], file: Path) -> np.ndarray:
    """One image as (C, *spatial) uint8."""
    channels, spatial = shape[0], shape[1:]
    colour = array.ndim == len(spatial) + 1 and array.shape[-1] == 3
    if array.ndim != len(spatial) + colour:
        raise ValueError(f"{file}: an image of shape {array.shape}; this model takes {len(spatial)} spatial axes")
    pixels = array.astype(np.float32)
    if not np.isfinite(pixels).all():
        raise ValueError(f"{file}: holds NaN or infinite intensities; replace them first")
    if array.dtype != np.uint8:
        low, high = pixels.min(), pixels.max()
        pixels = (pixels - low) * (255 / (high - low) if high > low else 0)
    pixels = np.moveaxis(pixels, -1, 0) if colour else pixels[None]
    if colour and channels == 1:
        pixels = np.tensordot(np.array([0.299, 0.587, 0.114], np.float32), pixels, axes=1)[None]
    elif not colour and channels == 3:
        pixels = np.repeat(pixels, 3, axis=0)
    if pixels.shape[1:] != spatial:
        mode = "bilinear" if len(spatial) == 2 else "trilinear"
        resized = F.interpolate(torch.from_numpy(pixels)[None], spatial, mode=mode, antialias=mode == "bilinear")
        pixels = resized[0].numpy()
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
