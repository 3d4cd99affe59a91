"""What could be known of phantoms at most, from the files alone, is what the generating model says."""

import csv
import json

import numpy as np
import pytest

from medzoo.datamodules.phantoms.liver import LiverPhantom
from medzoo.datamodules.phantoms.liver.causal import MODALITIES


def test_log_odds_of_everything_are_those_that_were_written(tmp_path):
    for strength in (1.0, 2.0):
        phantom = LiverPhantom(patients=12, size=(8, 8, 8), tiles=1, tile_size=16, interaction=strength)
        root = tmp_path / phantom.name
        phantom.write(root)
        with (root / "truth.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {float(row["viral"]) for row in rows} == {0, 1}
        ids = [row["id"] for row in rows][::-1]
        known = {row["id"]: float(row["log_odds"]) for row in rows}
        present = np.ones((12, 5), bool)
        odds = phantom.log_odds(root, ids, present, MODALITIES)
        np.testing.assert_allclose(odds, [known[name] for name in ids], atol=1e-3)
        present[::2, 0] = False
        fewer = phantom.log_odds(root, ids, present, MODALITIES)
        assert (fewer[1::2] == odds[1::2]).all()
        assert (np.abs(fewer - odds)[::2] > 1e-3).any()


def test_a_cohort_of_the_usual_strength_is_named_and_recorded_as_before_the_strength_could_be_chosen(tmp_path):
    sizes = {"patients": 2, "size": (8, 8, 8), "tiles": 1, "tile_size": 16}
    assert "interaction" not in LiverPhantom(**sizes).name
    assert LiverPhantom(**sizes, interaction=2.0).name != LiverPhantom(**sizes).name
    LiverPhantom(**sizes).write(tmp_path / "cohort")
    assert "interaction" not in json.loads((tmp_path / "cohort" / "phantom.json").read_text())
    with pytest.raises(FileExistsError, match="something else"):
        LiverPhantom(**sizes, interaction=2.0).write(tmp_path / "cohort")
    with pytest.raises(ValueError, match=r"phantom\.interaction=4"):
        LiverPhantom(**sizes, interaction=4)
