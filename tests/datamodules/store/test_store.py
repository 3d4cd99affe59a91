import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from medzoo.datamodules.store import Store, entry
from medzoo.datamodules.store import store as store_module
from tests.conftest import ROOT
from tests.datamodules.store.makers import calls, jobs


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02d}").write_bytes(bytes([number]) * 5)
    return folder


def filling(store: Path, folder: Path, workers: int = 0) -> subprocess.Popen:
    """Another process that fills the store, 50 ms an entry."""
    command = [sys.executable, "-m", "tests.datamodules.store.makers", str(store), str(folder), str(workers)]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_entries_are_made_once_and_read_in_parts(tmp_path, folder, workers):
    for _ in range(2):  # the second time by another object, as by another run
        store = Store(tmp_path / "store", workers=workers)
        entries = store.fill(jobs(store, folder), "files")
    assert calls(folder) == [f"{number:02d}" for number in range(12)]
    expected = np.arange(20 * 30 * 40, dtype=np.uint16).reshape(1, 20, 30, 40)
    for number, each in enumerate(entries):
        assert each.facts == {"size": 5}
        assert np.asarray(each["bytes"]).tolist() == [number] * 5
        assert each["volume"].file.suffix == ".b2nd"
        assert each["volume"].shape == expected.shape
        part = (slice(None), slice(3, 19), slice(5, 6), slice(7, 40))
        assert np.array_equal(each["volume"][part], expected[part] + number)
        assert np.array_equal(np.asarray(each["volume"]), expected + number)


def test_content_settings_and_code_name_an_entry_and_places_do_not(tmp_path, folder, monkeypatch):
    store = Store(tmp_path / "store")
    first = [job.key for job in jobs(store, folder)]
    assert len(set(first)) == 12
    folder.rename(folder.with_name("moved"))
    moved = folder.with_name("moved")
    assert [job.key for job in jobs(store, moved)] == first
    assert not set(first) & {job.key for job in jobs(store, moved, seconds=0.001)}
    stat = (moved / "03").stat()
    (moved / "03").write_bytes(b"other")  # as long as before, and with the time of before
    os.utime(moved / "03", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    changed = [old == job.key for old, job in zip(first, jobs(store, moved), strict=True)]
    assert changed.count(False) == 1
    assert not changed[3]
    monkeypatch.setattr(store_module, "code_of", lambda _: "other code")
    assert not set(first) & {job.key for job in jobs(store, moved)}


def test_code_of_what_a_module_imports_counts():
    import medzoo.datamodules.segmentation.cases  # noqa: F401 (its modules are looked up by name)

    name = "medzoo.datamodules.segmentation.cases.case"
    before = store_module.code_of.__wrapped__(name)
    file = Path(sys.modules["medzoo.datamodules.skull"].__file__)
    text = file.read_bytes()
    read = Path.read_bytes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: text + b"#" if path == file else read(path))
        assert store_module.code_of.__wrapped__(name) != before
    assert store_module.code_of.__wrapped__(name) == before


def test_a_killed_run_is_continued(tmp_path, folder):
    for workers in (0, 2):
        process = filling(tmp_path / "store", folder, workers)
        before = len(calls(folder))
        until = time.monotonic() + 200
        while len(calls(folder)) < before + 3 and time.monotonic() < until:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    noted = len(calls(folder))
    assert 6 <= noted < 12, "killed in the middle, twice"
    store = Store(tmp_path / "store")
    entries = store.fill(jobs(store, folder, seconds=0.05), "files")
    assert [np.asarray(each["bytes"])[0] for each in entries] == [*range(12)]
    assert len(calls(folder)) <= 12 + 3, "only what was cut off is made again"


def killed(file, _):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_told(tmp_path, folder):
    store = Store(tmp_path / "store", workers=2)
    made = [store.job(file.name, killed, file, [file], None) for file in sorted(folder.iterdir())]
    with pytest.raises(
        OSError, match=r"a process that prepares data in .* was killed; if memory ran out, .* workers=1"
    ):
        store.fill(made, "files")


def test_two_runs_share_the_work(tmp_path, folder):
    processes = [filling(tmp_path / "store", folder) for _ in range(2)]
    assert [process.wait(timeout=200) for process in processes] == [0, 0]
    assert calls(folder) == [f"{number:02d}" for number in range(12)], "none twice"
    assert len(Store(tmp_path / "store").entries()) == 12


def test_what_was_logged_is_told_again(tmp_path, folder, caplog):
    (folder / "05").write_bytes(b"odd one")
    for _ in range(2):
        store = Store(tmp_path / "store")
        caplog.clear()
        store.fill(jobs(store, folder), "files")
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == ["05 is odd"]
    assert calls(folder).count("05") == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_inputs_are_told_together_and_the_rest_is_kept(tmp_path, folder, workers):
    for name in ("03", "07"):
        (folder / name).write_bytes(f"bad {name}".encode())
    store = Store(tmp_path / "store", workers=workers)
    with pytest.raises(ValueError, match="03: damaged; 2 of 12 are like this: 03, 07"):
        store.fill(jobs(store, folder), "files")
    assert len(store.entries()) == 10


def test_a_full_disk_is_told_and_leaves_nothing_half_written(tmp_path, folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    store = Store(tmp_path / "store")
    monkeypatch.setattr(entry, "write_blocks", full)
    with pytest.raises(OSError, match=r"store: could not keep 0\d|1\d \(No space left on device\); free some space by"):
        store.fill(jobs(store, folder), "files")
    assert not store.entries()
    assert not [*(tmp_path / "store").glob(".*.partial")]


def test_a_cohort_keeps_no_file_open(tmp_path, folder):
    store = Store(tmp_path / "store")
    entries = store.fill(jobs(store, folder), "files") * 20
    open_files = len([*Path("/proc/self/fd").iterdir()])
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files + 8, before[1]))
    try:
        read = [(each["volume"][:, :1], each["bytes"][:]) for each in entries]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(read) == 240


def test_the_least_recently_used_entries_are_dropped_first(tmp_path, folder):
    store = Store(tmp_path / "store")
    all_jobs = jobs(store, folder)
    store.fill(all_jobs, "files")
    for number, job in enumerate(all_jobs):
        os.utime(store.folder / job.key, (1000 + number, 1000 + number))
    store.fill(all_jobs[:2], "files")  # the oldest are used again
    newest = sum(size for _, size, _ in store.entries()[6:])
    assert store.shrink(newest) == 6
    left = {folder.name for folder, *_ in store.entries()}
    assert left == {job.key for job in (*all_jobs[:2], *all_jobs[8:])}
    assert store.shrink(0) == 6
    assert not store.entries()
