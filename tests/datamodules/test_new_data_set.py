"""The reader that docs/explanation.md shows: split, seen again and predicted on like any other."""

import numpy as np
import pytest
from PIL import Image

import medzoo.datamodules.in_memory as in_memory
from medzoo.datamodules.io import read_table
from medzoo.datamodules.readers import read_images
from medzoo.datamodules.seen import SPLITS
from tests.conftest import ROOT


@pytest.fixture
def study(tmp_path):
    """Twelve patients with two views each, and the class of the docs."""
    rng = np.random.default_rng(0)
    rows = ["patient,label,split"]
    (tmp_path / "study").mkdir()
    for number in range(12):
        rows.append(f"P{number},{number % 2},{('train', 'train', 'val', 'val', 'test', 'test')[number % 6]}")
        for view in "ab":
            pixels = rng.integers(0, 255, (40, 36), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "study" / f"P{number}_{view}.png")
    (tmp_path / "study" / "patients.csv").write_text("\n".join(rows))
    names = {"np": np, "read_table": read_table, "read_images": read_images, "SPLITS": SPLITS, **vars(in_memory)}
    page = (ROOT / "docs" / "explanation.md").read_text()
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    return lambda: names["StudyDataModule"](tmp_path / "study", task="binary", class_names=["no", "yes"], batch_size=4)


def test_a_reader_of_twenty_lines_has_all_that_others_have(study, tmp_path):
    data = study()
    data.prepare_data()
    data.setup()
    assert {name: len(ids) for name, ids in data.split.items()} == {"train": 8, "val": 8, "test": 8}
    assert next(iter(data.train_dataloader()))["image"].shape == (4, 1, 32, 32)
    assert [name for batch in data.ordered_dataloader("val") for name in batch["id"]] == data.split["val"]
    same = study()
    same.evaluate_as(data.seen)
    same.setup("test")
    assert same.split["test"] == data.split["test"]
    fresh = study()
    fresh.load_state_dict(data.state_dict())
    fresh.set_predict_input(tmp_path / "study" / "P3_a.png")
    assert [batch["id"] for batch in fresh.predict_dataloader()] == [["P3_a"]]


def test_a_patient_in_two_splits_is_refused(study, tmp_path):
    file = tmp_path / "study" / "patients.csv"
    data = study()
    rule = {"train": ["P0"], "val": ["P1"], "test": ["P0"]}
    with pytest.raises(ValueError, match="patient P0 is in both train and test"):
        data.divide({"P0": [1], "P1": [2]}, lambda: rule, file)
