"""Every experiment, made small, on a GPU: half precision, compiled, repeated, and on two devices."""

import json
import math

import pytest
import torch

from tests.gpu.conftest import ON
from tests.tiny import FULL, tiny

NEAR = {"bf16-mixed": 0.1, "16-mixed": 0.05}  # relative, of the loss after two steps
ACCELERATOR = "gpu" if ON == "cuda" else ON
TRAINED = [name for name in FULL if name != "nomogram"]


def trained(experiment, run, phantoms, *more, **trainer):
    """Metrics of all stages by name, after two steps of each."""
    from medzoo.runtime.verbs.train import train

    settings = {"accelerator": ACCELERATOR, "max_epochs": 1, **trainer}
    train(tiny(experiment, run, phantoms, *more, **settings))
    return {str(file.relative_to(run)): json.loads(file.read_text()) for file in run.rglob("metrics.json")}


def losses(metrics):
    found = {(file, name): each[name] for file, each in metrics.items() for name in each if name.endswith("train/loss")}
    assert found
    return found


@pytest.fixture(scope="module")
def in_float32(phantoms, tmp_path_factory):
    """Losses of an experiment in float32, computed once."""
    known = {}

    def of(experiment):
        if experiment not in known:
            known[experiment] = losses(trained(experiment, tmp_path_factory.mktemp(experiment), phantoms))
        return known[experiment]

    return of


@pytest.mark.parametrize("precision", NEAR)
@pytest.mark.parametrize("experiment", TRAINED)
def test_half_precision_trains_like_float32(experiment, precision, in_float32, phantoms, tmp_path):
    if precision == "16-mixed" and ON != "cuda":
        pytest.skip("float16 needs a GPU")
    half = losses(trained(experiment, tmp_path, phantoms, precision=precision))
    for key, loss in in_float32(experiment).items():
        assert math.isfinite(half[key]), key
        assert half[key] == pytest.approx(loss, rel=NEAR[precision], abs=0.02), key


@pytest.mark.cuda_only
@pytest.mark.parametrize("experiment", ["medmnist_classification", "hlhs_rvae"])
def test_a_compiled_network_trains_like_an_eager_one(experiment, in_float32, phantoms, tmp_path):
    compiled = losses(trained(experiment, tmp_path, phantoms, "lightning_module.compile=true"))
    assert compiled == pytest.approx(in_float32(experiment), rel=1e-3)


@pytest.mark.parametrize("experiment", ["medmnist_classification", "medmnist_contrastive"])
def test_a_deterministic_run_repeats_to_the_bit(experiment, phantoms, tmp_path, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats only with it
    weights = []
    for number in "12":
        (tmp_path / number).mkdir()
        trained(experiment, tmp_path / number, phantoms, deterministic=True)
        weights.append(torch.load(tmp_path / number / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"])
    torch.use_deterministic_algorithms(False)  # Lightning leaves it on
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


@pytest.mark.cuda_only
def test_two_devices_train_by_nccl(tmp_path):
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU")
    from tests.conftest import run_verb, train

    metrics = train(tmp_path / "run", "trainer.accelerator=gpu", "trainer.devices=2", verb=run_verb)
    assert math.isfinite(metrics["train/loss"])
