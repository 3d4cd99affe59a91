"""Raw head CT to the follow-up layout, against analytic heads and a real tilted GE series."""

import csv
import gzip
import json
import logging
import re
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy import ndimage

from datamodules.followup.files import find_patients
from datamodules.followup.files import read_scan as read_prepared
from datamodules.preparation import HeadCTPreparation, RigidRegistration, SkullStrip
from datamodules.preparation.dicom import read_series
from datamodules.preparation.resample import with_pixel_size
from datamodules.preparation.scan import read_ct, read_scan
from datamodules.preparation.skull_strip import _peel
from tests.conftest import REAL_DATA

BRAIN, BLEED, BLEED_RADIUS = np.array([62.0, 78.0, 58.0]), np.array([25.0, -15.0, 10.0]), 16.0
RAS = (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0)
SPACING = (2.0, 2.0, 4.0)
CLINICAL = ["time_from_onset_to_CT", "IPH_baseline_ml", "Anticoagulant", "Antiplatelet", "Age", "GCS", "Systolic"]


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


UNEVEN = np.concatenate([np.arange(-66, -6, 3.0), np.arange(-6, 67, 6.0)])


@pytest.mark.parametrize(("tilt", "heights"), [(0, None), (15, None), (-15, None), (15, UNEVEN)])
def test_tilt_and_uneven_slices_keep_volume_and_place(tmp_path, tilt, heights):
    write_series(tmp_path, ellipsoid, tilt=tilt, heights=heights)
    image = read_ct(tmp_path)
    direction = np.reshape(image.GetDirection(), (3, 3))
    np.testing.assert_allclose(direction @ direction.T, np.eye(3), atol=1e-6)
    share = np.clip((sitk.GetArrayFromImage(image) + 1000) / 1040, 0, 1)  # of each voxel
    truth = 4 / 3 * np.pi * 40 * 48 * 44 / 1000
    assert milliliters(share, image.GetSpacing()) == pytest.approx(truth, rel=0.02)
    np.testing.assert_allclose(np.tensordot(share, places(image), 3) / share.sum(), (5, -6, 4), atol=0.3)
    assert image.GetSpacing()[2] == pytest.approx(3 * np.cos(np.radians(tilt)), rel=1e-3)


def test_without_tilt_pixels_are_untouched(tmp_path):
    write_series(tmp_path, lambda points: np.rint(head(points)))
    image = read_ct(tmp_path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), np.rint(head(places(image).round(6))))


def test_a_mask_drawn_on_leaning_uneven_slices_follows_them(tmp_path):
    write_series(tmp_path / "ct", head, tilt=15, heights=UNEVEN)
    series = read_series(tmp_path / "ct")
    axes = np.stack([series.row, series.column, series.normal], 1)
    steps = np.stack(np.meshgrid(*[np.arange(n) for n in series.pixels.shape[1:]], indexing="ij"), -1) * series.spacing
    drawn = np.stack([in_bleed(p + steps @ np.stack([series.column, series.row])) for p in series.positions])
    mask = sitk.GetImageFromArray(drawn.astype(np.uint8))  # as a viewer writes it that believes in even, upright slices
    mask.SetSpacing((1.5, 1.5, 3.7))
    mask.SetDirection(axes.ravel().tolist())
    mask.SetOrigin(series.positions[0].tolist())
    sitk.WriteImage(sitk.DICOMOrient(mask, "LAI"), str(tmp_path / "iph.nii.gz"))
    scan = read_scan(tmp_path)
    found, truth = sitk.GetArrayFromImage(scan.iph) > 0, in_bleed(places(scan.iph))
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.93
    assert sitk.GetArrayFromImage(scan.ct)[found].mean() == pytest.approx(65, abs=5)


def test_series_errors_are_one_clear_line(tmp_path):
    def broken(name, match, change):
        folder = tmp_path / name
        change(write_series(folder, head, heights=np.arange(-9, 10, 3.0), size=(20, 24)))
        with pytest.raises(ValueError, match=match) as error:
            read_series(folder)
        assert str(folder) in str(error.value)
        assert "\n" not in str(error.value)

    def second(**options):
        return lambda files: (
            write_series(files[0].parent / "more", ellipsoid, heights=[30, 33], size=(20, 24), **options)
            and [f.rename(files[0].parent / f"x{f.name}") for f in sorted((files[0].parent / "more").iterdir())]
        )

    def edit(k, **values):
        def change(files):
            data = pydicom.dcmread(files[k])
            for name, value in values.items():
                setattr(data, name, value) if value is not None else delattr(data, name)
            data.save_as(files[k])

        return change

    broken("series", "2 series", second())
    broken("patients", "several patients", second(PatientID="other"))
    broken("gap", "mm between two slices", lambda files: [f.unlink() for f in files[1:5]])
    broken("spacing", "PixelSpacing", edit(2, PixelSpacing=[2, 2]))
    broken("slope", "RescaleSlope", edit(2, RescaleSlope=None))
    broken("position", "no ImagePositionPatient", edit(2, ImagePositionPatient=None))
    broken(
        "same place",
        "another picture",
        lambda f: edit(3, ImagePositionPatient=pydicom.dcmread(f[2])[0x200032].value)(f),
    )
    broken("cut short", "pixels cannot be read", edit(2, PixelData=b"\0\0"))
    broken("empty", "0 CT slices", lambda files: [f.unlink() for f in files])


def test_copies_and_foreign_files_are_left_out_and_a_missing_slice_is_bridged(tmp_path, caplog):
    files = write_series(tmp_path, ellipsoid)
    (tmp_path / "copy.dcm").write_bytes(files[5].read_bytes())
    (tmp_path / "LICENSE").write_text("not an image")
    scout = pydicom.dcmread(files[0])
    scout.ImageType, scout.SeriesInstanceUID = ["ORIGINAL", "PRIMARY", "LOCALIZER"], generate_uid()
    scout.save_as(tmp_path / "scout.dcm")
    files[20].unlink()
    with caplog.at_level(logging.INFO):
        image = read_ct(tmp_path)
    assert image.GetSize()[2] == len(files)
    assert all(word in caplog.text for word in ("localizer", "no DICOM", "a copy of", "interpolated linearly"))


def test_lost_tilt_in_positions_is_told(tmp_path, caplog):
    write_series(tmp_path, ellipsoid, GantryDetectorTilt="12")
    read_series(tmp_path)
    assert "GantryDetectorTilt says 12.0 deg, the positions of the slices 0.0 deg" in caplog.text


# The real series


@pytest.fixture(scope="module")
def ge():
    folder = REAL_DATA / "head-ct" / "dcm_qa_ct_GE"
    if not folder.is_dir():
        pytest.skip(f"no real series in {folder}; name the folder above with MEDZOO_REAL_DATA")
    return folder


@pytest.fixture(scope="module")
def ge_prepared(ge, tmp_path_factory):
    output = tmp_path_factory.mktemp("ge")
    HeadCTPreparation(ge, output, skull_strip=SkullStrip()).run()
    return output


def test_real_slices_lie_where_the_header_says(ge, tmp_path):
    HeadCTPreparation(ge, tmp_path).run()
    image = nib.load(tmp_path / "ct.nii.gz")
    volume = image.get_fdata()
    assert volume.min() >= -1024
    assert volume.max() <= 3071
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.header.get_zooms()[2] == pytest.approx(4.0, abs=0.01)
    files = {d.InstanceNumber: d for d in map(pydicom.dcmread, ge.glob("*.dcm"))}
    for number, shift, low, high in [(3, 0, 0.98, 1), (12, 0, 0.98, 1), (12, 10, 0, 0.9), (20, 0, 0.9, 1)]:
        data = files[number]
        j, i = np.meshgrid(np.arange(100, 400), np.arange(120, 390), indexing="ij")
        orientation = np.array(data.ImageOrientationPatient, float).reshape(2, 3) * 0.4882812
        lps = np.array(data.ImagePositionPatient, float) + i[..., None] * orientation[0] + j[..., None] * orientation[1]
        world = lps * (-1, -1, 1) + (0, shift, 0)
        index = nib.affines.apply_affine(np.linalg.inv(image.affine), world)
        found = ndimage.map_coordinates(volume, np.moveaxis(index, -1, 0), order=1)
        pair = [np.clip(a, 0, 100).ravel() for a in (found, data.pixel_array[j, i])]
        assert low < np.corrcoef(*pair)[0, 1] <= high, number


def test_real_brain_is_plausible_and_without_bone(ge_prepared):
    image = nib.load(ge_prepared / "ct.nii.gz")
    volume = np.asarray(image.dataobj)
    brain = volume != 0
    assert 1200 < milliliters(brain, image.header.get_zooms()) < 1600
    assert 25 < np.median(volume[brain]) < 40
    assert (volume[brain] > 100).mean() < 1e-3  # calcified plexus and pineal gland
    surface = brain & ~ndimage.binary_erosion(brain, iterations=1)
    assert (volume[surface] > 100).mean() < 2e-3
    assert (
        np.bincount(ndimage.label(ndimage.binary_closing(brain, iterations=1))[0].ravel())[1:].max()
        > 0.99 * brain.sum()
    )


# Skull strip


def test_skull_strip_finds_the_brain_and_cuts_the_cord():
    image = painted(head, grid())
    brain, truth = SkullStrip()(image, "head"), in_brain(places(image))
    assert 2 * (brain & truth).sum() / (brain.sum() + truth.sum()) > 0.97
    assert not brain[places(image)[..., 2] < -70].any()
    assert sitk.GetArrayFromImage(image)[brain].max() < 150


def test_peel_takes_dense_surface_but_no_dense_core():
    brain = np.zeros((1, 40, 40), bool)
    brain[0, 5:35, 5:35] = True
    dense = np.zeros_like(brain)
    dense[0, 5:7, 5:35] = dense[0, 15:20, 15:20] = True
    peeled = _peel(brain, dense, 1.0)
    np.testing.assert_array_equal(peeled, brain & ~(dense & (np.arange(40)[None, :, None] < 10)))
    dense[0, :, 5:35] = True  # no deeper than 3 mm, or a superficial bleed would go
    assert _peel(brain, dense, 1.0)[0, 20, 9]


def test_no_skull_no_brain():
    with pytest.raises(ValueError, match="scan one: no brain found"):
        SkullStrip()(painted(ellipsoid, grid()), "scan one")


def test_external_tool(tmp_path):
    tool = tmp_path / "tool.py"
    tool.write_text(
        "import sys, SimpleITK as sitk\nimage = sitk.ReadImage(sys.argv[1])\nsitk.WriteImage(image > 60, sys.argv[2])\n"
    )
    image = painted(head, grid())
    strip = SkullStrip(peel=None, command=f"{sys.executable} {tool} {{input}} {{mask}} ; touch {tmp_path}/shell")
    np.testing.assert_array_equal(strip(image, "head"), sitk.GetArrayFromImage(image) > 60)
    assert not (tmp_path / "shell").exists()
    tool.write_text("raise SystemExit('no licence')")
    with pytest.raises(ValueError, match=r"head: .* ended with code 1: no licence"):
        strip(image, "head")
    with pytest.raises(FileNotFoundError, match="no program 'mri_nostrip'"):
        SkullStrip(command="mri_nostrip -i {input} -m {mask}")
    with pytest.raises(ValueError, match="braces"):
        SkullStrip(command="mri_synthstrip {in} {mask}")


# Registration


def test_registration_recovers_a_known_movement():
    truth = moved()
    baseline = painted(head, grid())
    followup = painted(head, grid(center=(5, -8, 2)), move=truth)
    found = RigidRegistration()(baseline, followup, "p1")
    points = places(grid())[in_brain(places(grid()))][::500]
    error = [np.subtract(found.TransformPoint(p), truth.TransformPoint(p)) for p in points.tolist()]
    assert np.linalg.norm(error, axis=1).max() < 1  # mm
    turn = np.reshape(found.GetMatrix(), (3, 3)).T @ np.reshape(truth.GetMatrix(), (3, 3))
    assert np.degrees(np.arccos(min(1, (np.trace(turn) - 1) / 2))) < 1
    with pytest.raises(ValueError, match="p1: follow-up cannot be registered"):
        RigidRegistration(max_rotation=0.01, iterations=1)(baseline, followup, "p1")
    once, again = (RigidRegistration(iterations=3)(baseline, followup, "p1").GetParameters() for _ in range(2))
    np.testing.assert_allclose(once, again, atol=1e-6)


def test_pixel_size_keeps_places():
    ramp = painted(lambda p: p @ np.array([3.0, 2.0, 5.0]), grid(), noise=0)
    coarse = with_pixel_size(ramp, 3.1)
    inside = (slice(2, -2),) * 3
    expected = (places(coarse) @ np.array([3.0, 2.0, 5.0]))[inside]
    np.testing.assert_allclose(sitk.GetArrayFromImage(coarse)[inside], expected, atol=1.5)
    np.testing.assert_allclose(coarse.GetSpacing(), (3.1, 3.1, 4))


# The whole of it


def write_scan(folder, on, move=None):
    folder.mkdir(parents=True)
    sitk.WriteImage(painted(head, on, move=move), str(folder / "ct.nii.gz"))
    sitk.WriteImage(painted(in_bleed, on, np.uint8, move), str(folder / "iph.nii.gz"))


def write_table(file, names, **changes):
    values = dict(zip(CLINICAL, ("2.5", "17.2", "0", "1", "70", "", "160"), strict=True)) | changes
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["Patient_ID", "Name", "Hospital", *values, "Expansion_classic"])
        writer.writerows([[name, "Jane Doe", "north", *values.values(), ""] for name in names])


@pytest.fixture
def raw(tmp_path):
    """One patient with both scans, the follow-up a moved head on another grid."""
    folder = tmp_path / "raw" / "north" / "p1"
    write_scan(folder / "baseline", grid())
    write_scan(folder / "followup", grid((104, 112, 46), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)), moved())
    write_table(tmp_path / "raw" / "clinical.csv", ["p1", "p2"])
    return tmp_path / "raw"


QUICK = RigidRegistration(sampling=0.05)


def preparation(raw, **options):
    return HeadCTPreparation(raw, raw.parent / "out", **{"skull_strip": SkullStrip(), "registration": QUICK, **options})


def test_cohort_is_prepared_once_and_read_by_the_datamodule(raw, caplog):
    write_scan(raw / "north" / "p2" / "baseline", grid())
    caplog.set_level(logging.INFO)
    preparation(raw).run()
    out = raw.parent / "out"
    assert "prepared for prediction only: p2" in caplog.text
    assert "no ivh.nii.gz" in caplog.text
    assert find_patients(out) == {name: out / "north" / name for name in ("p1", "p2")}
    assert "Doe" not in (out / "clinical.csv").read_text()
    assert not (out / ".partial").exists()
    scans = [read_prepared(out / "north" / "p1" / time, 96, need_iph=True) for time in ("baseline", "followup")]
    np.testing.assert_array_equal(scans[0].grid.affine, scans[1].grid.affine)
    truth = 4 / 3 * np.pi * BLEED_RADIUS**3 / 1000
    for scan in scans:
        assert milliliters(scan.iph, SPACING) == pytest.approx(truth, rel=0.04)
        assert scan.ct[scan.iph].mean() == pytest.approx(65, abs=5)
        assert scan.ct.max() < 150
        assert scan.ct.min() > -50
    assert 2 * (scans[0].iph & scans[1].iph).sum() / sum(s.iph.sum() for s in scans) > 0.93
    record = json.loads((out / "north" / "p1" / "preparation.json").read_text())
    assert record["brain_dice"] > 0.97
    assert record["baseline"]["iph_ml"] == pytest.approx(truth, rel=0.04)
    written = {file: file.stat().st_mtime_ns for file in out.rglob("*.nii.gz")}
    preparation(raw).run()
    assert "2 patients are prepared already, skipped" in caplog.text
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.nii.gz")} == written
    with pytest.raises(ValueError, match=r"prepared with other pixel_size; set another preparation.output"):
        preparation(raw, pixel_size=1.0).run()


def test_a_follow_up_that_comes_later_is_added_and_a_kill_leaves_no_half_patient(raw, monkeypatch):
    followup, aside, out = raw / "north" / "p1" / "followup", raw.parent / "aside", raw.parent / "out" / "north" / "p1"
    followup.rename(aside)
    preparation(raw).run()
    before = (out / "baseline" / "ct.nii.gz").read_bytes()
    aside.rename(followup)
    real, calls = sitk.WriteImage, []

    def killed(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(sitk, "WriteImage", killed)
        with pytest.raises(KeyboardInterrupt):
            preparation(raw).run()
    assert not (out / "followup").exists()
    assert find_patients(raw.parent / "out") == {"p1": out}
    preparation(raw).run()
    assert (out / "followup" / "iph.nii.gz").is_file()
    assert (out / "baseline" / "ct.nii.gz").read_bytes() == before


def overwrite(change):
    """Read a raw image, change it, write it back."""
    return lambda file: sitk.WriteImage(change(sitk.ReadImage(str(file))), str(file))


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        (
            "iph.nii.gz",
            overwrite(lambda mask: mask[1:, :, :]),
            r"iph.nii.gz: 99 x 116 x 44 .* not the grid of .*ct.nii.gz",
        ),
        ("iph.nii.gz", overwrite(lambda mask: mask * 0), r"baseline/iph.nii.gz: empty"),
        ("iph.nii.gz", overwrite(lambda mask: mask * 255), r"iph.nii.gz: holds values \[0, 255\]; expected a mask"),
        ("iph.nii.gz", Path.unlink, r"iph.nii.gz: no such file"),
        ("ct.nii.gz", Path.unlink, r"baseline: no CT; expected a folder ct/"),
        (
            "ct.nii.gz",
            overwrite(lambda ct: sitk.Clamp(ct, lowerBound=0, upperBound=100)),
            "ct.nii.gz: values from 0 to 100",
        ),
        ("ct.nii.gz", lambda file: file.write_bytes(file.read_bytes()[:500]), r"ct.nii.gz: cannot be read"),
        ("ct.nii.gz", overwrite(lambda ct: ct[:, :, 0]), r"ct.nii.gz: size .* expected one 3-D volume"),
    ],
)
def test_a_broken_patient_is_told_in_one_line(raw, caplog, name, change, match):
    change(raw / "north" / "p1" / "baseline" / name)
    with pytest.raises(ValueError, match=r"1 of 1 patients could not be prepared \(p1\); the log says why"):
        preparation(raw).run()
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "\n" not in errors[0]
    assert re.search(match, errors[0]), errors[0]
    assert not (raw.parent / "out" / "north").exists()


def test_table_and_folders_must_fit(raw):
    table = raw / "clinical.csv"
    write_table(table, ["p2"])
    with pytest.raises(ValueError, match="no row with Patient_ID p1"):
        preparation(raw).run()
    write_table(table, ["p1"], Age="170")
    with pytest.raises(ValueError, match="Age of patient p1 is 170"):
        preparation(raw).run()
    table.write_text(table.read_text().replace("170", "70").replace("north", "south"))
    with pytest.raises(ValueError, match="Hospital of p1 is south"):
        preparation(raw).run()
    table.unlink()
    with pytest.raises(FileNotFoundError, match="clinical"):
        preparation(raw).run()
    (raw / "north" / "p1" / "baseline").rename(raw / "north" / "p1" / "first")
    with pytest.raises(FileNotFoundError, match="no folder baseline/"):
        preparation(raw).run()
    with pytest.raises(FileNotFoundError, match=r"no file or folder .* preparation.input"):
        preparation(raw / "nothing").run()
    assert not (raw.parent / "out").exists()


def test_no_identifier_gets_into_the_files(tmp_path):
    write_series(tmp_path / "dicom", head)
    HeadCTPreparation(tmp_path / "dicom", tmp_path / "one", skull_strip=SkullStrip()).run()
    image = nib.Nifti1Image(np.asarray(nib.load(tmp_path / "one" / "ct.nii.gz").dataobj) + np.int16(0), np.eye(4))
    image.dataobj[:3] = -1000
    image.dataobj[-3:] = 900
    image.header["descrip"], image.header["aux_file"], image.header["db_name"] = b"DOE^JANE", b"MRN-4711", b"MRN-4711"
    nib.save(image, tmp_path / "named.nii.gz")
    HeadCTPreparation(tmp_path / "named.nii.gz", tmp_path / "two").run()
    for folder in ("one", "two"):
        content = gzip.decompress((tmp_path / folder / "ct.nii.gz").read_bytes())[:400]
        content += (tmp_path / folder / "preparation.json").read_bytes()
        for word in (b"DOE", b"JANE", b"4711", b"Elsewhere"):
            assert word not in content
