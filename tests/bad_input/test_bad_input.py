"""Each kind of bad input through each verb that meets it: one line and exit code 2, or the right reading."""

import os
import re
import shutil
import tracemalloc

import numpy as np
import pytest

from tests.bad_input.kinds import KINDS
from tests.bad_input.layouts import LAYOUTS
from tests.bad_input.verbs import call, checkpoint_of, hashes, results

CASES = [
    pytest.param(name, layout, verb, id=f"{name}-{layout}-{verb}")
    for name, kind in KINDS.items()
    for layout in kind.layouts
    for verb in kind.verbs
    if verb in LAYOUTS[layout].verbs
    and (verb != "train" or layout == kind.layouts[0])  # it reads and checks as `prepare` does, and builds a model
    and (verb != "predict" or LAYOUTS[layout].files[kind.target].startswith(LAYOUTS[layout].input))
]
MOST = 200 << 20  # bytes that may be allocated for a few files of a few kB


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """By layout a good data set, a checkpoint of a model of it, and what that predicts on it; made once."""
    known = {}

    def of(name):
        if name not in known:
            layout, folder = LAYOUTS[name], tmp_path_factory.mktemp(name)
            (folder / "data").mkdir()
            layout.write(folder / "data")
            checkpoint = checkpoint_of(layout, folder / "data", folder) if "predict" in layout.verbs else None
            for verb in layout.verbs:
                told = call(verb, layout, folder / "data", folder / verb, checkpoint)
                assert not told.error, f"{name}, {verb}: {told}"
            known[name] = folder / "data", checkpoint, results(folder / "predict")
        return known[name]

    return of


def test_there_are_sixty_kinds_and_each_goes_somewhere():
    assert len(KINDS) >= 60
    assert all(kind.layouts for kind in KINDS.values())
    assert {layout for kind in KINDS.values() for layout in kind.layouts} == {*LAYOUTS}


@pytest.mark.parametrize(("name", "layout_name", "verb"), CASES)
def test_bad_input_is_told_in_one_line_or_read_rightly(name, layout_name, verb, made, tmp_path):
    kind, layout = KINDS[name], LAYOUTS[layout_name]
    good, checkpoint, predicted = made(layout_name)
    if kind.harm.__name__ == "not_allowed" and os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    root = shutil.copytree(good, tmp_path / "data")
    file = root / layout.files[kind.target]
    file = kind.harm(file, root) or file
    before = hashes(tmp_path / "data")

    if kind.bomb:
        tracemalloc.start()  # which takes several times as long
    told = call(verb, layout, root, tmp_path / "work", checkpoint)
    if kind.bomb:
        assert tracemalloc.get_traced_memory()[1] < MOST, "nothing is allocated for what a file cannot hold"
        tracemalloc.stop()

    assert hashes(tmp_path / "data") == before, "nothing that was given is written over"
    if not kind.words:
        assert not told.error
        assert re.search(kind.told, told.log), told.log
        if kind.same and verb == "predict":
            same(results(tmp_path / "work"), predicted)
        return
    assert re.search(kind.words, told.error), told.error
    assert "\n" not in told.error
    assert not kind.named or file.name in told.error, told.error
    left = [path.name for path in (tmp_path / "work").rglob("*") if path.is_file()]
    assert not {"metrics.json", "split.json", "predictions.csv", "out"} & {*left}, "nothing looks as if it was done"
    assert not results(tmp_path / "work") or verb == "predict"


def same(found, expected):
    """That predictions are the same, whatever ending names have."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if isinstance(values, str):
            assert re.sub(r"(?i)\.(nii\.gz|\w{3,4})(?=[,\n])", "", found[name]) == re.sub(
                r"(?i)\.(nii\.gz|\w{3,4})(?=[,\n])", "", values
            )
        else:
            assert np.allclose(found[name], values, atol=1e-4), name
