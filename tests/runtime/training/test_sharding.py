import os
import socket
import subprocess
import sys

import pytest
import torch
from torch import nn

from medzoo.runtime.errors import UserError
from medzoo.runtime.training.sharding import blocks
from medzoo.runtime.training.strategy import SHARDED, fitting_strategy
from tests.conftest import ROOT

TWO = {"accelerator": "cpu", "devices": 2, "strategy": "fsdp"}


class Block(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size, size), nn.ReLU())


def test_blocks_are_the_outermost_repeated_parts_of_some_size():
    net = nn.Sequential(Block(8), nn.Sequential(Block(8), Block(8).requires_grad_(False)), Block(1), nn.Linear(8, 8))
    assert blocks(net) == [net[0], net[1][0]]
    assert blocks(nn.Linear(8, 8)) == []


def test_fsdp_is_ours_on_several_devices_alone():
    assert fitting_strategy(TWO, nn.Linear(2, 2)) == SHARDED
    assert fitting_strategy({**TWO, "devices": 1}, nn.Linear(2, 2)) == "auto"


@pytest.mark.parametrize("strategy", ["deepspeed_stage_2", "fsdp_cpu_offload", {"_target_": "x.DeepSpeedStrategy"}])
def test_strategies_whose_checkpoints_nothing_reads_are_refused(strategy):
    with pytest.raises(UserError, match=r"cannot read its checkpoints back; trainer.strategy=fsdp"):
        fitting_strategy({**TWO, "strategy": strategy}, nn.Linear(2, 2))


def test_what_has_no_shards_is_refused():
    with pytest.raises(UserError, match="use bf16-mixed"):
        fitting_strategy({**TWO, "precision": "16-mixed"}, nn.Linear(2, 2))
    net = nn.Linear(2, 2)
    net.temperature = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(UserError, match="its temperature is a single number"):
        fitting_strategy(TWO, net)


@pytest.mark.slow
def test_networks_learn_in_shards_as_by_ddp_and_resume_to_the_bit(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0", "WORLD_SIZE": "2"}
    logs = [tmp_path / f"rank_{rank}.txt" for rank in (0, 1)]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.sharded", str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, **group, "LOCAL_RANK": str(rank)},
            stdout=log.open("w"),
            stderr=subprocess.STDOUT,
        )
        for rank, log in enumerate(logs)
    ]
    try:
        codes = [rank.wait(timeout=600) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert codes == [0, 0], "\n".join(log.read_text()[-3000:] for log in logs)
