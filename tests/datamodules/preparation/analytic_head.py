"""An analytic head in HU, its images on any grid, and DICOM series of it: the known truth of the preparation tests."""

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

BRAIN, BLEED, BLEED_RADIUS = np.array([62.0, 78.0, 58.0]), np.array([25.0, -15.0, 10.0]), 16.0
RAS = (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)
SPACING = (2.0, 2.0, 4.0)


# An analytic head: points (..., 3) in LPS mm to HU.


def radius(points, axes, center=(0, 0, 0)):
    return np.linalg.norm((points - np.array(center)) / axes, axis=-1)


def head(points):
    """Brain with ventricle and bleed, skull with a foramen, scalp and neck; lopsided, so that a turn shows."""
    hu = np.full(points.shape[:-1], -1000.0)
    x, y, z = np.moveaxis(points, -1, 0)
    hu[np.hypot(x, y - 20) < 50] = 50
    hu[z > -30] = -1000
    hu[radius(points, BRAIN + 13) < 1] = 40
    hu[radius(points, BRAIN + 7) < 1] = 900
    hu[(np.hypot(x, y - 20) < 8) & (z < -20)] = 35  # the cord leaves through the skull base
    brain = in_brain(points)
    hu[brain] = 30 + 5 * np.sin(points[brain] / 9).prod(-1)
    hu[radius(points, (9, 30, 12), (8, -5, 8)) < 1] = 6
    hu[in_bleed(points)] = 65
    return hu


def in_brain(points):
    return radius(points, BRAIN) < 1


def in_bleed(points):
    return radius(points, BLEED_RADIUS, BLEED) < 1


def places(image):
    """(z, y, x, 3) position of each voxel."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in image.GetSize()], indexing="ij"), -1)
    steps = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return np.moveaxis(index @ steps.T + image.GetOrigin(), (0, 1, 2), (2, 1, 0))


def grid(size=(100, 116, 44), spacing=SPACING, direction=RAS, center=(0, 0, -4)):
    image = sitk.Image(size, sitk.sitkInt16)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    half = np.reshape(direction, (3, 3)) @ ((np.array(size) - 1) / 2 * spacing)
    image.SetOrigin((np.array(center) - half).tolist())
    return image


def painted(function, on, dtype=np.int16, move=None, noise=3.0):
    """Image of a function of the points, which were moved before."""
    points = places(on)
    if move is not None:
        matrix, center = np.reshape(move.GetMatrix(), (3, 3)), np.array(move.GetCenter())
        points = (points - center - move.GetTranslation()) @ matrix + center  # the inverse, spelled out
    values = function(points)
    if dtype == np.int16:
        values = values + np.random.default_rng(0).normal(0, noise, values.shape)
    image = sitk.GetImageFromArray(np.asarray(values).astype(dtype))
    image.CopyInformation(on)
    return image


def moved(rotation=(0.05, -0.04, 0.12), shift=(6.0, -9.0, 5.0)):
    return sitk.Euler3DTransform((0.0, 0.0, 0.0), *rotation, shift)


def milliliters(mask, spacing):
    return mask.sum() * np.prod(spacing) / 1000


# DICOM


def write_series(folder, function, *, tilt=0.0, heights=None, size=(90, 100), spacing=1.5, **header):
    """Slices along z that lean by `tilt`, stored with slope 0.5; file names are in no order."""
    folder.mkdir(parents=True, exist_ok=True)
    heights = np.arange(-66, 67, 3.0) if heights is None else np.asarray(heights)
    angle = np.radians(tilt)
    row, column = np.array([1.0, 0, 0]), np.array([0, np.cos(angle), -np.sin(angle)])
    same = {"SeriesInstanceUID": generate_uid(), "StudyInstanceUID": generate_uid()}
    files = []
    for k, z in enumerate(heights):
        corner = np.array([0, 0, z]) - row * spacing * (size[1] - 1) / 2 - column * spacing * (size[0] - 1) / 2
        j, i = np.meshgrid(np.arange(size[0]), np.arange(size[1]), indexing="ij")
        hu = function(corner + spacing * (i[..., None] * row + j[..., None] * column))
        files.append(folder / f"{(k * 7919) % 1009:04d}.dcm")
        write_slice(files[-1], hu, corner, [*row, *column], spacing, tilt, same | header)
    return files


def write_slice(file, hu, position, orientation, spacing, tilt, header):
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.PatientName, data.PatientID, data.InstitutionName = "DOE^JANE", "MRN-4711", "St. Elsewhere"
    data.Modality, data.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.ImagePositionPatient = [f"{v:.6f}" for v in position]
    data.ImageOrientationPatient = [f"{v:.6f}" for v in orientation]
    data.PixelSpacing, data.SliceThickness, data.GantryDetectorTilt = [spacing, spacing], 3, f"{tilt:g}"
    data.Rows, data.Columns = hu.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.RescaleSlope, data.RescaleIntercept = "0.5", "-1024"
    data.PixelData = np.rint((hu + 1024) * 2).astype("<u2").tobytes()
    for name, value in header.items():
        setattr(data, name, value) if value is not None else delattr(data, name)
    data.save_as(file, enforce_file_format=True)


def ellipsoid(points):
    return np.where(radius(points, (40, 48, 44), (5, -6, 4)) < 1, 40.0, -1000.0)
