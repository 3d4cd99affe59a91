import csv

import pytest
import torch

import medzoo
from tests.conftest import TINY_VIT, run_verb, train

# No augmentation and no batch statistics, which differ between two halves of a batch and the whole.
PLAIN = [
    "trainer.max_epochs=3",
    "datamodule.augment=null",
    *TINY_VIT,
]


def curve(run, name):
    return [float(row[name]) for row in csv.DictReader((run / "metrics.csv").open()) if row.get(name)]


@pytest.mark.slow
def test_two_processes_learn_as_one_with_twice_the_batch(tmp_path):
    one = train(tmp_path / "one", *PLAIN, "datamodule.batch_size=8")
    halves = ["datamodule.batch_size=4", "trainer.devices=2"]
    two = train(tmp_path / "two", *PLAIN, *halves, "logger=default", verb=run_verb)
    shards = train(tmp_path / "shards", *PLAIN, *halves, "trainer.strategy=fsdp", verb=run_verb)

    for name in ("train/loss", "val/loss", "val/auc"):
        for run in ("two", "shards"):
            assert curve(tmp_path / run, name) == pytest.approx(curve(tmp_path / "one", name), rel=1e-4), (run, name)
    assert shards["test/auc"] == pytest.approx(two["test/auc"], rel=1e-4)
    weights = [medzoo.load(tmp_path / run / "checkpoints" / "best.ckpt").state_dict() for run in ("two", "shards")]
    torch.testing.assert_close(*weights, rtol=1e-3, atol=1e-3)
    assert two["test/auc"] == pytest.approx(one["test/auc"], rel=1e-4)
    with (tmp_path / "two" / "predictions" / "test.csv").open() as opened:
        ids = [row["id"] for row in csv.DictReader(opened)]
    assert ids == [f"test_{index:05d}" for index in range(24)], "every test image once, over both processes"
    assert len(list((tmp_path / "two" / "wandb").glob("offline-run-*"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "one", "shards", "two"], (
        "one folder for both processes"
    )
