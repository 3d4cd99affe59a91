"""What can be wrong with a volume: each function spoils one file of a good data set."""

import gzip
import shutil
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from tests.bad_input.layouts import save


def cut_short(file: Path, _: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def flipped_byte(file: Path, _: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def wrong_checksum(file: Path, _: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:-8] + bytes(4) + content[-4:])


def empty(file: Path, _: Path) -> None:
    file.write_bytes(b"")


def folder(file: Path, _: Path) -> None:
    file.unlink()
    file.mkdir()


def web_page(file: Path, _: Path) -> None:
    file.write_text("<!DOCTYPE html><html><body>Sign in to download</body></html>")


def wrong_magic(file: Path, _: Path) -> None:
    file.write_bytes(gzip.compress(b"not a volume" * 100))


def missing(file: Path, _: Path) -> None:
    file.unlink()


def link_to_itself(file: Path, _: Path) -> None:
    file.unlink()
    file.symlink_to(file.name)


def not_allowed(file: Path, _: Path) -> None:
    file.chmod(0)


def capitals(file: Path, _: Path) -> None:
    name = file.name.partition(".")
    file.rename(file.with_name(f"{name[0]}.{name[2].upper()}"))


def hidden_beside(file: Path, root: Path) -> None:
    (file.parent / f"._{file.name}").write_bytes(b"\0\5\26\7")
    (file.parent / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (file.parent / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / f"._{file.name}").write_bytes(b"\0\5\26\7")


def notes_beside(file: Path, _: Path) -> None:
    (file.parent / "notes.txt").write_text("second scan is better")


def four_axes(file: Path, _: Path) -> None:
    array = np.asarray(nib.load(file).dataobj)
    save(file, np.stack([array, array], axis=-1))


def last_axis_of_one(file: Path, _: Path) -> None:
    save(file, np.asarray(nib.load(file).dataobj)[..., None])


def changed(file: Path, **fields: object) -> None:
    """Write fields of a NIfTI-1 header where they stand."""
    raw = bytearray(gzip.decompress(file.read_bytes()))
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.binaryblock
    file.write_bytes(gzip.compress(bytes(raw)))


def pixdim_against_affine(file: Path, _: Path) -> None:
    changed(file, pixdim=[1, 2, 2, 9, 0, 0, 0, 0], qform_code=0)


def sheared(_: Path, root: Path) -> None:
    for file in root.rglob("*.nii.gz"):
        changed(file, srow_y=[0, -1, 0.4, 0], qform_code=0)


def flat_affine(file: Path, _: Path) -> None:
    changed(file, srow_z=[0, 0, 0, 0], srow_y=[0, -1, -3, 0], qform_code=0)


def affine_of_nan(file: Path, _: Path) -> None:
    changed(file, srow_x=[np.nan, 0, 0, 0], qform_code=0)


def spacing_of_zero(file: Path, _: Path) -> None:
    changed(file, srow_x=[0, 0, 0, 0], qform_code=0, pixdim=[1, 0, 1, 3, 0, 0, 0, 0])


def spacing_of_nan(file: Path, _: Path) -> None:
    changed(file, sform_code=0, qform_code=1, pixdim=[1, np.nan, 1, 3, 0, 0, 0, 0])


def huge_spacing(file: Path, _: Path) -> None:
    changed(file, srow_x=[-1000, 0, 0, 0], srow_y=[0, -1000, 0, 0], srow_z=[0, 0, 3000, 0], qform_code=0)


def tiny_spacing(file: Path, _: Path) -> None:
    changed(file, srow_x=[-1e-4, 0, 0, 0], srow_y=[0, -1e-4, 0, 0], srow_z=[0, 0, 1e-4, 0], qform_code=0)


def metres(file: Path, _: Path) -> None:
    changed(file, xyzt_units=1)


def micrometres(file: Path, _: Path) -> None:
    changed(file, xyzt_units=3)


def bomb(file: Path, _: Path) -> None:
    changed(file, dim=[3, 1500, 1500, 1500, 1, 1, 1, 1])


def more_than_all_memory(file: Path, _: Path) -> None:
    changed(file, dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])


def offset_missing(file: Path, _: Path) -> None:
    ct = np.asarray(nib.load(file).dataobj).astype(np.int16)
    save(file, np.maximum(ct, -1000) + np.int16(1024))


def grey_values(file: Path, _: Path) -> None:
    ct = np.asarray(nib.load(file).dataobj).astype(np.float32)
    save(file, np.clip((ct + 100) / 3, 0, 255).astype(np.uint8))


def not_a_number(file: Path, _: Path) -> None:
    ct = np.asarray(nib.load(file).dataobj).astype(np.float32)
    ct[3, 3, 3] = np.nan
    save(file, ct)


def infinite(file: Path, _: Path) -> None:
    ct = np.asarray(nib.load(file).dataobj).astype(np.float32)
    ct[3, 3, 3] = np.inf
    save(file, ct)


def colours(file: Path, _: Path) -> None:
    shape = nib.load(file).shape
    save(file, np.zeros(shape, [("R", "u1"), ("G", "u1"), ("B", "u1")]))


def complex_numbers(file: Path, _: Path) -> None:
    save(file, np.asarray(nib.load(file).dataobj).astype(np.complex64))


def other_byte_order(file: Path, _: Path) -> None:
    image = nib.load(file)
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.asarray(image.dataobj).dtype)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, header), file)


def slope_of_nan(file: Path, _: Path) -> None:
    changed(file, scl_slope=np.nan, scl_inter=np.nan)


def compressed_twice(file: Path, _: Path) -> None:
    file.write_bytes(gzip.compress(file.read_bytes()))


def as_nrrd(file: Path, **options: bool) -> Path:
    """The same volume in another format."""
    image = sitk.ReadImage(str(file))
    file.unlink()
    made = file.with_name(file.name.replace(".nii.gz", ".nrrd"))
    sitk.WriteImage(image, str(made), **options)
    return made


def nrrd(file: Path, _: Path) -> None:
    as_nrrd(file)


def nrrd_cut_short(file: Path, root: Path) -> Path:
    made = as_nrrd(file, useCompression=True)
    cut_short(made, root)
    return made


def mhd_without_voxels(file: Path, _: Path) -> Path:
    made = file.with_name(file.name.replace(".nii.gz", ".mhd"))
    sitk.WriteImage(sitk.ReadImage(str(file)), str(made))
    file.unlink()
    made.with_suffix(".raw").unlink()
    return made


def array_of_objects(file: Path, _: Path) -> Path:
    file.unlink()
    made = file.with_name(file.name.partition(".")[0] + ".npy")
    np.save(made, np.array([{"a": 1}, None], object), allow_pickle=True)
    return made


def array_header_of_a_bomb(file: Path, _: Path) -> Path:
    file.unlink()
    made = file.with_name(file.name.partition(".")[0] + ".npy")
    said = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 100000, 12), }"
    said += b" " * (-(10 + len(said) + 1) % 64) + b"\n"
    made.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(said)) + said + bytes(64))
    return made


def fractions(file: Path, _: Path) -> None:
    save(file, np.asarray(nib.load(file).dataobj) * np.float32(0.5))


def nearly_whole(file: Path, _: Path) -> None:
    save(file, np.asarray(nib.load(file).dataobj) * np.float32(1.0004))


def white_for_one(file: Path, _: Path) -> None:
    save(file, (np.asarray(nib.load(file).dataobj) * 255).astype(np.uint8))


def undeclared(file: Path, _: Path) -> None:
    mask = np.asarray(nib.load(file).dataobj).copy()
    mask[0, 0, 0] = 7
    save(file, mask)


def negative(file: Path, _: Path) -> None:
    save(file, -np.asarray(nib.load(file).dataobj).astype(np.int16))


def other_shape(file: Path, _: Path) -> None:
    save(file, np.asarray(nib.load(file).dataobj)[:-2])


def shifted(file: Path, _: Path) -> None:
    image = nib.load(file)
    affine = image.affine.copy()
    affine[:3, 3] += 7
    save(file, np.asarray(image.dataobj), affine)


def no_foreground(_: Path, root: Path) -> None:
    for file in [*root.glob("labelsTr/*"), *root.glob("*/*/baseline/iph.nii.gz")]:
        save(file, 0 * np.asarray(nib.load(file).dataobj))


def copy_of(file: Path, name: str) -> Path:
    """The file under another name beside it."""
    return Path(shutil.copy(file, file.with_name(name)))
