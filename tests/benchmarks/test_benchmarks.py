import importlib.util
import sys

import pytest
import torch

import benchmarks
from benchmarks import run
from benchmarks.data import loading, patches, reading
from benchmarks.data.patches import queue
from benchmarks.networks import hemexp_sampling, light_deployment, selective_scan
from benchmarks.run import discover, main
from benchmarks.tables.page import read_sections
from benchmarks.tables.row import HEADER, Row
from benchmarks.training import lightning_overhead
from tests.lightning_modules.diffusion.test_latent import module, patient

FAST = Row("a case", "s/epoch", zoo=1.0, peer=2.0, goal=0.6, higher_is_better=False)
SLOW = Row("a case", "batches/s", zoo=30.0, peer=2.0, goal=20.0)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Two benchmarks that cost nothing, and a module that is none, in a folder of their own."""
    source = (
        '"""What {0} does."""\n'
        "from benchmarks.tables.row import Row\n"
        'def run():\n    return [Row("{0}", "s", 1.0, 2.0)]\n'
    )
    for name in ("fake_one", "fake_two"):
        (tmp_path / f"{name}.py").write_text(source.format(name))
    (tmp_path / "fake_part.py").write_text('"""A part of both."""\n')
    monkeypatch.setattr(benchmarks, "__path__", [str(tmp_path)])
    monkeypatch.setattr(run, "ROOMS", ("benchmarks",))
    yield
    for name in [name for name in sys.modules if name.startswith("benchmarks.fake_")]:
        del sys.modules[name]


def test_discovery_finds_every_module_with_a_run():
    found = discover()
    assert {"hemexp_sampling", "loading", "lightning_overhead", "umamba_memory"} <= set(found)
    assert not {"row", "page", "run", "memory"} & set(found)
    assert all(module.__doc__ for module in found.values())


def test_a_new_file_is_a_new_benchmark(fake):
    assert list(discover()) == ["fake_one", "fake_two"]


def test_ratio_and_goal_follow_the_direction():
    assert (FAST.ratio, FAST.met) == (0.5, True)
    assert (SLOW.ratio, SLOW.met) == (15.0, False)
    assert Row("", "s", 1.0, 2.0).met is None
    assert len(SLOW.cells) == len(HEADER)


def test_the_page_says_what_was_compared_where_and_how_to_repeat_it(fake, tmp_path, capsys):
    page = tmp_path / "docs" / "benchmarks.md"
    main(["--output", str(page)])
    text = page.read_text()
    for part in ("What fake_one does.", "python -m benchmarks.run fake_two", "torch 2", "logical cores", "| 0.5 |"):
        assert part in text
    assert "fake_one" in capsys.readouterr().out


def test_a_missing_peer_costs_its_rows_alone(monkeypatch):
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, found=importlib.util.find_spec: None if name == "mambapy" else found(name),
    )
    monkeypatch.setattr(selective_scan, "_measured", lambda method, length: {"seconds": 1.0, "mb": 2.0})
    rows = selective_scan.run()
    told = [row for row in rows if "mambapy" in row.case]
    assert {row.remark for row in told} == {"peer not installed: pip install -e '.[benchmarks]'"}
    assert all(row.ratio is None and row.met is None and row.cells[3:5] == ("", "") for row in told)
    assert any(row.ratio == 1 for row in rows if "loop" in row.case)


def test_a_benchmark_without_its_peer_is_left_out_and_the_others_run(fake, tmp_path, monkeypatch, capsys):
    def gone():
        raise ModuleNotFoundError("no package peer: pip install peer")

    monkeypatch.setattr(discover()["fake_one"], "run", gone)
    page = tmp_path / "page" / "benchmarks.md"
    main(["--output", str(page)])
    assert "Not run: no package peer: pip install peer." in read_sections(page)["fake_one"]
    assert "| 0.5 |" in read_sections(page)["fake_two"]
    assert "fake_one: left out" in capsys.readouterr().out


def test_a_named_benchmark_leaves_the_other_sections(fake, tmp_path):
    page = tmp_path / "benchmarks.md"
    page.write_text("# Benchmarks\n\n## fake_one\n\nof before\n\n## gone\n\nwhose file was deleted\n")
    main(["fake_two", "--output", str(page)])
    sections = read_sections(page)
    assert sections["fake_one"] == "of before"
    assert "What fake_two does." in sections["fake_two"]
    assert "gone" not in sections


def test_an_unknown_name_is_told(fake, capsys):
    with pytest.raises(SystemExit):
        main(["fake_three"])
    assert "no benchmark 'fake_three'; choose from fake_one, fake_two" in capsys.readouterr().err


def test_all_readers_read_the_same():
    rows = reading.run(size=(4, 32, 32), rows=20, rounds=1)
    assert {row.case.partition(",")[0] for row in rows} == {
        "nii.gz",
        "nii",
        "nrrd",
        "mha",
        "npy",
        "dicom",
        "png",
        "csv",
    }


def test_loading_on_phantoms(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "_real_roots", list)
    rows = loading.run(names=["breastmnist"], workers=[0, 1], epochs=1, with_patches=False)
    assert ["phantoms" in row.case for row in rows] == [True, True]
    assert all(row.ratio > 0 for row in rows)


def test_loading_on_real_volumes(medmnist_root, monkeypatch):
    monkeypatch.setenv("MEDZOO_REAL_DATA", str(medmnist_root.parent))
    (row,) = loading.run(names=["adrenalmnist3d"], workers=[0], epochs=1, with_patches=False)
    assert "real files" in row.case


def test_patches_are_timed_and_the_queue_is_simulated(tmp_path):
    measured = patches.rows(tmp_path, edge=64, count=3)
    assert all(row.zoo >= 0 < row.peer for row in measured)
    shares = [row.zoo for row in measured if row.unit == "share"]
    assert shares == sorted(shares, reverse=True)


def test_the_simulated_queue_is_what_a_pencil_gives():
    share = queue.share_of_waiting
    assert share(1, [3.0], 1.0) == pytest.approx(2 / 3, abs=1e-3), "of three seconds the step needs one"
    assert share(2, [3.0], 1.0) == pytest.approx(1 / 3, abs=1e-3), "two batches come in three seconds"
    assert share(4, [3.0], 1.0) == pytest.approx(0, abs=2e-3), "but for the first batch"


def test_loading_refuses_to_time_different_images_or_labels():
    image, label = torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 1, 0])
    batch, order = {"image": image, "label": label}, [2, 0, 3, 1]
    loading._check_equal([batch], [[image[order], label[order, None]]])
    with pytest.raises(AssertionError, match="different images or labels"):
        loading._check_equal([batch], [[image[order] + 0.01, label[order, None]]])
    with pytest.raises(AssertionError, match="different images or labels"):
        loading._check_equal([batch], [[image[order], label[:, None]]])


def test_lightning_overhead_ends_at_equal_weights():
    rows = lightning_overhead.run(network="test_efficientnet", batches=2, batch_size=4, image_size=12, epochs=1)
    assert [row.goal for row in rows] == [1.05, None, None]
    assert all("equal weights after 3 epochs" in row.remark for row in rows)


def test_lightning_overhead_refuses_to_time_different_work(monkeypatch):
    monkeypatch.setattr(lightning_overhead._Bare, "epoch", lambda self, trainer: 1.0)
    with pytest.raises(AssertionError, match="not the same work"):
        lightning_overhead.run(network="test_efficientnet", batches=1, batch_size=4, image_size=12, epochs=1)


def test_a_light_network_has_fewer_weights_and_operations():
    weights, operations, latency, *_ = light_deployment.run(sizes=[28], repeats=2)
    assert weights.zoo == pytest.approx(3.9, abs=0.1)
    assert weights.peer == pytest.approx(23.5, abs=0.1)
    assert operations.ratio < 0.05
    assert latency.zoo > 0


@torch.no_grad()
def test_the_original_way_of_sampling_goes_through_every_slice():
    model, batch = module(), patient()
    assert hemexp_sampling.original_sample(model, batch).isfinite().all()
    model.sampler = lambda denoise, x, schedule: torch.zeros_like(x)
    still = hemexp_sampling.original_sample(model, batch)
    latents = model.diffusion.encode(batch["image"][batch["slices"]])
    assert torch.allclose(still, model.diffusion.decode(latents), atol=1e-5)


def test_the_original_samples_as_its_preset_says():
    model = module()
    peer = hemexp_sampling.as_original(model)
    assert (peer.sampler.steps, peer.sampler.spacing, peer.noise_length_mm) == (250, "trailing", 0.0)
    assert peer.diffusion.sample_latents
    assert not peer.diffusion.correct_baseline
    assert not model.diffusion.sample_latents, "a copy"
