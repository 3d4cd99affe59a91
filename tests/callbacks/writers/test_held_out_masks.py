"""Foreground of every case that the fold did not train on, on the grid of its file, written once."""

import lightning as L
import nibabel as nib
import numpy as np
from PIL import Image

from medzoo.callbacks import HeldOutMasks
from medzoo.datamodules import SegmentationDataModule
from medzoo.models import PlainUNet
from tests.datamodules.segmentation.test_datamodule import PLAN, write_dataset
from tests.datamodules.segmentation.test_pictures import PLAN as SIZES
from tests.datamodules.segmentation.test_pictures import write
from tests.lightning_modules.test_segmentation import module


def test_all_but_the_training_cases_are_outlined(tmp_path):
    root = tmp_path / "set"
    write_dataset(root, [f"p{number}" for number in range(6)])
    (root / "imagesTs").mkdir()
    image = root / "imagesTr" / "p0_0000.nii.gz"
    (root / "imagesTs" / "q0_0000.nii.gz").write_bytes(image.read_bytes())  # without a mask
    data = SegmentationDataModule(root, plan=PLAN, folds=2, batches=2)
    data.setup()
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)

    def test():
        run = L.Trainer(accelerator="cpu", default_root_dir=tmp_path / "run", callbacks=[HeldOutMasks()], **quiet)
        run.test(module(), data, verbose=False)

    test()
    files = {file.name.removesuffix(".nii.gz"): file for file in (tmp_path / "run" / "held_out").iterdir()}
    assert set(files) == {*data.split["val"], "q0"}
    said, source = nib.load(files["q0"]), nib.load(image)
    assert np.array_equal(said.affine, source.affine)
    bright = data._read(data.held_out_cases[-1]).image[0] > 0
    assert np.array_equal(np.asarray(said.dataobj).T > 127, bright), "the network says: bright voxels"

    files["q0"].write_bytes(b"done before")
    test()
    assert files["q0"].read_bytes() == b"done before"


def test_pictures_are_outlined_in_pictures(tmp_path):
    data = SegmentationDataModule(write(tmp_path / "set", heads=4), plan=SIZES, folds=2, patient=None)
    data.setup()
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    run = L.Trainer(accelerator="cpu", default_root_dir=tmp_path / "run", callbacks=[HeldOutMasks()], **quiet)
    sizes = {name: SIZES[name] for name in ("features", "strides", "kernels")}
    run.test(module(PlainUNet(2, 1, 2, **sizes), patch_size=[16, 16]), data, verbose=False)
    files = sorted((tmp_path / "run" / "held_out").iterdir())
    assert [file.name for file in files] == [f"{name}.png" for name in sorted(data.split["val"])]
    assert np.asarray(Image.open(files[0])).shape == (24, 24)
