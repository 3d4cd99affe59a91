"""DICOM segmentations: of each type, written by highdicom and by hand, right or told."""

import logging

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.seg import SegmentationFractionalTypeValues, SegmentationTypeValues
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from medzoo.datamodules.io.dicom.segmentations import find_series, read_segments
from medzoo.datamodules.io.dicom.series import read_series
from tests.datamodules.io.dicom_series import COLUMNS, COUNT, ROWS, write_ct

SHAPE = (COUNT, ROWS, COLUMNS)


@pytest.fixture
def slices(tmp_path):
    return read_series(write_ct(tmp_path / "ct"))


def masks():
    liver, mass = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    liver[1:3, 1:5, 1:4] = True
    mass[2, 2, 2:6] = True
    return liver, mass


def described(number, label):
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.MANUAL,
    )


def write_seg(tmp_path, values, kind, **options):
    """By highdicom: an implementation that is not ours; frames that are empty are left out."""
    source = [pydicom.dcmread(file) for file in sorted((tmp_path / "ct").iterdir())]
    source.sort(key=lambda said: said.ImagePositionPatient[2])
    seg = highdicom.seg.Segmentation(
        source_images=source,
        pixel_array=values,
        segmentation_type=kind,
        segment_descriptions=[described(1, "Liver"), described(2, "Mass")],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
        **options,
    )
    (tmp_path / "seg").mkdir()
    file = tmp_path / "seg" / "1-1.dcm"
    seg.save_as(file)
    return file


def change(file, edit):
    said = pydicom.dcmread(file)
    edit(said)
    said.save_as(file)
    return file


@pytest.fixture
def binary(tmp_path, slices):
    return write_seg(tmp_path, np.stack(masks(), -1).astype(np.uint8), SegmentationTypeValues.BINARY)


def test_binary_segments_may_overlap_and_it_is_told(tmp_path, slices, binary, caplog):
    (tmp_path / "seg" / ".DS_Store").write_bytes(b"junk")
    (tmp_path / "seg" / "LICENSE").write_text("words")
    with caplog.at_level(logging.INFO):
        found = read_segments(tmp_path / "seg", slices)
    for name, mask in zip(("liver", "mass"), masks(), strict=True):
        np.testing.assert_array_equal(found[name], mask)
    assert "segments 'liver' and 'mass' overlap in 2 voxels" in caplog.text


def test_fractions_are_cut_at_one_half(tmp_path, slices):
    values = np.zeros((*SHAPE, 2), np.float32)
    values[..., 0][masks()[0]] = 0.02
    values[1, 2, 2, 0], values[2, 3, 3, 0], values[0, 0, 0, 0], values[2, 2, 2, 1] = 0.98, 0.5, 0.49, 1
    file = write_seg(
        tmp_path,
        values,
        SegmentationTypeValues.FRACTIONAL,
        fractional_type=SegmentationFractionalTypeValues.PROBABILITY,
        max_fractional_value=200,
    )
    found = read_segments(file, slices)
    assert np.argwhere(found["liver"]).tolist() == [[1, 2, 2], [2, 3, 3]]
    assert np.argwhere(found["mass"]).tolist() == [[2, 2, 2]]
    for value, match in ((100, "MaximumFractionalValue is 100"), (None, "has no MaximumFractionalValue")):
        change(file, lambda said, value=value: setattr(said, "MaximumFractionalValue", value))
        with pytest.raises(ValueError, match=match):
            read_segments(file, slices)


def test_a_label_map_has_all_segments_in_one_frame(tmp_path, slices):
    liver, mass = masks()
    values = np.where(mass, 2, liver).astype(np.uint8)
    found = read_segments(write_seg(tmp_path, values, SegmentationTypeValues.LABELMAP), slices)
    assert sorted(found) == ["liver", "mass"]
    np.testing.assert_array_equal(found["liver"], liver & ~mass)
    np.testing.assert_array_equal(found["mass"], mass)


def test_what_is_said_for_all_frames_counts_for_each(slices, binary):
    def one_segment(said):
        groups = said.PerFrameFunctionalGroupsSequence
        said.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence = groups[0].SegmentIdentificationSequence
        for group in groups:
            del group.SegmentIdentificationSequence
        said.SegmentSequence.pop()

    found = read_segments(change(binary, one_segment), slices)
    np.testing.assert_array_equal(found["liver"], masks()[0] | masks()[1])


def test_the_series_of_a_folder_are_found_with_what_they_refer_to(tmp_path, binary):
    (tmp_path / "seg" / ".DS_Store").write_bytes(b"junk")
    found = find_series(tmp_path)
    assert [(one.folder.name, one.modality, one.refers_to) for one in found] == [
        ("ct", "CT", ""),
        ("seg", "SEG", "1.1"),
    ]
    binary.rename(tmp_path / "ct" / "seg.dcm")  # both in one folder
    assert sorted((one.folder.name, one.modality) for one in find_series(tmp_path)) == [("ct", "CT"), ("ct", "SEG")]
    assert sorted(read_segments(tmp_path / "ct", read_series(tmp_path / "ct"))) == ["liver", "mass"]


def first_frame(said):
    return said.PerFrameFunctionalGroupsSequence[0]


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (
            lambda s: setattr(s.ReferencedSeriesSequence[0], "SeriesInstanceUID", "9.9"),
            r"outlines series 9\.9, not 1\.1",
        ),
        (lambda s: setattr(s, "SegmentationType", "OTHER"), "SegmentationType is OTHER"),
        (lambda s: setattr(s, "Rows", ROWS // 2), "cannot be read|pixels, the CT has"),
        (lambda s: s.PerFrameFunctionalGroupsSequence.pop(), "describes 2 frames and has 3"),
        (lambda s: s.SegmentSequence.pop(), "segment 2, which is not described"),
        (lambda s: delattr(s, "PixelData"), "pixels cannot be read"),
        (lambda s: setattr(s, "PixelData", s.PixelData[:4]), "pixels cannot be read"),
        (lambda s: delattr(first_frame(s), "SegmentIdentificationSequence"), "has no ReferencedSegmentNumber"),
        (lambda s: delattr(first_frame(s), "PlanePositionSequence"), "has no ImagePositionPatient"),
        (
            lambda s: setattr(first_frame(s).PlanePositionSequence[0], "ImagePositionPatient", [-20, -30, 99]),
            "is not on a slice of the CT",
        ),
        (
            lambda s: setattr(first_frame(s).PlanePositionSequence[0], "ImagePositionPatient", [-10, -30, 12]),
            "lies beside its slice",
        ),
        (
            lambda s: setattr(
                s.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0],
                "ImageOrientationPatient",
                [0, 1, 0, 1, 0, 0],
            ),
            "turned against",
        ),
        (
            lambda s: setattr(s.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0], "PixelSpacing", [1, 1]),
            "pixels of .* mm, the CT has",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_the_file(slices, binary, edit, match):
    with pytest.raises(ValueError, match=match) as caught:
        read_segments(change(binary, edit), slices)
    assert str(binary) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_has_one_segmentation(tmp_path, slices, binary):
    (tmp_path / "seg" / "2.dcm").write_bytes(binary.read_bytes())
    with pytest.raises(ValueError, match=r"2 files with a readable DICOM segmentation \(1-1.dcm, 2.dcm\)"):
        read_segments(tmp_path / "seg", slices)
    with pytest.raises(ValueError, match="no file of modality SEG"):
        read_segments(tmp_path / "ct", slices)
