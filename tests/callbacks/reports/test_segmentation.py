import csv
import json

import lightning as L
import nibabel as nib
import numpy as np
import pytest
import torch

from medzoo.callbacks import SegmentationReport, SegmentationWriter
from medzoo.datamodules import SegmentationDataModule
from medzoo.datamodules.transforms import NNUNetAugment
from medzoo.models import UMamba
from tests.datamodules.segmentation.test_datamodule import PLAN, write_dataset
from tests.lightning_modules.test_segmentation import module

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture
def data(tmp_path):
    write_dataset(tmp_path / "set", [f"p{number}" for number in range(6)])
    data = SegmentationDataModule(tmp_path / "set", plan=PLAN, folds=2, batches=2)
    data.setup()
    return data


def trainer(folder, *callbacks):
    return L.Trainer(accelerator="cpu", default_root_dir=folder, callbacks=list(callbacks), **QUIET)


def test_the_report_scores_every_case_and_draws_some(data, tmp_path):
    run = trainer(tmp_path / "run", SegmentationReport(cases=2))
    run.test(module(), data, verbose=False)
    said = {name: float(value) for name, value in run.callback_metrics.items()}
    assert set(said) == {
        f"test/{n}" for n in ("dice", "iou", "nsd", "hd95_mm", "scored", "missed", "volume_mae_ml", "volume_bias_ml")
    }
    with (tmp_path / "run" / "predictions" / "test.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert [row["id"] for row in rows] == data.split["test"]
    assert np.mean([float(row["dice_bleed"]) for row in rows]) == pytest.approx(said["test/dice"], abs=1e-3)
    assert (tmp_path / "run" / "figures" / "cases.png").is_file()


def test_label_maps_lie_on_the_grid_of_their_image_and_are_written_once(data, tmp_path):
    model, output = module(), tmp_path / "said"
    data.set_predict_input(tmp_path / "set" / "imagesTr")
    writer = SegmentationWriter(output)
    trainer(tmp_path, writer).predict(model, data)
    assert writer.written == output
    files = sorted(output.glob("*.nii.gz"))
    assert [file.name for file in files] == [f"p{number}.nii.gz" for number in range(6)], "nothing partial is left"
    assert set(output.iterdir()) == set(files), "a folder of label maps holds nothing else"
    for file in files:
        image, source = nib.load(file), nib.load(tmp_path / "set" / "imagesTr" / f"{file.name[:2]}_0000.nii.gz")
        assert image.shape == source.shape
        assert np.array_equal(image.affine, source.affine)
        bright = torch.from_numpy(data._read(data.predict_cases[file.name[:2]]).image[0] > 0).numpy()
        assert np.array_equal(np.asarray(image.dataobj).T, bright), "the network says: bright voxels"

    files[0].unlink()
    files[1].write_bytes(b"done before")
    data.set_predict_input(tmp_path / "set" / "imagesTr")
    trainer(tmp_path, SegmentationWriter(output)).predict(model, data)
    assert files[0].is_file()
    assert files[1].read_bytes() == b"done before"


def test_flat_images_are_segmented_in_two_dimensions(tmp_path):
    rng, root = np.random.default_rng(0), tmp_path / "set"
    for number in range(4):
        image = rng.normal(40, 5, (30, 26)).astype(np.float32)
        mask = np.zeros((30, 26), np.uint8)
        mask[5:15, 8 : 16 + number] = 1
        for folder, name, array in (
            ("imagesTr", f"p{number}_0000", image + 30 * mask),
            ("labelsTr", f"p{number}", mask),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.diag([0.5, 0.5, 1, 1])), root / folder / f"{name}.nii.gz")
    (root / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "CT"}, "labels": {"background": 0, "bleed": 1}})
    )
    data = SegmentationDataModule(root, folds=2, batches=2, augment=NNUNetAugment(flip=[0, 1]))
    data.setup()
    assert data.spatial_dims == 2
    sizes = {"features": data.features, "strides": data.strides, "kernels": data.kernels}
    net = UMamba(2, 1, 2, **{**sizes, "features": [4] * len(data.features)})
    model = module(net, patch_size=data.patch_size)
    trainer(tmp_path / "run", SegmentationReport(cases=1)).test(model, data, verbose=False)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (2, 1, *data.patch_size)
    assert torch.isfinite(model.criterion(net(batch["image"]), batch["mask"]))
