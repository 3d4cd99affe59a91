import csv
import signal

import pytest
import torch

from tests.conftest import SMALL, TINY_VIT, run_verb, train

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


@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [10, 12, 14])
def test_a_killed_run_resumes_to_the_weights_of_one_that_was_not(tmp_path, kill_at):
    whole = train(tmp_path / "whole", *RECIPE)
    parts = [*SMALL, *RECIPE, f"datamodule.root={tmp_path / 'data'}", f"hydra.run.dir={tmp_path / 'parts'}"]
    killed = run_verb("train", *parts, MEDZOO_TEST_KILL_AT=str(kill_at))
    assert killed.code == -signal.SIGKILL
    assert not (tmp_path / "parts" / "metrics.json").exists()

    resumed = run_verb("train", *parts, "auto_resume=true")

    assert resumed.code == 0, resumed.output
    assert "resuming" in resumed.output
    states = [
        torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "parts")
    ]
    assert states[0]["global_step"] == states[1]["global_step"] == whole["fit/steps"] == 18
    for kind in ("state_dict", "current_model_state"):
        for name, weight in states[0][kind].items():
            assert torch.equal(weight, states[1][kind][name]), f"{kind}: {name}"
    steps = [
        [row["step"] for row in csv.DictReader((tmp_path / name / "metrics.csv").open()) if row["train/loss_step"]]
        for name in ("whole", "parts")
    ]
    assert steps[0] == steps[1], "every step is logged once"
