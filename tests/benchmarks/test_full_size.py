import numpy as np
import pytest

from benchmarks.data import cohorts, preprocessing
from benchmarks.data.full_size import steps
from benchmarks.data.full_size.links import LinkedStore
from benchmarks.training import step_overhead
from medzoo.datamodules.store import Made


def make(file, _):
    return Made({"number": np.array([int(file.read_text())])})


def test_linked_cases_have_entries_of_their_own(tmp_path):
    files = [tmp_path / f"{number}" for number in range(4)]
    for number, file in enumerate(files):
        file.write_text(str(number % 2))
    store = LinkedStore(tmp_path / "store", workers=0, made=2)

    entries = store.fill([store.job(file.name, make, file, [file], None) for file in files], "files")

    assert len({store.job(file.name, make, file, [file], None).key for file in files}) == 4
    assert [int(np.asarray(entry["number"])[0]) for entry in entries] == [0, 1, 0, 1]
    assert len(store.entries()) == 4
    assert store.links == 2


@pytest.mark.slow
def test_a_small_cohort_is_measured():
    rows = cohorts.run(names=["pathology"], cases=700, made=8, processes=1)
    assert [row.unit for row in rows] == ["GB", "s", "s", "cases/s"]
    assert all(row.zoo > 0 for row in rows)


def test_a_run_that_ends_early_is_told(tmp_path):
    with pytest.raises(RuntimeError, match="ended before step 3"):
        steps.watch(["experiment=none"], tmp_path / "run", steps=3)


def test_a_case_is_prepared_and_measured():
    rows = preprocessing.run(cases=1)
    assert all(row.zoo > 0 for row in rows)
    assert all(row.peer or "pip install" in row.remark for row in rows)


@pytest.mark.parametrize("experiment", ["hlhs_rvae_demo", "medmnist_cvae_demo"])
def test_a_bare_loop_learns_what_lightning_learns(experiment):
    rows = step_overhead.run(experiments=[experiment], steps=2, epochs=1)
    assert rows
    assert all(row.zoo > 0 and row.peer > 0 for row in rows)
