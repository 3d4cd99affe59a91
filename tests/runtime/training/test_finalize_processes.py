"""What one process fits for all is what it would fit alone."""

import os
import socket
import subprocess
import sys

import pytest
import torch

from medzoo.datamodules.phantoms.head import write_head_cohort
from tests.conftest import ROOT
from tests.runtime.training.finalized import finalized


@pytest.mark.slow
def test_two_processes_fit_what_one_does(tmp_path):
    cohort = tmp_path / "cohort"
    hospitals = {"Aare": 20, "Emme": 4, "Kander": 4}
    write_head_cohort(cohort, patients=hospitals, image_size=32, spacing_mm=6.0, slices=12, seed=1)
    alone = finalized(cohort, 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0", "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "tests.runtime.training.finalized", str(cohort), str(tmp_path)]
    ranks = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, **group, "LOCAL_RANK": str(rank)}) for rank in (0, 1)
    ]
    assert [rank.wait(timeout=200) for rank in ranks] == [0, 0]
    assert bool(alone["latents_measured"])
    for rank in (0, 1):
        state = torch.load(tmp_path / f"rank_{rank}.pt", weights_only=True)
        for name, value in alone.items():
            assert torch.equal(state[name], value), name
