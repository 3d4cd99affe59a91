"""What can be wrong with a picture or an npz, and what only looks so."""

import io
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def levels(file: Path) -> np.ndarray:
    """(H, W) of a picture."""
    return np.asarray(Image.open(file))


def instead(file: Path, ending: str, image: Image.Image, **options: object) -> Path:
    """Write a picture in another format in place of a file."""
    file.unlink()
    made = file.with_suffix(ending)
    image.save(made, **options)
    return made


def bomb(file: Path, _: Path) -> None:
    content = bytearray(file.read_bytes())
    content[16:24] = (60000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    file.write_bytes(content)


def palette(file: Path, _: Path) -> None:
    Image.open(file).convert("P").save(file)


def alpha(file: Path, _: Path) -> None:
    Image.open(file).convert("LA").save(file)


def colour(file: Path, _: Path) -> None:
    Image.open(file).convert("RGB").save(file)


def sixteen_bits(file: Path, _: Path) -> None:
    Image.fromarray(levels(file).astype(np.uint16) * 200).save(file)


def sixteen_bits_of_colour(file: Path, _: Path) -> None:
    made = io.BytesIO()
    Image.open(file).convert("RGB").save(made, "PNG")
    content = bytearray(made.getvalue())
    content[24] = 16
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    rows = zlib.compress(bytes((1 + 6 * width) * height))
    part = b"IDAT" + rows
    end = len(rows).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big")
    file.write_bytes(bytes(content[:33]) + end + b"\0\0\0\0IEND\xaeB`\x82")


def floats(file: Path, _: Path) -> None:
    instead(file, ".tif", Image.fromarray(levels(file).astype(np.float32) / 255))


def floats_with_nan(file: Path, _: Path) -> Path:
    values = levels(file).astype(np.float32)
    values[2, 2] = np.nan
    return instead(file, ".tif", Image.fromarray(values))


def exif(file: Path, _: Path) -> None:
    said = Image.Exif()
    said[274] = 6  # a viewer turns it by 90 degrees
    Image.fromarray(np.rot90(levels(file)).copy()).save(file, exif=said)


def pages(file: Path, _: Path) -> Path:
    image = Image.open(file)
    return instead(file, ".tif", image, save_all=True, append_images=[image])


def white_is_zero(file: Path, _: Path) -> None:
    instead(file, ".tif", Image.fromarray(levels(file)), tiffinfo={262: 0})  # Pillow turns what it writes


def cmyk(file: Path, _: Path) -> None:
    instead(file, ".jpg", Image.open(file).convert("CMYK"))


def two_of_a_name(file: Path, _: Path) -> None:
    Image.open(file).save(file.with_suffix(".bmp"))


def volume_among_pictures(file: Path, _: Path) -> Path:
    import nibabel as nib

    made = file.with_name("scan.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4)), made)
    return made


def soft_edges(file: Path, _: Path) -> None:
    mask = levels(file).copy()
    mask[3, :9] = [20, 40, 60, 80, 120, 140, 160, 180, 220]
    Image.fromarray(mask).save(file)


def three_colours(file: Path, _: Path) -> None:
    mask = np.zeros((*levels(file).shape, 3), np.uint8)
    mask[3:6, 3:6], mask[8:12, 8:12] = [255, 0, 0], [0, 0, 255]
    Image.fromarray(mask).save(file)


def jpeg_mask(file: Path, _: Path) -> None:
    instead(file, ".jpg", Image.open(file), quality=90)


def other_size(file: Path, _: Path) -> None:
    Image.open(file).resize((20, 20), Image.Resampling.NEAREST).save(file)


# An npz in MedMNIST's layout.


def rewritten(file: Path, **arrays: np.ndarray | None) -> None:
    """With some arrays changed; those that are None are left out."""
    with np.load(file) as old:
        kept = {**{name: old[name] for name in old}, **arrays}
    np.savez(file, **{name: array for name, array in kept.items() if array is not None})


def array_of(file: Path, name: str) -> np.ndarray:
    """One of its arrays."""
    with np.load(file) as old:
        return old[name]


def pickled(file: Path, _: Path) -> None:
    rewritten(file, train_images=np.array([{"a": 1}] * 12, object), test_images=np.array([{"a": 1}] * 4, object))


def climbing(file: Path, _: Path) -> None:
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("../../outside.npy", b"\x93NUMPY")


def channels_first(file: Path, _: Path) -> None:
    names = ("train_images", "val_images", "test_images")
    rewritten(file, **{name: np.repeat(array_of(file, name)[:, None], 3, axis=1) for name in names})


def too_few_labels(file: Path, _: Path) -> None:
    rewritten(file, train_labels=array_of(file, "train_labels")[:-1])


def no_labels(file: Path, _: Path) -> None:
    rewritten(file, train_labels=None)


def one_hot(file: Path, _: Path) -> None:
    rewritten(file, train_labels=np.eye(2, dtype=int)[array_of(file, "train_labels")[:, 0]])


def label_of_two(file: Path, _: Path) -> None:
    rewritten(file, train_labels=array_of(file, "train_labels") + 1)


def labels_of_nan(file: Path, _: Path) -> None:
    labels = array_of(file, "train_labels").astype(float)
    labels[0] = np.nan
    rewritten(file, train_labels=labels)


def labels_as_names(file: Path, _: Path) -> None:
    rewritten(file, train_labels=np.array(["a", "b"] * 6))


def float_images(file: Path, _: Path) -> None:
    rewritten(file, train_images=array_of(file, "train_images") / 255)


def compressed_bomb(file: Path, _: Path) -> None:
    said = b"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 40000, 40000), }"
    said += b" " * (-(10 + len(said) + 1) % 64) + b"\n"
    head = b"\x93NUMPY\1\0" + len(said).to_bytes(2, "little") + said
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("train_images.npy", "test_images.npy"):
            with archive.open(name, "w", force_zip64=True) as opened:
                opened.write(head)
                for _ in range(18):
                    opened.write(bytes(64_000_000))
