import csv
import signal

import pytest
import timm
import torch

from tests.conftest import SMALL, TINY_VIT, call_verb, run_verb, train

# Six steps an epoch, a checkpoint after every fourth: step 4 and 8 lie inside an epoch. Dropout and augmentation draw
# random numbers, the moving average and Adam carry state.
RECIPE = [
    "trainer.max_epochs=3",
    "callbacks.last.every_n_train_steps=4",
    "callbacks/ema=ema",
    *TINY_VIT,
    "+lightning_module.net.drop_rate=0.3",
    "+callbacks.kill._target_=tests.kill.KillAt",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Folder and metrics of a run that was not killed."""
    folder = tmp_path_factory.mktemp("whole") / "whole"
    return folder, train(folder, *RECIPE)


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [10, 12, 14])
def test_a_killed_run_resumes_to_the_weights_of_one_that_was_not(whole, tmp_path, kill_at):
    folder, metrics = whole
    parts = [*SMALL, *RECIPE, f"datamodule.root={tmp_path / 'data'}", f"hydra.run.dir={tmp_path / 'parts'}"]
    killed = run_verb("train", *parts, MEDZOO_TEST_KILL_AT=str(kill_at))
    assert killed.code == -signal.SIGKILL
    assert not (tmp_path / "parts" / "metrics.json").exists()

    resumed = run_verb("train", *parts, "auto_resume=true")

    assert resumed.code == 0, resumed.output
    assert "resuming" in resumed.output
    folders = (folder, tmp_path / "parts")
    states = [torch.load(each / "checkpoints" / "last.ckpt", weights_only=True) for each in folders]
    assert states[0]["global_step"] == states[1]["global_step"] == metrics["fit/steps"] == 18
    for kind in ("state_dict", "current_model_state"):
        for name, weight in states[0][kind].items():
            assert torch.equal(weight, states[1][kind][name]), f"{kind}: {name}"
    steps = [
        [row["step"] for row in csv.DictReader((each / "metrics.csv").open()) if row["train/loss_step"]]
        for each in folders
    ]
    assert steps[0] == steps[1], "every step is logged once"


@pytest.mark.slow
def test_a_pretrained_run_goes_on_without_the_file_of_its_weights(tmp_path):
    torch.manual_seed(0)
    file = tmp_path / "weights.pth"
    torch.save(timm.create_model("resnet10t", num_classes=10).state_dict(), file)
    words = [
        "lightning_module/net=timm",
        "~lightning_module.net.widen_factor",
        "lightning_module.net.name=resnet10t",
        "lightning_module.net.pretrained=true",
        f"+lightning_module.net.pretrained_cfg_overlay={{file: {file}}}",
        "lightning_module/scheduler=constant",
    ]
    wrong = call_verb("train", *SMALL, *words, f"hydra.run.dir={tmp_path / 'x'}", f"datamodule.root={tmp_path}")
    assert (wrong.code, len(wrong.error)) == (2, 1), wrong.output
    assert "write datamodule.mean=0.449 datamodule.std=0.226" in wrong.error[0]
    words += ["datamodule.mean=0.449", "datamodule.std=0.226"]
    train(tmp_path / "first", *words, "trainer.max_epochs=1")
    file.unlink()
    assert "no file" in call_verb("train", *SMALL, *words, f"hydra.run.dir={tmp_path / 'x'}").error[0]
    last = tmp_path / "first" / "checkpoints" / "last.ckpt"
    train(tmp_path / "second", *words, f"ckpt_path={last}")
    train(tmp_path / "third", *words, f"init_from={last}", "trainer.max_epochs=1")
