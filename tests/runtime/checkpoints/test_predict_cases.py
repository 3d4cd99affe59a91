"""Predictions of cases into a folder that holds some already: the same ones go on, all others are refused."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch

from medzoo.datamodules.io import read_mask
from medzoo.runtime.build import instantiate
from tests.conftest import call_verb
from tests.datamodules.io.dicom_series import write_volume
from tests.datamodules.segmentation.test_datamodule import PLAN, write_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set, and a checkpoint of a network that calls all of it foreground, another that calls none."""
    folder = tmp_path_factory.mktemp("cases")
    root = write_dataset(folder / "set", ["a", "b", "c", "d"])
    config = {
        "seed": 0,
        "datamodule": {
            "_target_": "medzoo.datamodules.SegmentationDataModule", "root": str(root), "plan": PLAN, "folds": 2,
            "classes": ["background", "bleed"], "channels": ["CT"],
        },
        "lightning_module": {
            "_target_": "medzoo.lightning_modules.SegmentationModule", "num_classes": 2, "patch_size": PLAN["patch"],
            "net": {
                "_target_": "medzoo.models.PlainUNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2,
                **{name: PLAN[name] for name in ("features", "strides", "kernels")},
            },
            "criterion": {"_target_": "medzoo.models.DeepSupervisionDiceCELoss"},
            "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.001},
        },
        "predict_writer": {"_target_": "medzoo.callbacks.SegmentationWriter"},
    }  # fmt: skip
    module = instantiate(config["lightning_module"], "lightning_module")
    data = instantiate(config["datamodule"], "datamodule")
    data.setup()
    for name, bias in (("all", 9.0), ("none", -9.0)):
        for key, weight in module.state_dict().items():
            if key.startswith("net.heads."):
                weight.copy_(torch.tensor([0.0, bias]) if weight.ndim == 1 else torch.zeros_like(weight))
        known = {"config": config, "class_names": ["background", "bleed"], "datamodule": data.state_dict()}
        torch.save({"state_dict": module.state_dict(), "medzoo": known}, folder / f"{name}.ckpt")
    return folder


def predict(made, name, image, output, *words):
    quiet = ["trainer.accelerator=cpu", "callbacks.progress=null"]
    return call_verb("predict", f"ckpt_path={made / name}.ckpt", f"input={image}", f"output={output}", *quiet, *words)


def share(file):
    return np.asarray(nib.load(file).dataobj).mean()


def refused(done, message, remedy="name another output, or remove that folder"):
    assert done.code == 2, done.output
    assert len(done.error) == 1, done.output
    assert message in done.error[0]
    assert remedy in done.error[0]


def test_masks_of_another_checkpoint_are_not_taken_for_new_ones(made, tmp_path):
    image, output = made / "set" / "imagesTr" / "a_0000.nii.gz", tmp_path / "out"
    assert predict(made, "all", image, output).code == 0
    assert share(output / "a.nii.gz") == 1
    done = predict(made, "none", image, output)
    refused(done, f"output: {output}: holds predictions of {made / 'all'}.ckpt")
    refused(predict(made, "none", made / "set" / "imagesTr" / "b_0000.nii.gz", output), "holds predictions of")
    assert predict(made, "none", image, tmp_path / "other").code == 0
    assert share(tmp_path / "other" / "a.nii.gz") == 0


def test_the_same_checkpoint_goes_on_wherever_it_lies(made, tmp_path):
    images, output = made / "set" / "imagesTr", tmp_path / "out"
    assert predict(made, "all", images / "a_0000.nii.gz", output).code == 0
    written = (output / "a.nii.gz").stat().st_mtime_ns
    shutil.copy(made / "all.ckpt", tmp_path / "copy.ckpt")
    done = predict(tmp_path, "copy", images, output)
    assert done.code == 0, done.output
    assert sorted(file.name[0] for file in output.glob("*.nii.gz")) == ["a", "b", "c", "d"]
    assert (output / "a.nii.gz").stat().st_mtime_ns == written
    assert set(json.loads((tmp_path / "out.made_by.json").read_text())["cases"]) == {"a", "b", "c", "d"}


def test_another_image_of_the_same_name_is_not_taken_for_the_first(made, tmp_path):
    image, output = tmp_path / "a_0000.nii.gz", tmp_path / "out"
    source = nib.load(made / "set" / "imagesTr" / "a_0000.nii.gz")
    nib.save(source, image)
    assert predict(made, "all", image, output).code == 0
    nib.save(nib.Nifti1Image(np.asarray(source.dataobj) + 1, source.affine), image)
    refused(predict(made, "all", image, output), f"{output / 'a.nii.gz'}: made of another image of this name")
    (output / "a.nii.gz").unlink()
    assert predict(made, "all", image, output).code == 0, "nothing old is left"


def test_other_settings_are_refused(made, tmp_path):
    image, output = made / "set" / "imagesTr" / "a_0000.nii.gz", tmp_path / "out"
    assert predict(made, "all", image, output).code == 0
    content = torch.load(made / "all.ckpt", weights_only=True)
    content["medzoo"]["config"]["lightning_module"]["tta_flips"] = [0]
    torch.save(content, tmp_path / "mirrored.ckpt")
    refused(predict(tmp_path, "mirrored", image, output), "holds predictions of")
    record = json.loads((tmp_path / "out.made_by.json").read_text())
    record["made_by"]["samples"] = 8
    (tmp_path / "out.made_by.json").write_text(json.dumps(record))
    refused(predict(made, "all", image, output), "holds predictions made with other options (samples was 8)")


@pytest.mark.parametrize("record", [None, "{}", "[]", "{"])
def test_a_folder_without_a_record_is_refused_unless_it_is_empty(made, tmp_path, record):
    image, output = made / "set" / "imagesTr" / "a_0000.nii.gz", tmp_path / "out"
    output.mkdir()
    (output / "z.nii.gz").write_bytes(b"from elsewhere")
    if record is None:
        refused(predict(made, "all", image, output), f"{output / 'z.nii.gz'}: a prediction of unknown origin")
    else:
        (tmp_path / "out.made_by.json").write_text(record)
        refused(predict(made, "all", image, output), f"{tmp_path / 'out.made_by.json'}: damaged")
    (output / "z.nii.gz").unlink()
    assert predict(made, "all", image, output).code == 0


def test_a_head_without_its_skull_is_refused_in_one_line(made, tmp_path):
    content = torch.load(made / "all.ckpt", weights_only=True)
    content["medzoo"]["datamodule"]["skull"] = "intact"
    torch.save(content, tmp_path / "intact.ckpt")
    image = made / "set" / "imagesTr" / "a_0000.nii.gz"
    done = predict(tmp_path, "intact", image, tmp_path / "out")
    assert (done.code, len(done.error)) == (2, 1), done.output
    assert done.error[0].startswith(f"input: {image}: no bone (above 300 HU)")
    words = [f"ckpt_path={tmp_path / 'intact.ckpt'}", f"hydra.run.dir={tmp_path / 'run'}", "trainer.accelerator=cpu"]
    done = call_verb("evaluate", *words)
    assert (done.code, len(done.error)) == (2, 1), done.output
    assert "no bone (above 300 HU)" in done.error[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_run_is_not_evaluated_into(made, tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 1")
    done = call_verb("evaluate", f"ckpt_path={made / 'all.ckpt'}", f"hydra.run.dir={tmp_path}")
    assert (done.code, len(done.error)) == (2, 1), done.output
    assert f"{tmp_path} holds another run" in done.error[0]
    assert (tmp_path / "config.yaml").read_text() == "seed: 1"


def test_folders_of_dicom_are_predicted_on_as_their_nifti(made, tmp_path):
    volume = nib.load(made / "set" / "imagesTr" / "a_0000.nii.gz")
    volume = nib.Nifti1Image(np.asarray(volume.dataobj).round().astype(np.int16), volume.affine)
    (tmp_path / "in" / "p1").mkdir(parents=True)
    nib.save(volume, tmp_path / "in" / "p1" / "ct.nii.gz")
    series = write_volume(tmp_path / "in" / "p2" / "ct", volume, ending="")
    output = tmp_path / "out"
    assert predict(made, "all", tmp_path / "in", output).code == 0
    first, second = (read_mask(output / name / "ct.nii.gz") for name in ("p1", "p2"))
    assert first.array.all()
    assert np.array_equal(first.array, second.array)
    assert np.allclose(first.affine, second.affine, atol=1e-4)
    write_volume(series, volume, ending="", InstanceNumber=9)
    refused(predict(made, "all", tmp_path / "in", output), "p2/ct.nii.gz: made of another image of this name")
    write_volume(series, volume, ending="x", series="1.2")
    refused(predict(made, "all", series, tmp_path / "other"), f"input: {series}: 2 series: ", "a folder of its own")


def test_predictions_within_the_input_are_no_images(made, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy(made / "set" / "imagesTr" / "a_0000.nii.gz", source / "a.nii.gz")
    for _ in range(2):
        assert predict(made, "all", source, source / "predictions").code == 0
        assert [file.name for file in (source / "predictions").rglob("*")] == ["a.nii.gz"]


def test_a_data_set_with_label_maps_is_no_input(made, tmp_path):
    done = predict(made, "all", made / "set", tmp_path / "out")
    refused(done, "a data set with label maps", remedy="give ")


def test_a_damaged_case_among_others_ends_in_one_line(made, tmp_path):
    shutil.copy(made / "set" / "imagesTr" / "a_0000.nii.gz", tmp_path / "a.nii.gz")
    (tmp_path / "b.nii.gz").write_bytes((tmp_path / "a.nii.gz").read_bytes()[:-20])
    refused(predict(made, "none", tmp_path, tmp_path / "out"), f"{tmp_path / 'b.nii.gz'} could", "copy it")
    assert (tmp_path / "out" / "a.nii.gz").is_file()
