"""Volume and region of a painted bleed on the real GE series: tilted by 18.5 deg, slices 4, 1.1 and 7 mm apart."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medzoo.datamodules.hematoma.roi import NAMES, roi_slices
from medzoo.datamodules.io.dicom.series import read_series
from medzoo.datamodules.preparation.scan import read_scan
from medzoo.datamodules.segmentation.cases import Intensities, geometry, read_case
from medzoo.datamodules.segmentation.files import CaseFiles
from medzoo.evaluation.measures.volumes import abc2_ml, mesh_volume_ml, volume_ml
from tests.datamodules.preparation.analytic_head import places

RADII = np.array([20.0, 15.0, 22.0])  # mm along x, y, z of the patient
TRUTH = 4 / 3 * np.pi * RADII.prod() / 1000  # 27.6 mL
HEIGHTS = {"4 mm": 37.0, "both": 61.5, "7 mm": 84.0, "between two slices": 68.5}  # of the centre, mm over the lowest
BLOOD = 65.0  # HU


class Painted:
    """The series with an ellipsoid drawn on its slices where they lie in the patient, and what is read of it."""

    def __init__(self, series, points, folder, height):
        folder.mkdir()
        self.series, normal = series, series.normal
        nearest = int(np.abs(self.series.heights - height).argmin())
        self.center = points[nearest, 256, 256] + (height - self.series.heights[nearest]) * normal
        self.drawn = (((points - self.center) / RADII) ** 2).sum(-1) < 1
        (folder / "ct").symlink_to(series.source)
        self._write(folder / "iph.nii.gz")
        self.scan = read_scan(folder)
        self.mask = sitk.GetArrayFromImage(self.scan.iph)
        self.spacing = self.scan.iph.GetSpacing()[::-1]

    def _write(self, file):
        mask = sitk.GetImageFromArray(self.drawn.astype(np.uint8))  # by a viewer that believes in even, upright slices
        series = self.series
        mask.SetSpacing((*series.spacing[::-1], 5.0))
        mask.SetDirection(np.stack([series.row, series.column, series.normal], 1).ravel().tolist())
        mask.SetOrigin(series.positions[0].tolist())
        sitk.WriteImage(mask, str(file))

    def naive_ml(self):
        """Pixels times the median distance of slices."""
        return self.drawn.sum() * np.prod(self.series.spacing) * np.median(np.diff(self.series.heights)) / 1000


@pytest.fixture(scope="module")
def painted(ge, tmp_path_factory):
    folder, series = tmp_path_factory.mktemp("painted"), read_series(ge)
    index = np.stack(np.meshgrid(*map(np.arange, series.pixels.shape[1:]), indexing="ij"), -1)
    points = series.positions[:, None, None] + index * series.spacing @ np.stack([series.column, series.row])
    return {name: Painted(series, points, folder / str(at), at) for name, at in HEIGHTS.items()}


@pytest.mark.parametrize("where", HEIGHTS)
def test_millilitres_are_those_of_the_ellipsoid(painted, where):
    bleed = painted[where]
    assert 15 < np.median(bleed.series.pixels[bleed.drawn]) < 45, "painted on brain"
    assert volume_ml(bleed.mask, bleed.spacing) == pytest.approx(TRUTH, rel=0.04)
    assert mesh_volume_ml(bleed.mask, bleed.spacing) == pytest.approx(TRUTH, rel=0.04)
    found = places(bleed.scan.iph)[bleed.mask > 0].mean(0)
    np.testing.assert_allclose(found, bleed.center, atol=1.5)  # mm


def test_counting_slices_as_if_they_were_even_is_wrong(painted):
    assert painted["4 mm"].naive_ml() == pytest.approx(TRUTH, rel=0.04)
    assert painted["both"].naive_ml() < 0.8 * TRUTH
    assert painted["7 mm"].naive_ml() < 0.6 * TRUTH


@pytest.mark.parametrize("where", HEIGHTS)
def test_the_bedside_estimate_is_that_of_an_ellipsoid(painted, where):
    """A B C / 2 with slices of 25 to 75% counted half: C is (1 + sqrt 3) / 4 of the height, so 65% of the volume."""
    bleed = painted[where]
    expected = (1 + np.sqrt(3)) * RADII.prod() / 1000
    assert abc2_ml(bleed.mask, bleed.spacing) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("where", HEIGHTS)
def test_the_largest_slice_is_the_one_through_the_centre(painted, where):
    bleed = painted[where]
    ct = np.repeat(np.arange(len(bleed.mask), dtype=np.float32), np.prod(bleed.mask.shape[1:]))
    cut = roi_slices(ct.reshape(bleed.mask.shape), bleed.mask, bleed.spacing, size=8, window=(0, 255))
    number = int(cut["max"][4, 4])
    place = np.array(bleed.scan.iph.TransformIndexToPhysicalPoint((0, 0, number)))
    gaps = np.diff(bleed.series.heights)[np.abs(bleed.series.heights[:-1] - HEIGHTS[where]).argmin()]
    assert abs((place - bleed.center) @ bleed.series.normal) <= gaps / 2 + 0.01  # mm
    assert [int(cut[name][4, 4]) for name in NAMES] == [number - 1, number, number + 1]


@pytest.mark.parametrize("where", HEIGHTS)
def test_three_square_pictures_hold_the_bleed(painted, where):
    bleed = painted[where]
    ct = sitk.GetArrayFromImage(bleed.scan.ct)
    plain = roi_slices(ct, bleed.mask, bleed.spacing, size=64)
    bright = roi_slices(np.where(bleed.mask > 0, BLOOD, 0.0), bleed.mask, bleed.spacing, size=64)
    assert list(plain) == list(bright) == list(NAMES)
    area = bleed.mask.sum((1, 2)).max() * np.prod(bleed.spacing[1:])
    for name in NAMES:
        assert plain[name].shape == (64, 64)
        assert 10 < np.median(plain[name]) * 90 / 255 < 45, "brain, in HU"
        lit = bright[name] > BLOOD / 2 * 255 / 90
        assert lit[1:-1, 1:-1].sum() == lit.sum(), "a margin around it"
    rows, columns = (np.flatnonzero((bright["max"] > 92).any(axis)) for axis in (1, 0))
    edge = 40 + 2 * 5  # mm: the longer axis and the margins
    said = (bright["max"] > 92).sum() * (edge / 64) ** 2
    assert said == pytest.approx(area, rel=0.05)
    assert (np.ptp(columns) + 1) * edge / 64 == pytest.approx(40, abs=1.5)
    assert (np.ptp(rows) + 1) * edge / 64 < 40


def test_written_and_read_as_a_case_it_has_the_same_millilitres(painted, tmp_path):
    bleed = painted["both"]
    files = CaseFiles("ge", (tmp_path / "ge_0000.nii.gz",), tmp_path / "ge.nii.gz")
    sitk.WriteImage(bleed.scan.ct, str(files.images[0]))
    sitk.WriteImage(bleed.scan.iph, str(files.mask))
    expected = float(volume_ml(bleed.mask, bleed.spacing))
    spacing, size = geometry(files)
    assert size == bleed.mask.shape
    case = read_case(files, 2, spacing, [Intensities(0, 80, 40, 20)])
    assert float(volume_ml(case.truth, case.spacing)) == pytest.approx(expected, rel=1e-5)
    coarse = (5.0, 1.0, 1.0)
    resampled = read_case(files, 2, coarse, [Intensities(0, 80, 40, 20)]).mask
    assert float(volume_ml(resampled, coarse)) == pytest.approx(TRUTH, rel=0.06)
    opened = nib.load(files.mask)
    ml = np.asarray(opened.dataobj).sum() * abs(np.linalg.det(opened.affine[:3, :3])) / 1000
    assert ml == pytest.approx(expected, rel=1e-5)
    assert ml == pytest.approx(TRUTH, rel=0.04)
