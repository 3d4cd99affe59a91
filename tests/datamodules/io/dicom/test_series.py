"""CT series as they come: each odd kind is either read right, or told in one line that names the file."""

import logging
import struct
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    MediaStorageDirectoryStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from medzoo.datamodules.io.dicom.series import holds_dicom, read_series
from tests.datamodules.io.dicom_series import (
    HU,
    NAME,
    STORED,
    dataset,
    describe,
    only,
    slice_of,
    write_ct,
    write_enhanced,
)


def refused(folder, match, **options):
    with pytest.raises(ValueError, match=match) as caught:
        read_series(folder, **options)
    said = str(caught.value)
    assert str(folder) in said
    assert "\n" not in said
    assert NAME not in said
    assert "4711" not in said


def encoded(folder, compressor):
    """The series with its pixels compressed by another program than ours."""
    write_ct(folder)
    for file in folder.iterdir():
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(file.with_suffix(".packed.dcm")))
        writer.KeepOriginalImageUIDOn()
        writer.UseCompressionOn()
        writer.SetCompressor(compressor)
        said = pydicom.dcmread(file)
        image = sitk.GetImageFromArray(said.pixel_array)
        writer.Execute(image)
        packed = pydicom.dcmread(file.with_suffix(".packed.dcm"))
        file.with_suffix(".packed.dcm").unlink()
        said.PixelData, said.file_meta.TransferSyntaxUID = packed.PixelData, packed.file_meta.TransferSyntaxUID
        said["PixelData"].is_undefined_length = True
        said.save_as(file, enforce_file_format=True)
    return folder


def test_values_and_places(tmp_path):
    slices = read_series(write_ct(tmp_path))
    np.testing.assert_array_equal(slices.pixels, HU)
    np.testing.assert_allclose(slices.heights, [0, 2, 4, 6])
    assert (slices.spacing, slices.series) == ((0.8, 0.7), "1.1")


def rle(_, said):
    said.compress(RLELossless)


def deflated(_, said):
    said.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian


def big_endian(number, said):
    said.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    said.set_original_encoding(is_implicit_vr=False, is_little_endian=False)
    said.PixelData = STORED[number].astype(">i2").tobytes()


def unsigned(number, said):
    said.PixelRepresentation = 0


def twelve_bits(number, said):
    """Signed, without the sign carried on into the unused bits."""
    said.BitsStored, said.HighBit, said.RescaleIntercept = 12, 11, 476
    said.PixelData = ((STORED[number] - 1500) & 0xFFF).astype(np.uint16).tobytes()


def overlay(number, said):
    """In a bit above the picture, as scanners once did."""
    said.BitsStored, said.HighBit, said.PixelRepresentation = 12, 11, 0
    said.add_new(0x60000102, "US", 15)
    said.PixelData = (STORED[number].astype(np.uint16) | 0x8000).tobytes()


def slope_of_its_own(number, said):
    said.RescaleSlope = [1, 0.5, 0.25, 1][number]
    said.PixelData = (STORED[number] / said.RescaleSlope).astype(np.int16).tobytes()


def inverted(_, said):
    said.PhotometricInterpretation = "MONOCHROME1"


def jitter(number, said):
    said.ImageOrientationPatient = [1, 3e-4 * (number % 2), 0, -3e-4 * (number % 2), 1, 0]


def no_image_type(_, said):
    del said.ImageType


def no_modality(_, said):
    del said.Modality


KINDS = [rle, deflated, big_endian, unsigned, twelve_bits, overlay, slope_of_its_own, inverted, jitter, no_image_type]


@pytest.mark.parametrize("change", [*KINDS, no_modality], ids=lambda change: change.__name__)
def test_variants_of_one_series_are_one_volume(tmp_path, change):
    np.testing.assert_array_equal(read_series(write_ct(tmp_path, change)).pixels, HU)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_compressed_pixels_are_those_before(tmp_path, compressor):
    folder = encoded(tmp_path / "packed", compressor)
    syntax = pydicom.dcmread(next(folder.iterdir())).file_meta.TransferSyntaxUID
    assert syntax.is_encapsulated
    np.testing.assert_array_equal(read_series(folder).pixels, HU)
    for file in folder.iterdir():  # shown the other way round, which changes no HU
        said = pydicom.dcmread(file)
        said.PhotometricInterpretation = "MONOCHROME1"
        said.save_as(file)
    np.testing.assert_array_equal(read_series(folder).pixels, HU)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_compressed_pixels_cut_short_are_told(tmp_path, compressor):
    folder = encoded(tmp_path / "packed", compressor)
    file = min(folder.iterdir())
    said = pydicom.dcmread(file)
    (whole,) = pydicom.encaps.generate_frames(said.PixelData, number_of_frames=1)
    said.PixelData = pydicom.encaps.encapsulate([whole[: len(whole) // 2 // 2 * 2]])
    said.save_as(file)
    refused(folder, rf"{file.name}: pixels cannot be read")
    content = file.read_bytes()
    file.write_bytes(content[:-40])
    refused(folder, rf"{file.name}: ")


@pytest.mark.parametrize("shared_scale", [True, False])
def test_enhanced_ct_is_read_frame_by_frame(tmp_path, shared_scale):
    slices = read_series(write_enhanced(tmp_path / "ct", shared_scale=shared_scale))
    np.testing.assert_array_equal(slices.pixels, HU)
    np.testing.assert_allclose(slices.heights, [0, 2, 4, 6])


def test_frames_that_are_not_described_are_told(tmp_path):
    folder = write_enhanced(tmp_path / "ct")
    said = pydicom.dcmread(folder / "enhanced")
    said.PerFrameFunctionalGroupsSequence.pop()
    said.save_as(folder / "enhanced")
    refused(folder, "describes 3 frames and has 4")


def test_what_is_no_slice_is_left_out_and_counted(tmp_path, caplog):
    folder = write_ct(tmp_path)
    for name, change in {
        "scout": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        "mr": {"Modality": "MR"},
        "state": {"Modality": "PR"},
        "report": {"ImageType": ["DERIVED", "SECONDARY"], "ImagePositionPatient": None},
    }.items():
        said = slice_of(0, "1.2")
        only(0, **change)(0, said)
        said.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    said = dataset(SecondaryCaptureImageStorage)  # a dose report: modality CT, even of the same series
    describe(said, STORED[0])
    said.save_as(folder / "dose", enforce_file_format=True)
    said = dataset(MediaStorageDirectoryStorage)
    del said.Modality
    said.save_as(folder / "DICOMDIR", enforce_file_format=True)
    (folder / ".DS_Store").write_bytes(b"junk")
    (folder / "LICENSE").write_text("words")
    with caplog.at_level(logging.INFO):
        np.testing.assert_array_equal(read_series(folder).pixels, HU)
    for word in ("localizer", "modality MR", "modality PR", "secondary capture", "made of other", "directory"):
        assert f"1 files ({word}" in caplog.text
    assert "1 files (no DICOM)" in caplog.text
    assert NAME not in caplog.text


def test_several_series_are_named_and_one_can_be_chosen(tmp_path):
    def named(number, description):
        def change(k, said):
            said.SeriesNumber, said.SeriesDescription = number, description
            said.RescaleIntercept = -1024 + number

        return change

    write_ct(tmp_path, named(2, "Head 5.0 H31s"))
    write_ct(tmp_path, named(3, "Head 1.0 H60s"), series="1.2")
    (tmp_path / "1.2_0.dcm").unlink()
    refused(
        tmp_path, r"2 series: number 2 'Head 5.0 H31s' \(4 slices\), number 3 'Head 1.0 H60s' \(3 slices\); .*series="
    )
    for choice in (3, "3", "head 1.0 h60s", "1.2"):
        np.testing.assert_array_equal(read_series(tmp_path, choice).pixels, HU[:3] + 3)
    refused(tmp_path, "no series 7; there are number 2", series=7)


def test_a_picture_that_is_alone_in_its_series_is_left_out(tmp_path):
    write_ct(tmp_path)
    slice_of(0, "1.2").save_as(tmp_path / "scout.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_series(tmp_path).pixels, HU)


def test_files_need_no_ending_but_the_mark(tmp_path):
    folder = write_ct(tmp_path)
    for file in list(folder.iterdir()):
        file.rename(folder / f"IM{file.stem[-1]}")
    assert holds_dicom(folder)
    np.testing.assert_array_equal(read_series(folder).pixels, HU)
    whole = (folder / "IM2").read_bytes()
    (folder / "IM2").write_bytes(whole[132:])
    refused(folder, "IM2: no preamble")
    (folder / "IM2").write_bytes(whole)
    (folder / "IM7.dcm").write_bytes(b"")
    refused(folder, r"IM7.dcm: no preamble .* cut short")


def test_a_missing_slice_is_told_with_its_neighbours(tmp_path, caplog):
    write_ct(tmp_path, lambda number, said: only(3, ImagePositionPatient=[-20, -30, 19])(number, said))
    assert len(read_series(tmp_path).pixels) == 4
    assert "1 wide gaps, the first of 5.0 mm from 1.1_1.dcm to 1.1_0.dcm, where 2.0 mm is usual" in caplog.text


def test_padding_is_air(tmp_path):
    def padded(number, said):
        said.PixelRepresentation, said.PixelPaddingValue = 0, 63536
        values = STORED[number].astype(np.uint16)
        values[0, 0] = 63536
        said.PixelData = values.tobytes()

    expected = HU.copy()
    expected[:, 0, 0] = -1024
    np.testing.assert_array_equal(read_series(write_ct(tmp_path, padded)).pixels, expected)


def test_values_without_air_are_told(tmp_path, caplog):
    read_series(write_ct(tmp_path, lambda number, said: setattr(said, "RescaleIntercept", 0)))
    assert "without air near -1000; is RescaleIntercept right?" in caplog.text


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"RescaleIntercept": None}, "no RescaleSlope and RescaleIntercept"),
        ({"RescaleSlope": 0}, "RescaleSlope 0 is not above 0"),
        ({"RescaleType": "OD"}, "RescaleType is not HU"),
        ({"PixelSpacing": [0, 1]}, "PixelSpacing"),
        ({"PixelSpacing": [1, 1, 1]}, "PixelSpacing is not 2 finite numbers"),
        ({"PixelSpacing": [800, 700]}, "not possible for CT"),
        ({"ImagePositionPatient": [0, 0]}, "ImagePositionPatient is not 3 finite numbers"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "ImageOrientationPatient"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "not MONOCHROME2"),
        ({"BitsStored": 10, "HighBit": 9}, "BitsStored 10 cannot"),
        ({"BitsStored": 12, "HighBit": 15}, "BitsStored 12 cannot"),
        ({"NumberOfFrames": 2}, "multi-frame image without a place"),
        ({"PixelData": None}, "pixels cannot be read"),
        ({"PixelData": b"\0\0"}, "pixels cannot be read"),
        ({"PixelRepresentation": None}, "pixels cannot be read"),
        ({"BitsAllocated": 12}, "pixels cannot be read"),
        ({"Rows": 0}, "0 Rows"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, values, match):
    write_ct(tmp_path, only(2, **values))
    refused(tmp_path, rf"1\.1_1\.dcm.*{match}")


def test_a_damaged_code_stream_is_refused(tmp_path):
    def junk(number, said):
        said.file_meta.TransferSyntaxUID = JPEG2000Lossless
        said.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51junk\xff\xd9"])
        said["PixelData"].is_undefined_length = True

    refused(write_ct(tmp_path, junk), "pixels cannot be read")


@pytest.mark.parametrize("left", [140, 300, 500, 700, 0.9])
def test_a_file_cut_short_is_told_wherever_it_ends(tmp_path, left):
    folder = write_ct(tmp_path)
    file = folder / "1.1_2.dcm"
    content = file.read_bytes()
    file.write_bytes(content[: left if isinstance(left, int) else int(left * len(content))])
    refused(folder, file.name)


# Made up headers: each either changes nothing, or is told with the file's name.

WORDS = st.sampled_from(["", "abc", "nan", "inf", "-1", "0", "1", "1e9", "1\\1", "1\\0\\0\\0\\1\\0", NAME])
NUMBERS = st.one_of(st.just(0), st.integers(0, 65535))
TAGS = dict.fromkeys(("RescaleSlope", "RescaleIntercept", "RescaleType", "PixelSpacing", "NumberOfFrames"), WORDS)
TAGS |= dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "ImageType", "Modality"), WORDS)
TAGS |= dict.fromkeys(("GantryDetectorTilt", "PhotometricInterpretation", "SeriesNumber", "PatientName"), WORDS)
TAGS |= dict.fromkeys(("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "SamplesPerPixel"), NUMBERS)
TAGS |= dict.fromkeys(("PixelRepresentation", "PixelPaddingValue"), NUMBERS)
CHANGES = st.sampled_from(sorted(TAGS)).flatmap(lambda name: st.tuples(st.just(name), TAGS[name]))
HARMLESS = ("GantryDetectorTilt", "SeriesNumber", "PatientName", "ImageType", "RescaleType", "PixelPaddingValue")


PRESENT = {"RescaleType": "HU", "NumberOfFrames": 1, "GantryDetectorTilt": 0, "SeriesNumber": 1, "PixelPaddingValue": 0}


@cache
def described():
    """The files of a series in which every tag of `TAGS` is set."""
    with tempfile.TemporaryDirectory() as home:
        folder = write_ct(Path(home), lambda number, said: only(number, **PRESENT)(number, said))
        return {file.name: file.read_bytes() for file in folder.iterdir()}


def fuzzed(folder, name, value):
    """Write the series with the bytes of one tag of one slice set so: pydicom refuses to write some of them."""
    for file, content in described().items():
        (folder / file).write_bytes(content)
    content = described()["1.1_1.dcm"]
    tag = pydicom.datadict.tag_for_keyword(name)
    raw = value.to_bytes(2, "little") if isinstance(value, int) else value.encode()
    raw += b" " * (len(raw) % 2)
    vr = "SS" if name == "PixelPaddingValue" else pydicom.datadict.dictionary_VR(tag)
    start = content.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()) + 6
    (length,) = struct.unpack("<H", content[start : start + 2])
    rest = content[start + 2 + length :]
    (folder / "1.1_1.dcm").write_bytes(content[:start] + struct.pack("<H", len(raw)) + raw + rest)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(CHANGES)
def test_made_up_tags_are_right_or_told(change):
    name, value = change
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        fuzzed(folder, name, value)
        try:
            found, said = read_series(folder).pixels, ""
        except ValueError as error:
            found, said = None, str(error)
    if found is None:
        in_file = name not in ("ImagePositionPatient", "Modality")  # these may make a gap, which is the series'
        assert str(folder / "1.1_1.dcm" if in_file else folder) in said, (change, said)
        assert NAME not in said
    elif len(found) == 4:
        assert name in (*HARMLESS, "PixelSpacing") or name.startswith("Rescale") or np.array_equal(found, HU), change
        np.testing.assert_array_equal(found[[0, 1, 3]], HU[[0, 1, 3]])
