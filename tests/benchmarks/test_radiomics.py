import os
import sys

import numpy as np
import pytest

from benchmarks.data import loading, radiomics


def test_without_pyradiomics_it_says_in_one_line_how_to_get_it(monkeypatch):
    monkeypatch.setenv(radiomics.PEER, sys.executable)
    with pytest.raises(SystemExit) as stop:
        radiomics.run()
    said = str(stop.value)
    assert "--no-build-isolation pyradiomics==3.0.1" in said
    assert f"set {radiomics.PEER}" in said
    assert "\n" not in said


def test_features_that_differ_are_no_benchmark():
    peer = {"names": np.array(["b", "a"]), "features": np.array([[2.0, 1.0]])}
    assert radiomics._largest_difference(np.array([[1.0, 2.0]]), ["a", "b"], np.zeros(1, int), peer) == 0
    assert radiomics._largest_difference(np.array([[1.0, np.nan]]), ["a", "b"], np.ones(1, int), peer) == 0
    for features in ([[1.0, 2.1]], [[1.0, np.nan]]):
        with pytest.raises(AssertionError, match="different features"):
            radiomics._largest_difference(np.array(features), ["a", "b"], np.zeros(1, int), peer)


def test_both_sides_agree_on_a_few_images(monkeypatch):
    if radiomics.PEER not in os.environ:
        pytest.skip(f"no pyradiomics: name the interpreter of an environment that has it with {radiomics.PEER}")
    monkeypatch.setattr(loading, "_real_roots", list)
    rows = radiomics.run(images=12)
    assert len(rows) == len(radiomics.CASES)
    assert all("12 images" in row.case for row in rows)
