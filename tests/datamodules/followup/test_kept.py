"""What is kept of a cohort in the store, and the batches that are made of it."""

# ruff: noqa: F811 (fixtures are found by name)

import pickle
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from medzoo.datamodules.followup.clinical import CLINICAL, read_clinical
from medzoo.datamodules.followup.cohort import read_patient
from medzoo.datamodules.store import StoredArray
from medzoo.datamodules.transforms import BatchAugment
from tests.datamodules.followup.test_followup import (  # noqa: F401 (fixtures are found by name)
    HOSPITALS,
    cohort,
    copied,
    datamodule,
    folder_of,
    save,
    table,
    write_table,
)


def same(one, other):
    return [*one] == [*other] and all(
        torch.equal(one[key], other[key]) if torch.is_tensor(one[key]) else one[key] == other[key] for key in one
    )


@pytest.mark.parametrize(
    "options",
    [
        {"batches": "slices", "augment": BatchAugment(flip=[1])},
        {},
        {"train_on": "all", "whole_slices": True, "flip": False},
    ],
)
def test_batches_of_the_store_are_those_of_arrays_in_memory(cohort, tmp_path, options):
    kept, plain = datamodule(cohort, tmp_path, **options), datamodule(cohort, tmp_path, **options)
    kept.setup()
    rows = read_clinical(cohort / "clinical.csv")
    plain._items = {
        split: [read_patient(one.folder, one.id, rows[one.id], 48) for one in patients]
        for split, patients in kept._items.items()
    }
    assert isinstance(plain._items["train"][0].baseline, np.ndarray)
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        ours, theirs = (getattr(data, name)() for data in (kept, plain))
        for _ in range(2):
            assert all(same(one, other) for one, other in zip(ours, theirs, strict=True))
    assert all(np.array_equal(kept.clinical("test")[key], each, equal_nan=True)
               for key, each in plain.clinical("test").items() if key != "id")  # fmt: skip


@pytest.mark.parametrize("batches", ["slices", "pairs"])
def test_a_cohort_keeps_no_file_open_and_is_not_read_before_its_batches(cohort, tmp_path, batches, monkeypatch):
    data = datamodule(cohort, tmp_path, batches=batches)
    data.setup()
    if batches == "pairs":
        data.cache_latents(lambda image: image[:, :1, ::4, ::4], "a")
    data._items = {split: patients * 100 for split, patients in data._items.items()}
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_files = len([*Path("/proc/self/fd").iterdir()])
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files + 8, before[1]))
    try:
        with monkeypatch.context() as patch:
            patch.setattr(StoredArray, "__getitem__", None)
            loaders = [data.train_dataloader(), data.val_dataloader()]
        for loader in loaders:
            again = pickle.loads(pickle.dumps(loader))  # as a worker process gets it
            chosen = torch.arange(0, len(loader._items), len(loader._items) // 60)
            assert same(loader.batch(chosen, 0, 0), again.batch(chosen, 0, 0))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("batches", ["slices", "pairs"])
def test_a_rehearsal_reads_two_patients_of_each_split(cohort, tmp_path, batches):
    data = datamodule(cohort, tmp_path, batches=batches)
    data.setup("rehearse")
    assert len(data.store.entries()) == 6
    assert {name: len(ids) for name, ids in data.split.items()} == {"train": 2, "val": 2, "test": 2}
    assert {patient.expansion for patient in data._items["train"]} == {0, 1}
    assert len(next(iter(data.train_dataloader()))["id"]) == 4
    whole = datamodule(cohort, tmp_path, batches=batches)
    whole.setup("fit")
    assert len(whole.store.entries()) == 8


def test_a_changed_table_is_read_and_changed_scans_too(copied, tmp_path):
    data = datamodule(copied, tmp_path)
    data.setup()
    rows = table(copied)
    for row in rows:
        row["Age"] = "50"
    write_table(copied, rows)
    save(folder_of(copied) / "baseline", "iph", lambda data, affine: (np.maximum(data, np.roll(data, 1, 0)), affine))
    again = datamodule(copied, tmp_path)
    again.setup()
    assert len(again.store.entries()) == 9, "of one patient the scans are read again"
    assert {patient.clinical[list(CLINICAL).index("Age")] for patient in again._items["train"]} == {0.5}
    assert again._items["train"][0].iph_ml["baseline"] > data._items["train"][0].iph_ml["baseline"]
