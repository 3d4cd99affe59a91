import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from medzoo.runtime.errors import UserError
from medzoo.runtime.training import together
from medzoo.runtime.training.ranks import check_processes
from medzoo.runtime.training.together import FILE, first_process_leads, started_processes
from tests.conftest import ROOT, call_verb

LEADS = """
import sys, time
from pathlib import Path
from medzoo.runtime.training.together import first_process_leads
with first_process_leads(Path(sys.argv[1]), several=True):
    print("leads", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def second(monkeypatch):
    """This process is not the first."""
    monkeypatch.setenv("RANK", "1")


def follow(folder):
    with first_process_leads(folder, several=True):
        pass


def test_others_wait_for_the_first_as_long_as_it_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(together, "_BEAT", 0.05)
    monkeypatch.setattr(together, "_PATIENCE", 1.0)  # shorter than the work of the first
    order = []

    def work():
        with first_process_leads(tmp_path, several=True):
            time.sleep(1.5)
            order.append("first")

    thread = threading.Thread(target=work)
    thread.start()
    while not (tmp_path / FILE).exists():
        time.sleep(0.01)
    with monkeypatch.context() as patch:
        patch.setenv("RANK", "1")
        follow(tmp_path)
    order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_others_end_with_a_line_when_the_first_refuses_its_input(tmp_path, second, monkeypatch):
    (tmp_path / FILE).touch()
    threading.Timer(0.3, (tmp_path / FILE).unlink).start()
    with pytest.raises(UserError, match="the first process ended before the data were ready"):
        follow(tmp_path)
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="bad"), first_process_leads(tmp_path, several=True):
        raise ValueError("bad")
    assert not (tmp_path / FILE).exists()


def test_others_end_with_a_line_when_the_first_is_killed(tmp_path, second, monkeypatch):
    monkeypatch.setattr(together, "_PATIENCE", 3.0)
    environment = {**os.environ, "RANK": "0"}
    first = subprocess.Popen(
        [sys.executable, "-c", LEADS, str(tmp_path)], cwd=ROOT, env=environment, stdout=subprocess.PIPE
    )
    first.stdout.readline()
    first.send_signal(signal.SIGKILL)
    first.wait()
    with pytest.raises(UserError, match="no sign of the first process for 3 s"):
        follow(tmp_path)


def test_one_process_writes_nothing(tmp_path):
    with first_process_leads(tmp_path, several=False):
        pass
    assert not [*tmp_path.iterdir()]


def test_processes_that_do_not_fit_the_trainer_are_refused(monkeypatch):
    assert started_processes() == 1
    for name, value in {"RANK": "0", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert check_processes({"accelerator": "cpu", "devices": 4}) == 4
    with pytest.raises(UserError, match=r"4 processes were started, and .* is 2"):
        check_processes({"accelerator": "cpu", "devices": 2})


@pytest.mark.parametrize("started", [{"RANK": "0", "WORLD_SIZE": "2"}, {"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}])
def test_processes_that_start_together_need_the_name_of_their_folder(started, monkeypatch):
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    done = call_verb("train", "experiment=medmnist_classification_demo")
    assert (done.code, len(done.error)) == (2, 1)
    assert "add hydra.run.dir=" in done.error[0]
