"""The wheel, as a user has it: installed elsewhere, called from a folder whose names are those of the zoo's rooms."""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT

SMALL = ["datamodule.counts=[48,24,24]", "datamodule.size=12", "trainer.max_epochs=1", "trainer.accelerator=cpu"]
OLD = ROOT / "tests" / "runtime" / "written_by_0_1.ckpt"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """`bin` of an environment that has the wheel, and the libraries of this one but not its link to the checkout."""
    home = tmp_path_factory.mktemp("environment") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    site = next(home.glob("lib/python*/site-packages"))
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")  # .pth files in there are not read
    install = [sys.executable, "-m", "pip", "--python", str(home), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*install, "--quiet"], check=True)
    return home / "bin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The user's own: packages that have the names of rooms, and an image."""
    folder = tmp_path_factory.mktemp("user")
    for name in ("models", "runtime", "callbacks", "datamodules"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise ImportError('the user has this name')\n")
    Image.fromarray(np.full((12, 12), 100, np.uint8)).save(folder / "case.png")
    return folder


def run(installed: Path, folder: Path, *words: str) -> str:
    command = [str(installed / words[0]), *words[1:]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_brings_one_name(wheel):
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"medzoo"}


@pytest.mark.slow
def test_it_trains_and_predicts(installed, folder):
    run(installed, folder, "medzoo", "train", "experiment=medmnist_classification_demo", *SMALL, "hydra.run.dir=run")
    words = ["ckpt_path=run/checkpoints/best.ckpt", "input=case.png", "output=out.csv", "trainer.accelerator=cpu"]
    run(installed, folder, "medzoo", "predict", *words)
    assert (folder / "out.csv").read_text().splitlines()[1].startswith("case,")
    words = [f"ckpt_path={OLD}", "input=case.png", "output=old.csv", "trainer.accelerator=cpu"]
    run(installed, folder, "medzoo", "predict", *words)
    assert (folder / "old.csv").read_text().splitlines()[1].startswith("case,")
    assert "experiment=hemexp_demo" in run(installed, folder, "medzoo", "list", "experiments")


@pytest.mark.slow
def test_two_processes_are_started_as_the_first_was(installed, folder):
    more = ["trainer.devices=2", "hydra.run.dir=two"]
    run(installed, folder, "medzoo", "train", "experiment=medmnist_classification_demo", *SMALL, *more)
    assert (folder / "two" / "report.html").is_file()


@pytest.mark.slow
def test_python_has_the_zoo_and_the_others_have_their_names(installed, folder):
    lines = [
        "import medzoo, evaluate",
        f"module = medzoo.load({str(OLD)!r})",
        "print(type(module).__module__, hasattr(evaluate, 'load'), medzoo.models.__file__)",
    ]
    said = run(installed, folder, "python", "-c", "\n".join(lines)).splitlines()[-1].split()
    assert said[:2] == ["medzoo.lightning_modules.classification", "True"]
    assert Path(said[2]).is_relative_to(installed.parent)
