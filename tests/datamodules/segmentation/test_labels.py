"""nnU-Net's label `ignore` and its regions: read, served, and worth their while."""

import json
from functools import partial
from pathlib import Path

import lightning as L
import nibabel as nib
import numpy as np
import pytest
import torch

from medzoo.callbacks import SegmentationReport
from medzoo.datamodules import SegmentationDataModule
from medzoo.datamodules.segmentation.batches import PatchBatches
from medzoo.datamodules.segmentation.cases import measure
from medzoo.datamodules.segmentation.files import read_dataset
from medzoo.datamodules.segmentation.labels import Labels, read_labels
from medzoo.datamodules.store import Store
from medzoo.lightning_modules import SegmentationModule
from medzoo.models import DeepSupervisionDiceCELoss, PlainUNet
from tests.datamodules.segmentation.test_datamodule import case_of

FILE = Path("set/dataset.json")
REGIONS = {"background": 0, "whole": [1, 2], "core": 2}
PLAN = {
    "spacing": [1.0, 1.0],
    "patch": [16, 16],
    "batch_size": 4,
    "features": [8, 16],
    "strides": [[1, 1], [2, 2]],
    "kernels": [[3, 3]] * 2,
}


@pytest.mark.parametrize(
    ("said", "expected", "count"),
    [
        ({"labels": {"background": 0, "b": 2, "a": 1}}, Labels(("background", "a", "b")), 3),
        ({"labels": {"0": "background", "1": "a"}}, Labels(("background", "a")), 2),
        ({"labels": {"background": 0, "a": [1]}}, Labels(("background", "a")), 2),
        ({"labels": {"background": 0, "a": 1, "ignore": 2}}, Labels(("background", "a"), ignore=2), 3),
        (
            {"labels": REGIONS, "regions_class_order": [1, 2]},
            Labels(("background", "whole", "core"), ((1, 2), (2,)), (1, 2)),
            3,
        ),
        (
            {"labels": {**REGIONS, "ignore": 3}, "regions_class_order": [1, 2]},
            Labels(("background", "whole", "core"), ((1, 2), (2,)), (1, 2), 3),
            4,
        ),
    ],
)
def test_labels_are_read_as_nnunet_means_them(said, expected, count):
    found = read_labels(said, FILE)
    assert found == expected
    assert found.count == count


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"labels": ["background", "a"]},
        {"labels": {"background": 0}},
        {"labels": {"background": 0, "a": "x"}},
        {"labels": {"background": 0, "a": 2}},
        {"labels": {"background": 0, "a": 1, "b": 1}},
        {"labels": {"background": 0, "ignore": 1, "a": 2}},
        {"labels": {"background": 0, "ignore": 1}},
        {"labels": {"background": 0, "a": 1, "ignore": [2, 3]}},
        {"labels": REGIONS},
        {"labels": REGIONS, "regions_class_order": [1]},
        {"labels": REGIONS, "regions_class_order": [1, 3]},
        {"labels": {"background": 0, "whole": [0, 1], "core": 2}, "regions_class_order": [1, 2]},
        {"labels": {"whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]},
    ],
)
def test_labels_that_cannot_be_meant_are_told_with_the_file(said):
    with pytest.raises(ValueError, match=r"set/dataset\.json: ") as caught:
        read_labels(said, FILE)
    assert "\n" not in str(caught.value)


def case(mask, **options):
    return case_of(np.zeros((1, *mask.shape), np.float32), mask, (1.0,) * mask.ndim, **options)


def test_patches_lie_where_something_is_annotated():
    mask = np.full((40, 40), 2, np.uint8)
    mask[30:34, 30:34] = 0
    mask[31, 31] = 1
    nothing = np.full_like(mask, 2)
    both = [case(mask, ignore=2), case(nothing, ignore=2)]
    batches = PatchBatches(both, (8, 8), batches=30, batch_size=3, foreground=0.34)
    for batch in batches:
        assert (batch["mask"] != 2).flatten(1).any(1).all(), "every patch"
        assert (batch["mask"][-1] == 1).any(), "the last third has foreground, and ignore is none"
    with pytest.raises(ValueError, match="no training mask has an annotated voxel"):
        PatchBatches([case(nothing, ignore=2)], (8, 8), batches=1, batch_size=1)


def test_patches_lie_around_each_region():
    mask = np.zeros((40, 40), np.uint8)
    mask[5:30, 5:30] = 1
    mask[20, 20] = 2
    made = PatchBatches([case(mask, regions=((1, 2), (2,)))], (3, 3), batches=60, batch_size=1, foreground=1)
    core = sum(bool((batch["mask"] == 2).any()) for batch in made)
    assert 20 < core < 45, "the core is a half of the regions, and a tiny part of the whole"


# A phantom in nnU-Net's layout: discs with a core; of the training discs, all but a strip is not annotated.


def write_phantom(root, labels, *, ignore, count=8):
    """Pictures of 32 pixels; `ignore` is the value of what is not annotated; the test is annotated throughout."""
    rng = np.random.default_rng(0)
    for number in range(count):
        split = "Tr" if number < count - 2 else "Ts"
        y, x = np.mgrid[:32, :32] - rng.uniform(13, 18, 2)[:, None, None]
        mask = np.where(np.hypot(x, y) < 9, 1, 0) + np.where(np.hypot(x, y) < 4, 1, 0)
        image = rng.normal(0, 0.3, mask.shape) + mask
        if split == "Tr":
            mask = np.where((np.abs(y) > 3) & (np.hypot(x, y) < 11), ignore, mask)
        for folder, name, array in (
            (f"images{split}", f"p{number}_0000", image),
            (f"labels{split}", f"p{number}", mask),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            kind = np.float32 if folder.startswith("images") else np.uint8
            nib.save(nib.Nifti1Image(array.astype(kind), np.eye(4)), root / folder / f"{name}.nii.gz")
    said = {"channel_names": {"0": "MR"}, "labels": labels, "regions_class_order": [1, 2]}
    (root / "dataset.json").write_text(json.dumps(said))
    return root


def trained_dice(root, run):
    """Dice of `whole` and `core` on the test, after a few steps; all that depends on labels comes from the data."""
    L.seed_everything(0)
    data = SegmentationDataModule(root, plan=PLAN, folds=3, batches=30, window=[-1, 3])
    sizes = {"features": data.features, "strides": data.strides, "kernels": data.kernels}
    module = SegmentationModule(
        PlainUNet(data.spatial_dims, data.in_channels, data.num_classes, **sizes),
        DeepSupervisionDiceCELoss(regions=data.regions, ignore=data.ignore),
        partial(torch.optim.Adam, lr=0.01),
        num_classes=data.num_classes,
        patch_size=data.patch_size,
        regions=data.regions,
        regions_class_order=data.regions_class_order,
        ignore=data.ignore,
    )
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    options = {"accelerator": "cpu", "max_epochs": 2, "callbacks": [SegmentationReport(cases=1)], **quiet}
    trainer = L.Trainer(default_root_dir=run, **options)
    trainer.fit(module, data)
    assert 0 <= trainer.callback_metrics["val/dice"] <= 1
    trainer.test(module, data, verbose=False)
    said = module.predict_step(next(iter(data.test_dataloader())), 0)
    assert int(said["mask"].max()) <= 2, "what is not annotated is never said"
    return {name: float(trainer.callback_metrics[f"test/dice_{name}"]) for name in data.class_names[1:]}


@pytest.mark.parametrize("regions", [True, False])
def test_leaving_out_what_is_not_annotated_beats_calling_it_background(tmp_path, regions):
    labels = REGIONS if regions else {"background": 0, "whole": 1, "core": 2}
    known = trained_dice(write_phantom(tmp_path / "known", {**labels, "ignore": 3}, ignore=3), tmp_path / "known_run")
    as_background = trained_dice(write_phantom(tmp_path / "zero", labels, ignore=0), tmp_path / "zero_run")
    assert known["whole"] > (0.8 if regions else 0.6), "a ring is harder than a disc"
    assert known["whole"] > as_background["whole"] + 0.15
    assert known["core"] > 0.6, "the core is annotated in both"


def test_intensities_are_not_measured_where_nothing_is_annotated(tmp_path):
    root = write_phantom(tmp_path, {"background": 0, "whole": 1, "core": 2, "ignore": 3}, ignore=3, count=4)
    files = read_dataset(root)
    foreground = [
        np.asarray(nib.load(case.images[0]).dataobj)[np.isin(np.asarray(nib.load(case.mask).dataobj), (1, 2))]
        for case in files.train
    ]
    (found,) = measure(files.train, files.labels.count, Store(), ignore=files.labels.ignore)
    assert found.mean == pytest.approx(np.mean(np.concatenate(foreground)), rel=0.05)


def test_regions_and_given_classes_that_differ_are_told(tmp_path):
    root = write_phantom(tmp_path, REGIONS, ignore=0, count=4)
    data = SegmentationDataModule(root, plan=PLAN, classes=["background", "hematoma"])
    with pytest.raises(
        ValueError, match=r"dataset\.json: its labels are the regions whole, core, but datamodule\.clas"
    ):
        _ = data.num_classes


def test_other_regions_than_those_of_the_model_are_refused(tmp_path):
    model = SegmentationDataModule(write_phantom(tmp_path / "one", REGIONS, ignore=0), plan=PLAN, folds=3)
    model.setup()
    other = write_phantom(tmp_path / "two", {"background": 0, "whole": [1, 2], "core": 1}, ignore=0)
    data = SegmentationDataModule(other, plan=PLAN, folds=3)
    data.load_state_dict(model.state_dict())
    with pytest.raises(ValueError, match="its regions are not those of the model"):
        data.use_classes(model.class_names)
    elsewhere = SegmentationDataModule(tmp_path / "gone", plan=PLAN, folds=3)
    elsewhere.load_state_dict(model.state_dict())
    elsewhere.use_classes(model.class_names)
    assert (elsewhere.num_classes, elsewhere.regions) == (2, [[1, 2], [2]]), "to predict where the data is not"
    same = SegmentationDataModule(tmp_path / "one", plan=PLAN, folds=3)
    same.load_state_dict(model.state_dict())
    same.use_classes(model.class_names)
