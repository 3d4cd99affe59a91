"""The volume of a voxel is |det| of its affine, whatever reads the file: a tilted gantry, another pixdim."""

import nibabel as nib
import numpy as np
import pytest

from medzoo.datamodules.hematoma.cut_slices import CutSlicesDataModule
from medzoo.datamodules.io import Grid, read_mask
from medzoo.datamodules.segmentation.cases import geometry, read_case
from medzoo.datamodules.segmentation.files import CaseFiles
from medzoo.datamodules.unlabelled.source import _read as read_unlabelled
from medzoo.evaluation.measures.volumes import volume_ml, voxel_mm
from medzoo.evaluation.scores.followup import SampledFollowups

TILT = np.tan(np.deg2rad(18.5))
SHEARED = np.array([[0.5, 0, 0, -3], [0, 0.5, 5 * TILT, 4], [0, 0, 5.0, 1], [0, 0, 0, 1]])
ODD = np.array([[0, 0, 5.0, 0], [-0.5, 0, 5 * TILT, 0], [0, 0.5, 0, 0], [0, 0, 0, 1]])  # axes permuted and mirrored
VOXEL_ML = 0.5 * 0.5 * 5.0 / 1000


def written(folder, affine, pixdim=None):
    """A mask of 12 voxels, and an image of it, of (x, y, z) = (8, 10, 6)."""
    mask = np.zeros((8, 10, 6), np.uint8)
    mask[2:5, 3:5, 1:3] = 1
    files = []
    for name, data in (("image", 100.0 * mask - 20), ("mask", mask)):
        image = nib.Nifti1Image(data.astype(np.float32 if name == "image" else np.uint8), affine)
        if pixdim:
            image.header["pixdim"][1:4] = pixdim
        files.append(folder / f"{name}.nii.gz")
        nib.save(image, files[-1])
    return files


@pytest.mark.parametrize(("affine", "pixdim"), [(SHEARED, None), (ODD, None), (np.diag([0.5, 0.5, 5, 1]), (1, 1, 2.0))])
def test_every_reader_gives_the_volume_of_the_affine(tmp_path, affine, pixdim):
    image, mask = written(tmp_path, affine, pixdim)
    case, drawn = CaseFiles("a", (image,), mask), read_mask(mask)
    volumes = {
        "hematoma, liver": volume_ml(drawn.array, drawn.spacing),
        "segmentation": volume_ml(read_case(case, 2, geometry(case)[0], [None]).truth, geometry(case)[0]),
        "unlabelled": volume_ml(*read_unlabelled(mask)),
    }
    assert volumes == {name: pytest.approx(12 * VOXEL_ML, rel=1e-5) for name in volumes}


@pytest.mark.parametrize(("affine", "spacing"), [(SHEARED, (5.0, 0.5, 0.5)), (ODD, (0.5, 0.5, 5.0))])
def test_a_forecast_measures_by_the_affine(affine, spacing):
    grid = Grid((8, 10, 6), affine)
    assert grid.spacing == pytest.approx(spacing)
    baseline = np.zeros((6, 3, 16, 16))
    baseline[1:3, 1, 4:7, 5:7] = 1
    nothing = np.zeros((1, 1, 16, 16))
    said = SampledFollowups(baseline, np.array([0]), *[nothing] * 3, np.ones(1), np.zeros(1), grid.spacing[::-1])
    assert said.baseline_ml() == pytest.approx(12 * VOXEL_ML)
    assert said.volumes_ml() == pytest.approx(12 * VOXEL_ML)


def test_masks_of_networks_measure_by_the_affine(tmp_path):
    folder = tmp_path / "held_out"
    folder.mkdir()
    _, mask = written(tmp_path, SHEARED)
    nib.save(nib.Nifti1Image(255 * np.asarray(nib.load(mask).dataobj), SHEARED), folder / "p_baseline.nii.gz")
    data = CutSlicesDataModule(
        tmp_path, cohort=tmp_path, val_hospitals=["b"], test_hospitals=["c"], masks=str(folder), image_size=8
    )
    said = data._mask(type("Patient", (), {"name": "p"}), "baseline")
    assert volume_ml(said.array, said.spacing) == pytest.approx(12 * VOXEL_ML)


def test_edges_multiply_to_the_determinant_and_right_angles_change_nothing():
    rng = np.random.default_rng(0)
    for _ in range(20):
        affine = rng.normal(size=(3, 3))
        assert np.prod(voxel_mm(affine)) == pytest.approx(abs(np.linalg.det(affine)))
    turned = np.linalg.qr(rng.normal(size=(3, 3)))[0] * [0.7, 0.8, 3.0]
    assert voxel_mm(turned) == pytest.approx((0.7, 0.8, 3.0))
    assert voxel_mm(np.diag([0.7, 0.8, 3.0, 1.0])) == (0.7, 0.8, 3.0)
