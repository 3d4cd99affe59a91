"""BraTS as published: two files read it, `segmentation/brats.py` and `conf/datamodule/brats.yaml`."""

import re

import numpy as np
import pytest

from medzoo.runtime.build import instantiate
from medzoo.runtime.errors import UserError
from medzoo.runtime.plan import make_plan
from tests.conftest import ROOT, compose
from tests.datamodules.segmentation.test_datamodule import PLAN, save

SCANS = [f"BraTS-GLI-{patient:05d}-{time}" for patient in range(6) for time in (100, 101)]


@pytest.fixture
def root(tmp_path):
    """Six patients at two time points; each channel has a value of its own."""
    rng = np.random.default_rng(0)
    for scan in SCANS:
        mask = np.zeros((10, 12, 6), np.uint8)
        mask[2:8, 3:7, 1:3], mask[3:7, 4:6, 1:3], mask[4:6, 4:6, 1] = 2, 1, 3
        save(tmp_path / "brats" / scan / f"{scan}-seg.nii.gz", mask)
        for number, image in enumerate(("t1n", "t1c", "t2w", "t2f")):
            values = rng.normal(100 * number, 5, mask.shape).astype(np.float32)
            save(tmp_path / "brats" / scan / f"{scan}-{image}.nii.gz", values)
    return tmp_path / "brats"


def data_of(root, tmp_path, *words):
    """The datamodule of the command in the header of its YAML."""
    header = (ROOT / "conf" / "datamodule" / "brats.yaml").read_text().partition("defaults:")[0].replace("#", "")
    given = [word.strip("'") for word in re.findall(r"'[^']+'|\S+", header.partition("train.py ")[2])]
    config = compose(tmp_path, *(word.replace("<folder>", str(root)) for word in given), *words)
    (plain,) = make_plan(config).stages.values()
    return instantiate(plain["datamodule"], "datamodule")


def test_time_points_of_a_patient_stay_together(root, tmp_path):
    data = data_of(root, tmp_path, f"datamodule.plan={PLAN}".replace("'", "").replace(" ", ""), "datamodule.folds=3")
    data.setup()
    assert {len(names) for names in data.split.values()} == {8, 4}
    patients = {name: {scan[:-4] for scan in scans} for name, scans in data.split.items()}
    assert not patients["train"] & patients["val"]
    (case, *_) = data.test_dataloader()
    assert case["image"].shape[:2] == (1, 4)
    assert data.class_names == ("background", "necrosis", "oedema", "enhancing")
    first = data.files.train[0]
    assert [file.name for file in first.images] == [f"{first.id}-{image}.nii.gz" for image in data.images]


def test_a_folder_of_other_files_is_told(tmp_path):
    (tmp_path / "other" / "a").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no folder holds <folder>-t1n.nii.gz, <folder>-t1c"):
        data_of(tmp_path / "other", tmp_path).setup()
