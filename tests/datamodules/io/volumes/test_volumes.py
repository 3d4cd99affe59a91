"""One volume in any format and orientation is one array, and goes back where it came from; what is wrong is told."""

import gzip
import itertools
import logging

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medzoo.datamodules.io import (
    Grid,
    check_hu,
    check_same_grid,
    geometry,
    label_map,
    read_mask,
    read_volume,
    write_like,
)
from medzoo.datamodules.io.volumes.headers import read_header

DATA = np.random.default_rng(0).integers(-100, 300, (7, 6, 5)).astype(np.int16)  # x, y, z
OBLIQUE = np.array([[0.5, 0.02, 0, -3], [-0.02, 0.7, 0, 4], [0, 0, 5, 11], [0, 0, 0, 1.0]])
SHEARED = np.array([[0.5, 0, 0, -3], [0, 0.5, 1.7, 4], [0, 0, 5.0, 1], [0, 0, 0, 1]])
AXES = ["".join(side) for side in itertools.product("RL", "AP", "SI")] + ["PIR", "SLA", "IRP"]


def save(file, data=DATA, affine=OBLIQUE, **header):
    """A NIfTI file with some fields of its header set."""
    image = nib.Nifti1Image(data, affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, file)
    return file


def pointing(axes, data=DATA, affine=OBLIQUE):
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(axes))
    return nib.Nifti1Image(data, affine).as_reoriented(turn)


@pytest.mark.parametrize("affine", [OBLIQUE, SHEARED], ids=["oblique", "sheared"])
@pytest.mark.parametrize("axes", AXES)
def test_every_orientation_is_one_array_and_goes_back(tmp_path, axes, affine):
    image = pointing(axes, affine=affine)
    nib.save(image, tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz")
    assert np.array_equal(volume.array, DATA.T)
    assert volume.array.dtype == np.int16
    assert volume.array.flags.c_contiguous
    assert np.allclose(volume.affine, affine, atol=1e-5)
    assert np.prod(volume.spacing) == pytest.approx(abs(np.linalg.det(affine)), rel=1e-5)
    assert geometry(tmp_path / "a.nii.gz").shape == volume.array.shape
    mask = volume.array > 100
    for ending in (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"):
        file = tmp_path / f"mask{ending}"
        write_like(mask, tmp_path / "a.nii.gz", file)
        again = read_mask(file, (0, 1))
        assert np.array_equal(again.array, mask)
        check_same_grid(file, again.grid, tmp_path / "a.nii.gz", volume.grid)
        if ".nii" in ending:
            said = nib.load(file)
            assert np.array_equal(said.affine, nib.load(tmp_path / "a.nii.gz").affine), "to the last bit"
            assert np.array_equal(np.asarray(said.dataobj), np.asarray(image.dataobj) > 100)
        else:
            itk = sitk.ReadImage(str(file))
            assert itk.GetSize() == image.shape, "axes as in the file"
            write_like(again.array, again, tmp_path / "back.nii.gz")
            assert np.allclose(nib.load(tmp_path / "back.nii.gz").affine, image.affine, atol=1e-5)
    assert not [file for file in tmp_path.iterdir() if file.name[0] == "."], "nothing half written is left"


def test_an_affine_of_a_quaternion_goes_back_to_the_last_bit(tmp_path):
    image = nib.Nifti1Image(DATA, None)
    image.set_qform(OBLIQUE, 1)
    image.header["descrip"] = b"DOE^JANE"
    nib.save(image, tmp_path / "a.nii.gz")
    write_like(read_volume(tmp_path / "a.nii.gz").array, tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    first, second = (nib.load(tmp_path / f"{name}.nii.gz") for name in "ab")
    assert np.array_equal(first.affine, second.affine)
    assert (second.header["sform_code"], second.header["qform_code"]) == (0, 1)
    assert b"DOE" not in gzip.decompress((tmp_path / "b.nii.gz").read_bytes())


def test_a_file_of_one_slice_is_a_picture_whichever_way_it_is_written(tmp_path):
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    sitk.WriteImage(sitk.GetImageFromArray(picture), str(tmp_path / "flat.nii.gz"))  # of two axes
    sitk.WriteImage(sitk.GetImageFromArray(picture[None]), str(tmp_path / "slice.nii.gz"))
    sitk.WriteImage(sitk.GetImageFromArray(picture), str(tmp_path / "flat.mha"))
    for file in sorted(tmp_path.iterdir()):
        volume = read_volume(file)
        assert volume.array.shape == (1, 3, 4)
        assert np.array_equal(volume.grid.to_picture(volume.array), picture)
        write_like(picture + 1, file, tmp_path / f"out_{file.name}")
        assert np.array_equal(
            sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"out_{file.name}"))).squeeze(), picture + 1
        )
    save(tmp_path / "coronal.nii.gz", DATA[:, :1], np.diag([1, 400.0, 2, 1]))
    grid = geometry(tmp_path / "coronal.nii.gz")
    assert (grid.pixels, grid.pixel) == ((5, 7), (2, 1)), "its thickness may be anything"
    array = DATA[:, :1].T
    assert np.array_equal(grid.from_picture(grid.to_picture(array)), array)


def test_trailing_axes_of_one_are_none_and_several_volumes_are_refused(tmp_path):
    save(tmp_path / "a.nii.gz", DATA[..., None, None])
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz").array, DATA.T)
    write_like(DATA.T, tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    assert nib.load(tmp_path / "b.nii.gz").shape == (7, 6, 5, 1, 1)
    for several in (np.stack([DATA, DATA], -1), np.stack([DATA] * 3, -1)[..., None, :]):
        with pytest.raises(ValueError, match=r"[23] volumes in one file \(7 x 6 x 5 x .*split it"):
            geometry(save(tmp_path / "c.nii.gz", several))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 4, 4, 3), np.uint8), isVector=True), str(tmp_path / "d.nrrd"))
    with pytest.raises(ValueError, match="3 volumes in one file"):
        read_volume(tmp_path / "d.nrrd")


def test_arrays_are_of_1_mm(tmp_path):
    np.save(tmp_path / "a.npy", DATA.T)
    volume = read_volume(tmp_path / "a.npy")
    assert np.array_equal(volume.array, DATA.T)
    assert volume.spacing == (1, 1, 1)
    np.save(tmp_path / "b.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"b\.npy could not be read as an array"):
        read_volume(tmp_path / "b.npy")


@pytest.mark.parametrize(
    ("slope", "inter", "said"), [(1, -1024, DATA - 1024.0), (0, 0, DATA), (np.nan, np.nan, DATA), (0.5, 0, DATA / 2)]
)
def test_a_scale_is_applied_and_0_or_nan_is_none(tmp_path, slope, inter, said):
    save(tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[112:120] = np.array([slope, inter], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(content)
    array = read_volume(tmp_path / "a.nii").array
    assert np.array_equal(array, said.T)
    assert array.dtype in (np.int16, np.float32)


# What a header says of the geometry


@pytest.mark.parametrize(
    ("data", "affine", "header", "message"),
    [
        (DATA, np.diag([1e-3, 1e-3, 1e-3, 1]), {}, r"its voxels are 0\.001 x 0\.001 x 0\.001 mm; expected 0\.01 to 50"),
        (DATA, np.diag([500, 500, 5000, 1.0]), {}, "the unit or the spacing of its header is wrong"),
        (DATA, OBLIQUE, {"xyzt_units": 3}, "micrometres"),
        (DATA, OBLIQUE, {"xyzt_units": 1}, "metres"),
        (DATA, np.diag([1.0, 0, 1, 1]), {}, "spans no volume"),
        (DATA, np.diag([1.0, np.nan, 1, 1]), {}, "spans no volume"),
        (DATA, [[1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0.1, 0], [0, 0, 0, 1]], {}, "spans no volume"),
        (DATA.astype(np.complex64), OBLIQUE, {}, "complex"),
        (np.zeros((4, 4), [(name, np.uint8) for name in "RGB"]), OBLIQUE, {}, "colours"),
    ],
)
def test_a_geometry_that_cannot_be_is_refused_by_its_header(tmp_path, data, affine, header, message):
    image = nib.Nifti1Image(data, np.eye(4))
    image.header.set_sform(np.array(affine, float), 1)
    for name, value in header.items():
        image.header[name] = value
    nib.save(nib.Nifti1Image(data, None, image.header), tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match=message) as told:
        geometry(tmp_path / "a.nii.gz")
    assert "a.nii.gz" in str(told.value)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dim", [[3, 30000, 30000, 4, 1], [3, 2000, 2000, 2000, 1], [3, 7, 6, 0, 1]])
def test_a_shape_that_the_file_cannot_hold_is_refused_before_it_is_allocated(tmp_path, ending, dim):
    save(tmp_path / "a.nii")
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[40:50] = np.array(dim, "<i2").tobytes()
    (tmp_path / f"b{ending}").write_bytes(gzip.compress(content) if ending == ".nii.gz" else content)
    with pytest.raises(ValueError, match=rf"b{ending}.*(cannot hold|expected|at most)"):
        read_header(tmp_path / f"b{ending}")


def test_two_geometries_in_a_file_are_told_once(tmp_path, caplog):
    image = nib.Nifti1Image(DATA, np.diag([0.5, 0.5, 5, 1]))
    image.header.set_zooms((1, 1, 1))
    nib.save(image, tmp_path / "pixdim.nii.gz")
    image = nib.Nifti1Image(DATA, None)
    nib.save(image, tmp_path / "none.nii.gz")
    image.set_sform(np.diag([1, 1, 1, 1]), 1)
    image.set_qform(np.diag([-1, 1, 1, 1]), 1)
    nib.save(image, tmp_path / "both.nii.gz")
    save(tmp_path / "plain.nii.gz")
    with caplog.at_level(logging.WARNING):
        for file in sorted(tmp_path.iterdir()) * 2:
            volume = read_volume(file)
            if file.name == "pixdim.nii.gz":
                assert volume.spacing == (5, 0.5, 0.5)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 3
    assert "sform and its qform differ in direction" in said[0]
    assert "says nothing of its orientation" in said[1]
    assert "voxels of 0.5 x 0.5 x 5 mm, its pixdim 1 x 1 x 1; the affine counts" in said[2]


def test_grids_are_the_same_where_the_places_are(tmp_path):
    nib.save(pointing("LPI"), tmp_path / "a.nii.gz")
    here = Grid(DATA.shape, OBLIQUE)
    check_same_grid(tmp_path / "a.nii.gz", geometry(tmp_path / "a.nii.gz"), tmp_path / "b", here)
    moved = OBLIQUE.copy()
    moved[0, 3] += 0.1
    with pytest.raises(ValueError, match="another grid than b"):
        check_same_grid(tmp_path / "a.nii.gz", Grid(DATA.shape, moved), tmp_path / "b", here)
    with pytest.raises(ValueError, match=r"\(7, 6, 4\) voxels, but b has \(7, 6, 5\)"):
        check_same_grid(tmp_path / "a.nii.gz", Grid((7, 6, 4), OBLIQUE), tmp_path / "b", here)
    with pytest.raises(ValueError, match="does not fit"):
        write_like(np.zeros((6, 5, 7)), here, tmp_path / "c.nii.gz")
    with pytest.raises(ValueError, match="no format for a volume"):
        write_like(DATA.T, here, tmp_path / "c.txt")
    with pytest.raises(ValueError, match="do not fit into int32"):
        write_like(DATA.T.astype(np.int64) * 2**40, here, tmp_path / "c.nii.gz")


# Damage


def damaged(content):
    spoilt = bytearray(content)
    spoilt[len(spoilt) // 2 : len(spoilt) // 2 + 64] = bytes([255]) * 64
    return {"cut": content[: len(content) * 2 // 3], "spoilt": bytes(spoilt), "empty": b"", "text": b"no volume" * 99}


@pytest.mark.parametrize("how", ["cut", "spoilt", "empty", "text"])
@pytest.mark.parametrize("ending", ["nii.gz", "nii", "nrrd", "mha", "mhd"])
@pytest.mark.parametrize("packed", [True, False])
def test_a_damaged_file_is_named(tmp_path, ending, how, packed):
    array = np.random.default_rng(0).integers(0, 50, (24, 24, 24)).astype(np.int16)
    file = tmp_path / f"a.{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(file), useCompression=packed)
    stored = next(tmp_path.glob("*raw")) if ending == "mhd" and how in ("cut", "spoilt") else file
    if how == "spoilt" and (ending == "nii" or not (packed or ending == "nii.gz")):
        pytest.skip("without a checksum nobody can know")
    stored.write_bytes(damaged(stored.read_bytes())[how])
    with pytest.raises(ValueError, match=rf"a\.{ending}.*copy it again") as told:
        read_volume(file)
    assert "\n" not in str(told.value)


def test_bytes_lost_from_a_block_that_is_not_compressed_are_found_by_the_checksum(tmp_path):
    file = save(tmp_path / "a.nii.gz")
    content = bytearray(gzip.compress(gzip.decompress(file.read_bytes()), 0))  # stored as it is
    content[-40] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="cut short or damaged"):
        read_volume(file)


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*a\.nii\.gz"):
        read_volume(tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match="no volume; expected a name ending in"):
        read_volume(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="NaN or infinite"):
        read_volume(save(tmp_path / "a.nii.gz", np.where(DATA > 250, np.inf, 0).astype(np.float64)))


# Masks and Hounsfield units


def test_labels_that_are_nearly_whole_are_rounded_and_others_refused(tmp_path):
    labels = (DATA > 0).astype(np.uint8) + (DATA > 200)
    for number, data in enumerate((labels, labels.astype(np.float64), labels + 4e-4, labels.astype(np.int32))):
        mask = read_mask(save(tmp_path / f"{number}.nii.gz", data))
        assert mask.array.dtype == np.uint8
        assert np.array_equal(mask.array, labels.T)
    np.save(tmp_path / "bool.npy", labels.T > 0)
    assert read_mask(tmp_path / "bool.npy", (0, 1)).array.max() == 1
    assert read_mask(save(tmp_path / "large.nii.gz", labels.astype(np.int32) * 1000)).array.max() == 2000


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([0, 0.5, 1], "holds 0.5; a mask holds whole numbers"),
        ([0, 1 / 255, 1], "holds 0.00392157"),
        ([0.0, 1, -1], "holds label -1"),
        ([0, 1, 70000], "holds label 70000"),
        ([0, 1, 255], "label 255; expected 0, 1"),
    ],
)
def test_what_is_no_label_is_named(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        label_map(np.array(data), tmp_path / "a", (0, 1))


def head(shape=(8, 64, 64), skull=True, brain=35.0):
    """A head in air, in HU, with some noise."""
    z, y, x = np.ogrid[tuple(slice(-1, 1, n * 1j) for n in shape)]
    away = np.sqrt(y**2 + x**2) + 0 * z
    ct = np.where(away < 0.75, brain, np.where((away < 0.85) & skull, 1000, -1000.0))
    return ct + np.random.default_rng(0).normal(0, 8, shape)


@pytest.mark.parametrize(
    "ct",
    [
        head(),
        np.where(head() > 0, head(), 0),  # the air set to 0, the skull there
        np.where(head(skull=False) > -200, head(skull=False), 0),  # stripped
        np.where(head(skull=False) > -200, head(skull=False), -1024),
        np.clip(np.where(head(skull=False) > -200, head(skull=False), 0), 0, 100),
        np.where(np.arange(8)[:, None, None] == 3, 1100, np.clip(head(), 0, 80))[:, ::8, ::8],  # metal in a slice
    ],
)
def test_a_ct_in_hu_is_taken_with_and_without_skull(tmp_path, ct):
    check_hu(ct, tmp_path / "ct.nii.gz", stripped=True)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
@pytest.mark.parametrize(
    ("ct", "message"),
    [
        (head() + 1024, "rescale intercept is missing"),
        (head() + 1000, "rescale intercept is missing"),
        (np.clip(head(), -1000, 3000) + 8192, "rescale intercept is missing"),
        (np.where(head(skull=False) > -200, head(skull=False) + 1024, 0), "rescale intercept is missing"),
        (np.where(head(skull=False) > -200, head(skull=False) + 8192, 0), "rescale intercept is missing"),
        (np.clip(head(), 0, 80) / 80, "expected HU, such as 30 to 80"),
    ],
)
def test_a_ct_that_is_not_in_hu_is_refused(tmp_path, ct, message, dtype):
    with pytest.raises(ValueError, match=rf"ct\.nii\.gz.*{message}"):
        check_hu(ct.astype(dtype), tmp_path / "ct.nii.gz", stripped=True)
    with pytest.raises(ValueError, match="where air is -1000"):
        check_hu(np.clip(head(), 0, 80) * 3, tmp_path / "ct.nii.gz")
