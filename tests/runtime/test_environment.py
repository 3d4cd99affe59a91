import subprocess
import sys

import pytest

from medzoo.runtime.composing.extras import install_hint
from medzoo.runtime.errors import UserError, user_errors
from tests.conftest import ROOT


@pytest.mark.parametrize("verb", sorted(file.name for file in ROOT.glob("*.py")))
def test_a_verb_without_its_packages_says_what_to_run(verb):
    done = subprocess.run([sys.executable, "-S", verb], cwd=ROOT, capture_output=True, text=True)  # no site-packages
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert "source .venv/bin/activate" in line or "make setup" in line


@pytest.mark.parametrize(
    ("name", "extra"),
    [("xgboost", "xgboost"), ("onnx.helper", "export"), ("mambapy", "benchmarks"), ("submitit_slurm", "slurm")],
)
def test_an_extra_is_found_by_what_it_brings(name, extra):
    assert install_hint(name) == f"it needs pip install 'lightning-medzoo[{extra}]'"


def test_what_no_extra_brings_has_no_hint():
    assert install_hint("torch") == install_hint("") == ""


def test_a_missing_package_is_told_with_its_extra():
    with pytest.raises(UserError, match=r"No module named 'xgboost': it needs .*\[xgboost\]"), user_errors():
        raise ModuleNotFoundError("No module named 'xgboost'", name="xgboost")
