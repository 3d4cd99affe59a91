"""DICOM series to even grids in HU, on analytic phantoms and on a real tilted GE series."""

import gzip
import logging

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid
from scipy import ndimage

from medzoo.datamodules.io.dicom.series import read_series
from medzoo.datamodules.preparation import HeadCTPreparation, SkullStrip
from medzoo.datamodules.preparation.scan import read_ct, read_scan
from tests.datamodules.preparation.analytic_head import ellipsoid, head, in_bleed, milliliters, places, write_series

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


def test_slice_spacing_is_for_uneven_series(tmp_path):
    write_series(tmp_path / "uneven", ellipsoid, heights=UNEVEN)
    write_series(tmp_path / "even", ellipsoid)
    assert read_ct(tmp_path / "uneven", 2.5).GetSpacing()[2] == 2.5
    assert read_ct(tmp_path / "even", 2.5).GetSpacing()[2] == pytest.approx(3)


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
