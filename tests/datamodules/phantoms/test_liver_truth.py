"""What could be known of phantoms at most, from the files alone, is what the generating model says."""

import csv

import numpy as np

from medzoo.datamodules.phantoms.liver import LiverPhantom
from medzoo.datamodules.phantoms.liver.causal import MODALITIES


def test_log_odds_of_everything_are_those_that_were_written(tmp_path):
    LiverPhantom(patients=12, size=(8, 8, 8), tiles=1, tile_size=16).write(tmp_path / "cohort")
    with (tmp_path / "cohort" / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {float(row["viral"]) for row in rows} == {0, 1}
    ids = [row["id"] for row in rows][::-1]
    known = {row["id"]: float(row["log_odds"]) for row in rows}
    present = np.ones((12, 5), bool)
    odds = LiverPhantom.log_odds(tmp_path / "cohort", ids, present, MODALITIES)
    np.testing.assert_allclose(odds, [known[name] for name in ids], atol=1e-3)
    present[::2, 0] = False
    fewer = LiverPhantom.log_odds(tmp_path / "cohort", ids, present, MODALITIES)
    assert (fewer[1::2] == odds[1::2]).all()
    assert (np.abs(fewer - odds)[::2] > 1e-3).any()
