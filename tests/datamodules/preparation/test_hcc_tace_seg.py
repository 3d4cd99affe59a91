"""HCC-TACE-Seg written small: DICOM series of two studies, segmentations, and the table as Excel has it."""

import csv

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage, generate_uid

from medzoo.datamodules.io.dicom.segmentations import find_series
from medzoo.datamodules.preparation.liver import HCCTACESegPreparation
from medzoo.datamodules.preparation.liver.hcc_tace_seg import pre_procedural, read_patients

openpyxl = pytest.importorskip("openpyxl", reason="openpyxl reads the clinical table; it is not installed")

SHAPE, SPACING = (4, 6, 5), (0.8, 0.7, 2.0)  # slices, rows, columns; between rows, columns, slices
HEIGHTS = [10.0 + SPACING[2] * number for number in range(SHAPE[0])]


def ct_values(offset=0):
    return (np.arange(np.prod(SHAPE)).reshape(SHAPE) - 60 + offset).astype(np.int16)


def dataset(uid, modality, series, study, date):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = uid, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    said = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    said.SOPClassUID, said.SOPInstanceUID = uid, meta.MediaStorageSOPInstanceUID
    said.Modality, said.SeriesInstanceUID, said.StudyInstanceUID, said.StudyDate = modality, series, study, date
    said.PatientID = "HCC_001"
    said.Rows, said.Columns, said.SamplesPerPixel, said.PhotometricInterpretation = *SHAPE[1:], 1, "MONOCHROME2"
    return said


def write_ct(folder, series, study, date, offset=0):
    folder.mkdir(parents=True)
    order = [2, 0, 3, 1]  # names of files do not make the order
    for number, values in zip(order, ct_values(offset)[order], strict=True):
        said = dataset(CTImageStorage, "CT", series, study, date)
        said.BitsAllocated = said.BitsStored = 16
        said.HighBit, said.PixelRepresentation, said.RescaleSlope, said.RescaleIntercept = 15, 1, 1, 0
        said.ImageOrientationPatient, said.PixelSpacing = [1, 0, 0, 0, 1, 0], list(SPACING[:2])
        said.ImagePositionPatient = [-20, -30, HEIGHTS[number]]
        said.PixelData = values.tobytes()
        said.save_as(folder / f"{order.index(number)}.dcm", enforce_file_format=True)


def write_seg(folder, refers, study, date, segments, *, flipped=False, shift=0.0):
    """Frames from top to bottom, empty ones left out, as dcmqi does; `flipped` runs columns the other way."""
    folder.mkdir(parents=True)
    said = dataset(SegmentationStorage, "SEG", generate_uid(), study, date)
    said.BitsAllocated = said.BitsStored = 1
    said.HighBit = said.PixelRepresentation = 0
    reference = Dataset()
    reference.SeriesInstanceUID = refers
    said.ReferencedSeriesSequence = Sequence([reference])
    said.SegmentSequence, frames, groups = Sequence(), [], Sequence()
    for number, (label, mask) in enumerate(segments.items(), start=1):
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel = number, label
        said.SegmentSequence.append(segment)
        for place in reversed(range(SHAPE[0])):
            if not mask[place].any():
                continue
            frames.append(mask[place, :, ::-1] if flipped else mask[place])
            group, which, where = Dataset(), Dataset(), Dataset()
            which.ReferencedSegmentNumber = number
            left = -20 + SPACING[1] * (SHAPE[2] - 1) if flipped else -20
            where.ImagePositionPatient = [left, -30, HEIGHTS[place] + shift]
            group.SegmentIdentificationSequence = Sequence([which])
            group.PlanePositionSequence = Sequence([where])
            groups.append(group)
    shared, plane = Dataset(), Dataset()
    plane.ImageOrientationPatient = [-1 if flipped else 1, 0, 0, 0, 1, 0]
    shared.PlaneOrientationSequence = Sequence([plane])
    said.SharedFunctionalGroupsSequence, said.PerFrameFunctionalGroupsSequence = Sequence([shared]), groups
    said.NumberOfFrames = len(frames)
    bits = np.packbits(np.stack(frames).astype(np.uint8).ravel(), bitorder="little").tobytes()
    said.PixelData = bits + b"\0" * (len(bits) % 2)
    said.save_as(folder / "1-1.dcm", enforce_file_format=True)


def masks():
    liver, mass, vein = (np.zeros(SHAPE, bool) for _ in range(3))
    liver[1:3, 1:5, 1:4] = True
    mass[2, 2, 2] = True
    vein[1, 2:4, 2] = True  # inside the liver: segments overlap
    return {"Mass": mass, "Portal vein": vein, "Liver": liver}


HEADER = ["TCIA_ID ", " age", "Sex", "CLIP", "AFP", "Interval_BL", "TTP", "OS", "Death_1_StillAliveorLostToFU_0"]
HEADER += ["Censored_0_progressed_1", "1_mRECIST_FU", "T_involvment"]


@pytest.fixture
def root(tmp_path):
    """Study of May with another segmentation, study of January, which is the one; a CT beside that of the series."""
    root = tmp_path / "raw"
    home = root / "manifest-1" / "HCC-TACE-Seg" / "HCC_001"
    write_ct(home / "after" / "ct", "1.1", "1", "20070501", offset=500)
    write_seg(home / "after" / "seg", "1.1", "1", "20070501", {"Liver": masks()["Mass"]})
    write_ct(home / "before" / "Recon 2", "2.1", "2", "20070101", offset=900)
    write_ct(home / "before" / "Recon 3", "2.2", "2", "20070101")
    write_seg(home / "before" / "seg", "2.2", "2", "20070101", masks())
    book = openpyxl.Workbook()
    book.active.title = "notes"
    sheet = book.create_sheet("data table")
    sheet.append(HEADER)
    sheet.append(["HCC_001", 61, 1, "Stage_ 0-2", 12.5, 3, 20, 87.0, 1, 1, "PR", "< or = 50%"])
    sheet.append(["HCC_002", 55, 2, "Stage_3", None, 3, 20, None, 0, 0, "SD", ">50%"])
    sheet.append([None] * len(HEADER))
    book.save(root / "HCC-TACE-Seg_clinical_data-V2.xlsx")
    return root


def prepared(root, tmp_path):
    HCCTACESegPreparation(str(root), str(tmp_path / "out")).run()
    with (tmp_path / "out" / "patients.csv").open(newline="") as stream:
        return {row["id"]: row for row in csv.DictReader(stream)}


def test_the_table_loses_its_spaces_its_outcomes_and_its_weeks(root, tmp_path):
    rows = prepared(root, tmp_path)
    assert set(rows) == {"HCC_001", "HCC_002"}
    assert rows["HCC_001"] == {
        "id": "HCC_001", "age": "61", "sex": "M", "clip": "Stage_0-2", "afp": "12.5", "t_involvment": "< or = 50%",
        "label": "1", "time_months": "20.01", "event": "1",
    }  # fmt: skip
    assert (rows["HCC_002"]["sex"], rows["HCC_002"]["afp"], rows["HCC_002"]["time_months"]) == ("F", "", "")


def test_the_ct_is_the_one_that_the_earliest_segmentation_outlines(root, tmp_path):
    prepared(root, tmp_path)
    home = tmp_path / "out" / "HCC_001"
    assert not (tmp_path / "out" / "HCC_002").exists()
    ct, liver = (nib.as_closest_canonical(nib.load(home / f"{name}.nii.gz")) for name in ("ct", "liver"))
    assert ct.header.get_zooms() == pytest.approx((0.7, 0.8, 2.0))
    # From DICOM's left and back to right and front.
    assert np.array_equal(ct.get_fdata(), ct_values().transpose(2, 1, 0)[::-1, ::-1])
    expected = masks()["Liver"].astype(int)
    expected[masks()["Mass"]] = 2
    assert np.array_equal(liver.get_fdata(), expected.transpose(2, 1, 0)[::-1, ::-1])
    assert np.allclose(liver.affine, ct.affine)
    vein = nib.as_closest_canonical(nib.load(home / "portal_vein.nii.gz"))
    assert np.array_equal(vein.get_fdata(), masks()["Portal vein"].transpose(2, 1, 0)[::-1, ::-1])


def test_a_segmentation_whose_columns_run_the_other_way_is_turned(root, tmp_path):
    seg = root / "manifest-1" / "HCC-TACE-Seg" / "HCC_001" / "before" / "seg"
    (seg / "1-1.dcm").unlink()
    seg.rmdir()
    write_seg(seg, "2.2", "2", "20070101", masks(), flipped=True)
    prepared(root, tmp_path)
    vein = nib.as_closest_canonical(nib.load(tmp_path / "out" / "HCC_001" / "portal_vein.nii.gz"))
    assert np.array_equal(vein.get_fdata(), masks()["Portal vein"].transpose(2, 1, 0)[::-1, ::-1])


def test_what_is_wrong_is_said(root, tmp_path):
    home = root / "manifest-1" / "HCC-TACE-Seg" / "HCC_001"
    file = home / "before" / "seg" / "1-1.dcm"
    kept = file.read_bytes()
    said = pydicom.dcmread(file)
    said.ReferencedSeriesSequence[0].SeriesInstanceUID = "9.9"
    said.save_as(file, enforce_file_format=True)
    with pytest.raises(ValueError, match=r"the CT series 9\.9 that it outlines is not there"):
        pre_procedural(find_series(home))
    file.write_bytes(kept)
    said = pydicom.dcmread(file)
    said.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient = [-20, -30, 99]
    said.save_as(file, enforce_file_format=True)
    with pytest.raises(ValueError, match="is not on a slice of the CT"):
        prepared(root, tmp_path)
    assert not (tmp_path / "out").exists()
    book = openpyxl.Workbook()
    book.save(root / "HCC-TACE-Seg_clinical_data-V2.xlsx")
    with pytest.raises(ValueError, match="no sheet 'data table'"):
        read_patients(root / "HCC-TACE-Seg_clinical_data-V2.xlsx")
