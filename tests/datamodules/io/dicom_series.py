"""A DICOM series of four tiny slices, and what may be done to it: for the tests of the readers."""

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

COUNT, ROWS, COLUMNS = 4, 6, 8
SPACING = (0.8, 0.7, 2.0)  # mm between rows, columns, slices
CORNER = (-20.0, -30.0, 10.0)
STORED = (np.arange(COUNT * ROWS * COLUMNS).reshape(COUNT, ROWS, COLUMNS) * 15).astype(np.int16)
HU = STORED.astype(np.float32) - 1024
NAME = "DOE^JANE"


def dataset(storage, modality="CT", series="1.1"):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = storage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    said = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    said.SOPClassUID, said.SOPInstanceUID = storage, meta.MediaStorageSOPInstanceUID
    said.Modality, said.SeriesInstanceUID, said.StudyInstanceUID, said.StudyDate = modality, series, "1.9", "20200101"
    said.PatientName, said.PatientID, said.FrameOfReferenceUID = NAME, "MRN-4711", "1.5"
    said.StudyID = said.StudyTime = said.PatientBirthDate = said.PatientSex = said.AccessionNumber = ""
    return said


def describe(said, values):
    said.Rows, said.Columns, said.SamplesPerPixel, said.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    said.BitsAllocated = said.BitsStored = 16
    said.HighBit, said.PixelRepresentation = 15, 1
    said.PixelData = values.tobytes()


def slice_of(number, series="1.1"):
    said = dataset(CTImageStorage, series=series)
    describe(said, STORED[number])
    said.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    said.RescaleSlope, said.RescaleIntercept, said.InstanceNumber = 1, -1024, number + 1
    said.ImageOrientationPatient, said.PixelSpacing = [1, 0, 0, 0, 1, 0], list(SPACING[:2])
    said.SliceThickness = SPACING[2]
    said.ImagePositionPatient = [*CORNER[:2], CORNER[2] + SPACING[2] * number]
    return said


def write_ct(folder, change=None, series="1.1"):
    """One file a slice; `change(number, dataset)` does something to each before it is written."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(COUNT):
        said = slice_of(number, series)
        if change:
            change(number, said)
        said.save_as(folder / f"{series}_{3 - number}.dcm", enforce_file_format=True)
    return folder


def only(number, **values):
    """A change to one slice; None deletes."""

    def change(k, said):
        if k == number:
            for name, value in values.items():
                setattr(said, name, value) if value is not None else delattr(said, name)

    return change


def write_enhanced(folder, *, order=(2, 0, 3, 1), shared_scale=True):
    """The series as one multi-frame file, frames in any order."""
    folder.mkdir(parents=True)
    said = dataset(EnhancedCTImageStorage)
    describe(said, STORED[list(order)])
    said.NumberOfFrames = COUNT

    def group(**sequences):
        made = Dataset()
        for name, values in sequences.items():
            item = Dataset()
            for key, value in values.items():
                setattr(item, key, value)
            setattr(made, name, Sequence([item]))
        return made

    scale = {"PixelValueTransformationSequence": {"RescaleSlope": 1, "RescaleIntercept": -1024, "RescaleType": "HU"}}
    shared = {
        "PlaneOrientationSequence": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        "PixelMeasuresSequence": {"PixelSpacing": list(SPACING[:2])},
    }
    said.SharedFunctionalGroupsSequence = Sequence([group(**shared, **(scale if shared_scale else {}))])
    said.PerFrameFunctionalGroupsSequence = Sequence(
        group(
            PlanePositionSequence={"ImagePositionPatient": [*CORNER[:2], CORNER[2] + SPACING[2] * k]},
            **({} if shared_scale else scale),
        )
        for k in order
    )
    said.save_as(folder / "enhanced", enforce_file_format=True)
    return folder


def write_volume(folder, image, *, ending=".dcm", modality="CT", series="1.1", **values):
    """A volume of nibabel in HU as a series: its axes are columns, rows and slices.

    Args:
        folder: Where to.
        image: (x, y, z) of whole numbers.
        ending: Of names.
        modality: Anything but CT has no rescale.
        series: Its UID.
        **values: Of every slice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = np.asarray(image.dataobj).astype(np.int16)
    lps = np.diag([-1, -1, 1, 1]) @ image.affine
    edges = np.linalg.norm(lps[:3, :3], axis=0)
    for number in range(stored.shape[2]):
        said = slice_of(0, series)
        said.Modality, said.SeriesInstanceUID = modality, series
        said.Rows, said.Columns = stored.shape[1], stored.shape[0]
        said.PixelData = np.ascontiguousarray(stored[:, :, number].T).tobytes()
        said.RescaleIntercept = 0
        said.ImageOrientationPatient = (lps[:3, :2] / edges[:2]).T.ravel().round(6).tolist()
        said.PixelSpacing, said.SliceThickness = [float(edges[1]), float(edges[0])], float(edges[2])
        said.ImagePositionPatient = (lps @ [0, 0, number, 1])[:3].round(6).tolist()
        if modality != "CT":
            del said.RescaleSlope, said.RescaleIntercept
        for name, value in values.items():
            setattr(said, name, value)
        said.save_as(folder / f"IM{stored.shape[2] - number:06d}{ending}", enforce_file_format=True)
    return folder
