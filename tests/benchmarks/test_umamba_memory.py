"""U-Mamba's memory on paper, on a narrow network."""

import pytest

from benchmarks.networks import umamba_memory
from benchmarks.networks.memory import chunked
from medzoo.models.state_space.selective_scan import _STATES, _Chunked


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setitem(_STATES, "cpu", 2**12)  # few chunks, since each is a turn in Python
    monkeypatch.setattr(umamba_memory, "FEATURES", (4, 4, 8, 8, 8, 8, 8))
    for name in ("forward", "backward"):
        monkeypatch.setattr(_Chunked, name, staticmethod(getattr(_Chunked, name)))  # put back afterwards


def test_tokens_are_what_the_network_makes():
    assert umamba_memory.tokens((16, 320, 320))[0] == (16, 320, 320)
    assert umamba_memory.tokens((16, 320, 320))[-1] == (4, 5, 5)
    assert umamba_memory.tokens((7, 33, 20))[-2:] == [(2, 2, 1), (2, 1, 1)]


@pytest.mark.parametrize("mamba", ["none", "enc"])
def test_a_step_that_is_only_counted_takes_what_one_that_runs_takes(narrow, mamba):
    counted, real = (umamba_memory.allocated(mamba, (8, 16, 16), 1, fake=fake, device="cpu") for fake in (True, False))
    assert counted == pytest.approx(real)
    assert counted["weights"] < counted["forward"] < counted["peak"]


def test_the_scans_are_part_of_what_mamba_keeps(narrow):
    with_mamba, without = (umamba_memory._measure(mamba, patch=(8, 16, 16)) for mamba in ("enc", "none"))
    kept = sum(part.kept for part in umamba_memory._scans((8, 16, 16), 1, chunked, device="cpu"))
    assert 0 < kept < with_mamba["forward"] - without["forward"]
    assert 0 < with_mamba["scans"] < with_mamba["layers"] < with_mamba["seconds"]
    assert without["scans"] == without["layers"] == 0


def test_rows_say_what_is_an_estimate(monkeypatch):
    small = {
        "seconds": 3.0,
        "scans": 1.0,
        "layers": 2.0,
        "mb": 900.0,
        "weights": 200.0,
        "forward": 500.0,
        "peak": 600.0,
    }
    monkeypatch.setattr(umamba_memory, "_measured", lambda mamba: small | {"seconds": 5.0 if mamba == "enc" else 3.0})
    monkeypatch.setattr(umamba_memory, "allocated", lambda mamba, *_, **__: {"peak": 3e4 if mamba == "enc" else 2e4})
    rows = umamba_memory.run()
    assert len(rows) == 7 + 5 + 2
    assert all("estimate" in row.remark for row in [*rows[:7], *rows[-2:]])
    assert all("measured" in rows[number].remark for number in (7, 8, 10, 11))
    assert rows[0].ratio < 0.1
    assert rows[10].ratio == 0.4
    assert rows[11].ratio == 0.5
    assert "with Mamba (24 GB: no, 80 GB: yes), without (24 GB: yes, 80 GB: yes)" in rows[-2].remark
    assert rows[-1].zoo == 200 + 50 * 400
