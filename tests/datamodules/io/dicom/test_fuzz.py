"""Random tags of a CT series: read as the tags say, or refused in one line, never anything else.

`fuzzing` says how to try more.
"""

import math
import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.tag import Tag

from medzoo.datamodules.io.dicom.series import read_series
from tests.datamodules.io.dicom_series import COUNT, HU, NAME, SPACING, STORED, slice_of
from tests.datamodules.io.fuzzing import attempt, damage, folder_of, often

DECIMALS = ["", " ", "0", "-1", "1", "0.5", "2", "1e-9", "1e9", "1e400", "nan", "inf", "-1024", "12.5", "abc", "1\\2",
            "\\", "0.8\\0.7", "0.8\\", "1\\0\\0\\0\\1\\0", "0\\1\\0\\1\\0\\0", "1\\0\\0\\1\\0\\0", "0\\0\\0\\0\\0\\0",
            "2\\0\\0\\0\\2\\0", "-20\\-30\\12", "-20\\-30\\99", "-20\\-30\\nan", "-20\\-30", "1,5", "0x10",
            "\xe4", "1" * 40]  # fmt: skip
SHORTS = [0, 1, 2, 6, 7, 8, 11, 12, 15, 16, 17, 32, 255, 30000, 65535]
TEXTS = ["", " ", "CT", "MR", "SEG", "HU", "US", "mgml", "MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR",
         "YBR_FULL",
         "ORIGINAL\\PRIMARY\\LOCALIZER", "DERIVED\\SECONDARY", "1.1", "1.2", "\\", "\xe4\n", "x" * 70,
         "1.2.840.10008.5.1.4.1.1.2",
         "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2",
         "1.2.840.10008.1.2.4.90"]  # fmt: skip
TAGS = {
    **dict.fromkeys(("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "RescaleSlope", "SeriesNumber",
                     "RescaleIntercept", "SliceThickness", "GantryDetectorTilt", "NumberOfFrames", "InstanceNumber"),
                    DECIMALS),
    **dict.fromkeys(("Rows", "Columns", "BitsStored", "BitsAllocated", "HighBit", "PixelRepresentation",
                     "SamplesPerPixel",
                     "PixelPaddingValue"), SHORTS),
    **dict.fromkeys(("Modality", "SOPClassUID", "ImageType", "RescaleType", "PhotometricInterpretation", "PatientID",
                     "SeriesInstanceUID", "SeriesDescription", "SpecificCharacterSet", "PixelData"), TEXTS),
}  # fmt: skip


def encoded(said, odd):
    """The bytes of a file, with tags of a text or number that need not be allowed; none takes a tag away."""
    packed = DicomBytesIO()
    packed.is_little_endian, packed.is_implicit_VR = True, False
    packed.write(bytes(128) + b"DICM")
    write_file_meta_info(packed, said.file_meta)
    said["PixelData"].VR = "OW"
    tags = {Tag(tag_for_keyword(name)): value for name, value in odd.items()}
    for tag in sorted({*said.keys(), *tags}):
        if tag not in tags:
            write_data_element(packed, said[tag])
        elif tags[tag] is not None:
            value, kind = tags[tag], dictionary_VR(tag).split(" ")[0].encode()
            value = struct.pack("<H", value) if isinstance(value, int) else value.encode("latin1")
            value += b" " * (len(value) % 2)
            length = struct.pack("<HI", 0, len(value)) if kind in (b"OW", b"OB") else struct.pack("<H", len(value))
            packed.write(struct.pack("<HH", tag.group, tag.elem) + kind + length + value)
    return packed.getvalue()


@st.composite
def series(draw):
    """Files of a series by name, and its changes: which slice (all: none), which tag, what of it."""
    names, changes = draw(st.permutations("abcd")), []
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(sorted(TAGS)))
        changes.append(
            (draw(st.none() | st.integers(0, COUNT - 1)), name, draw(st.none() | st.sampled_from(TAGS[name])))
        )
    files = {}
    for number in range(COUNT):
        said = slice_of(number)
        said.SOPInstanceUID = said.file_meta.MediaStorageSOPInstanceUID = f"1.3.{number}"
        odd = {name: value for which, name, value in changes if which in (None, number)}
        files[names[number] + "_dcm"] = encoded(said, odd)
    return files, changes


def by_the_book(changes):
    """HU by height and the spacing, where it is plain what the changes mean; else none."""
    plain = {
        "RescaleSlope",
        "RescaleIntercept",
        "InstanceNumber",
        "SliceThickness",
        "PixelSpacing",
        "ImagePositionPatient",
    }
    scale, places = [[1.0, -1024.0] for _ in range(COUNT)], [10 + SPACING[2] * k for k in range(COUNT)]
    spacing = set()
    for which, name, value in changes:
        if name not in plain:
            return None
        try:
            numbers = [float(one) for one in (value or "").split("\\")]
        except ValueError:
            numbers = [math.nan]
        for number in range(COUNT) if which is None else [which]:
            if name.startswith("Rescale"):
                scale[number][name == "RescaleIntercept"] = numbers[0]
            elif name == "ImagePositionPatient":
                places[number] = numbers[-1]
            elif name == "PixelSpacing":
                spacing.add(tuple(numbers))
    order = np.argsort(places, kind="stable")
    hu = np.stack([np.clip(STORED[k] * scale[k][0] + scale[k][1], -1024, 3071) for k in order])
    return hu, spacing or {SPACING[:2]}, np.array(places)[order]


@often
@given(series(), st.data())
def test_random_tags_of_a_series(made, data):
    files, changes = made
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(sorted(files)))
        harmed = {**files, name: data.draw(damage(files[name], 132))}
    else:
        harmed = files
    with folder_of(**harmed) as folder:
        found = attempt(read_series, folder, secrets=NAME.split("^"))
    if not changes and harmed == files:
        assert np.array_equal(found.pixels, HU)
    if found is None:
        return
    assert found.pixels.ndim == 3
    assert np.isfinite(found.pixels).all()
    assert min(found.spacing) > 0
    assert np.isfinite(found.spacing).all()
    assert np.isfinite(found.positions).all()
    assert (np.diff(found.heights) > 0).all()
    expected = by_the_book(changes)
    if expected and harmed == files:
        hu, spacing, places = expected
        assert any(np.allclose(found.spacing, each, atol=1e-4) for each in spacing)
        if len(np.unique(places)) == COUNT:
            assert np.allclose(found.pixels, hu, atol=1e-3)
            assert np.allclose(found.heights, places - places[0], atol=1e-6)
    image = found.to_image()
    assert min(image.GetSpacing()) > 0
