import subprocess
import sys

import pytest

from medzoo.runtime.errors import UserError
from medzoo.runtime.listing import KINDS, lines
from tests.conftest import EXPERIMENTS, ROOT


def test_every_experiment_has_a_line_that_says_what_it_needs():
    listed = dict(line.split(maxsplit=1) for line in lines("experiments"))
    assert [*listed] == [f"experiment={name}" for name in EXPERIMENTS]
    assert not [name for name, what in listed.items() if not what.startswith("[")]


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_says_what_it_is(kind):
    for line in lines(kind):
        name, what = line.split(maxsplit=1)
        assert len(what) > 15, name


def test_a_line_fits_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert all(len(line) <= 120 for line in lines("data"))


def test_what_cannot_be_listed_is_told():
    with pytest.raises(UserError, match=r"write medzoo list experiments\|models\|data\|metrics"):
        [*lines("modles")]


def test_the_list_waits_for_no_pytorch():
    code = "import sys; from medzoo.runtime import command; sys.argv[1:] = ['list', 'models']; command.main()"
    code += "; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
