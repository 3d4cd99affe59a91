import json
import os
import socket
import subprocess
import sys

import pytest

from tests.conftest import ROOT, SMALL, TINY_VIT, train
from tests.runtime.training.test_ddp import curve

RECIPE = [*TINY_VIT, "trainer.max_epochs=2", "datamodule.augment=null", "trainer.accelerator=cpu"]
KILLED = ["callbacks.last.every_n_train_steps=2", "+callbacks.kill._target_=tests.kill.KillAt"]


def torchrun(run, *words, **environment):
    """Two nodes of two processes each, which are two agents on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = f"--rdzv-endpoint=127.0.0.1:{free.getsockname()[1]}"
    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=2", "--max-restarts=4"]
    command = [*agent, "--rdzv-backend=c10d", meeting, "train.py", *SMALL, *words, f"hydra.run.dir={run}"]
    command += ["trainer.devices=2", "trainer.num_nodes=2", f"datamodule.root={run.parent / 'data'}"]
    environment = {**os.environ, **environment, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    logs = [run.with_suffix(f".node_{node}") for node in (0, 1)]
    nodes = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log.open("w"), stderr=subprocess.STDOUT)
        for log in logs
    ]
    codes = [node.wait(timeout=900) for node in nodes]
    text = "\n".join(log.read_text() for log in logs)
    assert codes == [0, 0], text[-5000:]
    return json.loads((run / "metrics.json").read_text()), text


@pytest.mark.slow
def test_two_nodes_train_as_one_process_and_go_on_after_one_of_theirs_is_killed(tmp_path):
    one = train(tmp_path / "one", *RECIPE, "datamodule.batch_size=8")
    killed = {"MEDZOO_TEST_KILL_AT": "9", "MEDZOO_TEST_KILL_ONCE": f"3:{tmp_path / 'killed'}"}
    four, text = torchrun(tmp_path / "four", *RECIPE, *KILLED, "datamodule.batch_size=2", "auto_resume=true", **killed)

    assert (tmp_path / "killed").exists()
    assert "resuming" in text
    loss = curve(tmp_path / "four", "train/loss")[:1]  # that of the resumed epoch is a mean of the steps since
    assert loss == pytest.approx(curve(tmp_path / "one", "train/loss")[:1], rel=1e-4)
    for name in ("val/loss", "val/auc"):
        assert curve(tmp_path / "four", name) == pytest.approx(curve(tmp_path / "one", name), rel=1e-4), name
    assert four["test/auc"] == pytest.approx(one["test/auc"], rel=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["data", "four", "one"]
