"""DICOM through the door of volumes and pictures: values and places against what was written, and what is told."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import JPEGBaseline8Bit

from medzoo.datamodules.io import find_volumes, geometry, named, read_mask, read_volume, write_like
from medzoo.datamodules.io.dicom.images import read_pictures
from medzoo.datamodules.seen import mark_file
from tests.datamodules.io.dicom_series import CORNER, HU, SPACING, slice_of, write_ct, write_enhanced, write_volume

AFFINE = np.array([[0.9, 0, 0, -7], [0, 0.8, 0, 3], [0, 0, 4.0, 11], [0, 0, 0, 1]])
X_RAY = "1.2.840.10008.5.1.4.1.1.1.1"


def volume(seed=0):
    return nib.Nifti1Image(np.random.default_rng(seed).integers(-900, 900, (7, 6, 5)).astype(np.int16), AFFINE)


def oriented(image, axes):
    return image.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt(axes))
    )


def picture(file, values, *, photometric="MONOCHROME2", bits=8, modality="DX", **said):
    """A file without a place in the patient."""
    values = np.ascontiguousarray(values)
    made = slice_of(0)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        delattr(made, name)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID = X_RAY
    made.Modality, made.PhotometricInterpretation = modality, photometric
    made.SamplesPerPixel = 3 if values.shape[-1] == 3 else 1
    made.Rows, made.Columns = values.shape[-3:-1] if made.SamplesPerPixel == 3 else values.shape[-2:]
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = values.itemsize * 8, bits, bits - 1, 0
    if made.SamplesPerPixel == 3:
        made.PlanarConfiguration = 0
    made.PixelData = values.tobytes()
    for name, value in said.items():
        setattr(made, name, value)
    made.save_as(file, enforce_file_format=True)
    return file


@pytest.mark.parametrize("axes", ["LPS", "PIL", "LIP", "RAI", "ASR"])
def test_a_series_is_the_volume_that_simpleitk_reads(tmp_path, axes):
    write_volume(tmp_path / "ct", oriented(volume(), axes))
    found, grid = read_volume(tmp_path / "ct"), geometry(tmp_path / "ct")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "ct")))
    peer = sitk.DICOMOrient(reader.Execute(), "RAS")
    assert found.array.dtype == np.int16
    assert np.array_equal(found.array, volume().get_fdata().T)
    assert np.array_equal(found.array, sitk.GetArrayFromImage(peer))
    assert found.spacing == pytest.approx(peer.GetSpacing()[::-1])
    assert (np.diag([-1, -1, 1, 1]) @ found.affine)[:3, 3] == pytest.approx(peer.GetOrigin(), abs=1e-4)
    assert np.allclose(found.affine, AFFINE, atol=1e-5)
    assert grid.shape == found.array.shape
    assert np.array_equal(grid.affine, found.affine)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_mask_is_written_onto_the_grid_of_a_series(tmp_path, ending):
    write_volume(tmp_path / "ct", oriented(volume(), "PIL"))
    image = read_volume(tmp_path / "ct")
    mask = (image.array > 0).astype(np.uint8)
    for source in (image, tmp_path / "ct"):
        write_like(mask, source, tmp_path / f"mask{ending}")
        again = read_mask(tmp_path / f"mask{ending}")
        assert np.array_equal(again.array, mask)
        assert np.allclose(again.affine, image.affine, atol=1e-4)
        assert again.grid.file_shape == image.grid.file_shape


def test_odd_slices_lie_where_headers_alone_say(tmp_path):
    def odd(number, said):  # leaning, and unevenly apart
        said.ImagePositionPatient = [CORNER[0], CORNER[1] + 0.9 * number, CORNER[2] + [0, 2, 4, 9][number]]

    write_ct(tmp_path, odd)
    found, grid = read_volume(tmp_path), geometry(tmp_path)
    assert grid.shape == found.array.shape == (5, 10, 8)
    assert np.array_equal(grid.affine, found.affine)
    assert grid.spacing == pytest.approx((2, 0.8, 0.7))


def test_a_file_of_several_frames_is_a_volume(tmp_path):
    write_enhanced(tmp_path / "ct")
    file = tmp_path / "ct" / "enhanced"
    found = read_volume(file)
    assert np.array_equal(found.array, HU[:, ::-1, ::-1])
    assert np.array_equal(geometry(file).affine, found.affine)
    assert found.spacing == pytest.approx((2, 0.8, 0.7))
    with pytest.raises(ValueError, match="enhanced: a volume of 4 slices; expected a picture"):
        read_pictures(file)


@pytest.mark.parametrize("modality", ["MR", "PT"])
def test_values_without_a_rescale_are_as_they_are_stored(tmp_path, modality):
    write_volume(tmp_path, volume(), modality=modality)
    found = read_volume(tmp_path)
    assert np.array_equal(found.array, volume().get_fdata().T)
    assert np.allclose(found.affine, AFFINE, atol=1e-5)
    write_volume(tmp_path, volume(), modality="PT", RescaleSlope=0.25, RescaleIntercept=0)
    assert np.array_equal(read_volume(tmp_path).array, volume().get_fdata().T / 4)


def test_a_file_of_one_slice_lies_where_it_was_taken(tmp_path):
    write_ct(tmp_path, lambda number, said: setattr(said, "PhotometricInterpretation", "MONOCHROME1"))
    file = tmp_path / "1.1_1.dcm"  # the third
    found = read_volume(file)
    assert found.array.dtype == np.int16
    assert np.array_equal(found.array, HU[2:3, ::-1, ::-1])
    whole = read_volume(tmp_path)
    assert np.allclose(found.affine[:3, 3], (whole.affine @ [0, 0, 2, 1])[:3])
    assert found.spacing == pytest.approx((SPACING[2], *SPACING[:2]))
    assert np.array_equal(geometry(file).affine, found.affine)
    (shown,) = read_pictures(file)
    assert np.array_equal(shown, HU[2])


def test_pictures_are_shown_as_a_viewer_shows_them(tmp_path):
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    file = picture(tmp_path / "a.dcm", grey, ImagerPixelSpacing=[0.3, 0.2])
    (shown,) = read_pictures(file)
    assert shown.dtype == np.uint8
    assert np.array_equal(shown, grey)
    found = read_volume(file)
    assert np.array_equal(found.grid.to_picture(found.array), grey)
    assert found.grid.pixel == pytest.approx((0.3, 0.2))
    assert np.array_equal(geometry(file).affine, found.affine)
    assert np.array_equal(read_pictures(picture(tmp_path / "b", grey, photometric="MONOCHROME1"))[0], 255 - grey)
    deep = grey.astype(np.uint16) * 7
    (shown,) = read_pictures(picture(tmp_path / "c", deep, photometric="MONOCHROME1", bits=12))
    assert np.array_equal(shown, deep.max() - deep)
    (shown,) = read_pictures(picture(tmp_path / "d", deep, bits=12, RescaleSlope=2, RescaleIntercept=-3))
    assert np.array_equal(shown, deep * 2.0 - 3)
    few = (grey // 4).astype(np.uint8)
    (shown,) = read_pictures(picture(tmp_path / "f", few, photometric="MONOCHROME1", bits=6))
    assert np.array_equal(shown, few.max() - few), "bits that are not stored are no tones"
    padded = np.where(grey == 0, 4095, deep).astype(np.uint16)
    (shown,) = read_pictures(picture(tmp_path / "e", padded, bits=12, PixelPaddingValue=4095))
    assert shown.max() == deep.max()


def test_colours_and_frames_without_a_place_are_pictures_and_no_volume(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    file = picture(tmp_path / "us.dcm", colours, photometric="RGB", modality="US")
    assert np.array_equal(read_pictures(file)[0], colours)
    with pytest.raises(ValueError, match=r"us\.dcm: a picture in colour"):
        read_volume(file)
    frames = np.arange(96, dtype=np.uint8).reshape(2, 6, 8)
    file = picture(tmp_path / "cine.dcm", frames, modality="US", NumberOfFrames=2)
    assert np.array_equal(read_pictures(file), frames)
    with pytest.raises(ValueError, match=r"cine\.dcm: 2 frames without a position"):
        read_volume(file)


def test_colours_of_a_jpeg_are_converted(tmp_path):
    from io import BytesIO

    from PIL import Image

    colours = np.zeros((16, 16, 3), np.uint8) + np.array([200, 40, 90], np.uint8)
    packed = BytesIO()
    Image.fromarray(colours).save(packed, "JPEG", quality=95)
    file = picture(tmp_path / "us.dcm", colours, photometric="YBR_FULL_422", modality="US")
    said = pydicom.dcmread(file)
    said.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    said.PixelData = pydicom.encaps.encapsulate([packed.getvalue()])
    said["PixelData"].is_undefined_length = True
    said.save_as(file)
    assert np.abs(read_pictures(file)[0].astype(int) - colours).max() <= 3


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (
            lambda f: picture(f, np.zeros((4, 4), np.uint8), photometric="PALETTE COLOR"),
            "PALETTE COLOR; save it as grey",
        ),
        (lambda f: picture(f, np.zeros((4, 4), np.uint8), PixelData=b"\0\0"), "pixels cannot be read"),
        (lambda f: picture(f, np.zeros((4, 4), np.uint8), ImagerPixelSpacing=[0, 1]), "the size of its pixels"),
        (lambda f: f.write_bytes(b"no"), "no preamble with the mark DICM"),
        (lambda f: f.mkdir(), "0 CT or MR or PT slices"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, make, match):
    make(tmp_path / "x.dcm")
    with pytest.raises(ValueError, match=rf"x\.dcm: .*{match}") as caught:
        read_volume(tmp_path / "x.dcm")
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"no file .*nothing\.dcm"):
        read_volume(tmp_path / "nothing.dcm")


def test_several_series_are_told_with_what_to_do(tmp_path):
    write_ct(tmp_path)
    write_ct(tmp_path, series="1.2")
    for read in (read_volume, geometry):
        with pytest.raises(ValueError, match=r"2 series: .*\(4 slices\).*; give each a folder of its own"):
            read(tmp_path)


def test_folders_of_dicom_are_found_among_files(tmp_path, caplog):
    write_ct(tmp_path / "one")
    write_volume(tmp_path / "two" / "deep", volume(), ending="")
    nib.save(volume(), tmp_path / "two" / "scan.nii.gz")
    (tmp_path / "two" / "deep" / "LICENSE").write_text("words")
    nib.save(volume(), tmp_path / "one.nii.gz")
    found = named(tmp_path, (".nii.gz",), below=True, dicom="series")
    assert found == {
        "one.dcm": tmp_path / "one",
        "one": tmp_path / "one.nii.gz",
        "two/deep": tmp_path / "two" / "deep",
        "two/scan": tmp_path / "two" / "scan.nii.gz",
    }
    assert not caplog.text, "what lies beside slices is told when they are read"
    assert named(tmp_path / "one", (), dicom="series") == {"one": tmp_path / "one"}
    files = named(tmp_path, (".nii.gz",), below=True, dicom="files")
    assert set(files) == {
        "one", "two/scan", *(f"one/1.1_{n}" for n in range(4)), *(f"two/deep/IM{n:06d}" for n in range(1, 6)),
    }  # fmt: skip
    assert "1 files of 12 are no images and are left out: two/deep/LICENSE" in caplog.text


def test_a_preview_beside_slices_without_endings_does_not_hide_them(tmp_path):
    write_volume(tmp_path, volume(), ending="")
    (tmp_path / "preview.png").write_bytes(b"")
    assert named(tmp_path, (".png",), dicom="series")[tmp_path.name] == tmp_path


def test_a_folder_is_known_by_its_files_whatever_they_are_called(tmp_path):
    write_ct(tmp_path / "one")
    before = mark_file(tmp_path / "one")
    for number, file in enumerate(sorted((tmp_path / "one").iterdir(), reverse=True)):
        file.rename(file.with_name(f"slice{number}"))
    (tmp_path / "one" / "Thumbs.db").write_bytes(b"x")
    assert mark_file(tmp_path / "one") == before


def test_a_volume_is_found_by_name_in_any_format(tmp_path):
    assert not find_volumes(tmp_path, ["ct"])
    nib.save(volume(), tmp_path / "T2.NII.GZ")
    assert find_volumes(tmp_path, ["t2"])["t2"] == find_volumes(tmp_path, ["T2"])["T2"] == tmp_path / "T2.NII.GZ"
    write_ct(tmp_path / "ct")
    assert find_volumes(tmp_path, ["ct"])["ct"] == tmp_path / "ct"
    nib.save(volume(), tmp_path / "t1.nii")
    assert find_volumes(tmp_path, ["t1"])["t1"] == tmp_path / "t1.nii"
    nib.save(volume(), tmp_path / "ct.nii.gz")
    with pytest.raises(ValueError, match=r"ct\.nii\.gz: and ct beside it; keep one"):
        find_volumes(tmp_path, ["ct"])


def test_a_rescale_beyond_all_units_is_refused(tmp_path):
    write_ct(tmp_path, lambda _, said: setattr(said, "RescaleIntercept", "1e39"))
    with pytest.raises(ValueError, match=r"RescaleSlope 1 and RescaleIntercept 1e\+39; export the series again"):
        read_volume(tmp_path)
