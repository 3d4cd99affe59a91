import nibabel as nib
import numpy as np
import pytest

from medzoo.datamodules.preparation.ct_ich import CTICHPreparation
from medzoo.datamodules.segmentation.files import read_dataset

AFFINE = np.diag([-0.5, 0.5, 5.0, 1.0])


@pytest.fixture
def downloaded(tmp_path):
    """Two scans as the archive has them: one with a bleed in 255, one without."""
    root = tmp_path / "ct-ich-1.3.1"
    for folder in ("ct_scans", "masks"):
        (root / folder).mkdir(parents=True)
    bleed = np.zeros((6, 5, 4), np.uint8)
    bleed[1:3, 2:4, 1] = 255
    for number, mask in (("049", bleed), ("102", np.zeros_like(bleed))):
        scan = np.random.default_rng(int(number)).integers(-1024, 1000, bleed.shape).astype(np.int16)
        nib.save(nib.Nifti1Image(scan, AFFINE), root / "ct_scans" / f"{number}.nii")
        nib.save(nib.Nifti1Image(mask, AFFINE), root / "masks" / f"{number}.nii")
    return root


def test_scans_and_bleeds_come_over(downloaded, tmp_path):
    CTICHPreparation(str(downloaded), str(tmp_path / "out")).run()
    files = read_dataset(tmp_path / "out")
    assert files.classes == ("background", "hemorrhage")
    assert [case.id for case in files.train] == ["ctich_049", "ctich_102"]
    image, mask = nib.load(files.train[0].images[0]), nib.load(files.train[0].mask)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    before = nib.as_closest_canonical(nib.load(downloaded / "ct_scans" / "049.nii"))
    assert np.array_equal(image.get_fdata(), before.get_fdata())
    turned = nib.as_closest_canonical(nib.load(downloaded / "masks" / "049.nii"))
    assert np.array_equal(mask.get_fdata(), turned.get_fdata() > 0)
    assert not nib.load(files.train[1].mask).get_fdata().any()


def test_a_scan_without_its_mask_is_told(downloaded, tmp_path):
    (downloaded / "masks" / "102.nii").unlink()
    with pytest.raises(ValueError, match=r"102\.nii has no masks/102\.nii; add it"):
        CTICHPreparation(str(downloaded), str(tmp_path / "out")).run()
    assert not (tmp_path / "out").exists()


def test_another_folder_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no ct_scans/<number>\.nii below"):
        CTICHPreparation(str(tmp_path), str(tmp_path / "out")).run()
