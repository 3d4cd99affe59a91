"""Training steps of the systems on a GPU: `python -m benchmarks.gpu [experiment ...] [--device cpu] [--precision ...]`.

Each experiment takes ten steps on zeros of the shapes of its training batches (`empty_batch` of its datamodule), after
three that are not timed: items/s, TFLOP/s (operations counted on shapes by `train.py ... estimate=true`), the share of
the card's peak by its data sheet, and the peak of allocated memory beside the estimated one. A card that is not known
is measured by a large matrix product. Nothing is read, so no step waits for data; a run tells its own wait. Without a
GPU nothing is measured.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from omegaconf import OmegaConf

from benchmarks.one_batch import module_and_batch
from medzoo.runtime.build import make_trainer
from medzoo.runtime.composing.compose import compose
from medzoo.runtime.composing.resolvers import register_resolvers
from medzoo.runtime.plan import make_plan
from medzoo.runtime.training.costs.estimate import HERE, Repeated, estimate
from medzoo.runtime.training.peaks import peak_tflops

__all__ = ["main", "measure", "peak_of"]

SYSTEMS = ("hemexp_autoencoder", "hematoma_segmentation", "medmnist_cvae_3d", "hlhs_rvae", "medmnist_classification")
MADE_UP = {"root": "x", "val_hospitals": "[a]", "test_hospitals": "[b]"}
WARM, TIMED = 3, 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure experiments and print a line for each stage.

    Args:
        arguments: Those of the command line by default.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="Time training steps on a GPU.")
    parser.add_argument("experiments", nargs="*", default=SYSTEMS)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to try this program")
    parser.add_argument("--precision", default="bf16-mixed", help="as trainer.precision")
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", help="further settings, such as sizes")
    chosen = parser.parse_args(arguments)
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("no GPU: nothing is measured")
        return
    register_resolvers()
    peak = peak_of(chosen.device, chosen.precision)
    print(f"peak {peak:.3g} TFLOP/s | stage | items/s | TFLOP/s | share of peak | GB | GB estimated")
    for experiment in chosen.experiments:
        words = [f"experiment={experiment}", f"trainer.precision={chosen.precision}", *chosen.set]
        data = compose("train", words).datamodule
        words += [f"datamodule.{key}={value}" for key, value in MADE_UP.items() if OmegaConf.is_missing(data, key)]
        plan = make_plan(compose("train", words))
        estimates = estimate(plan)
        for name, expected in estimates.items():
            found = measure(plan.stages[name], chosen.device)
            speed = expected.flops / expected.batches * found["batches/s"] / 1e12
            numbers = (found["items/s"], speed, speed / peak, found["GB"], expected.peak)
            print(" | ".join([experiment, name, *(f"{number:.3g}" for number in numbers)]), flush=True)


def measure(config: dict[str, Any], device: str) -> dict[str, float]:
    """Take steps of a stage: `items/s`, `batches/s`, and the peak of allocated memory in `GB` (0 on a CPU)."""
    module, batch = module_and_batch(config, device)
    settings = {**config["trainer"], **HERE, "accelerator": "gpu" if device == "cuda" else "cpu", "max_steps": -1}
    clock = _Clock()
    trainer = make_trainer({**settings, "max_epochs": 1}, Path(), callbacks=[clock])
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer.fit(module, Repeated(batch, WARM + TIMED))
    seconds = (clock.times[-1] - clock.times[WARM - 1]) / TIMED
    memory = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    return {"items/s": len(batch["id"]) / seconds, "batches/s": 1 / seconds, "GB": memory}


def peak_of(device: str, precision: str) -> float:
    """TFLOP/s of the card by its data sheet, or of a large matrix product."""
    if device == "cuda" and (known := peak_tflops(torch.cuda.get_device_name(), precision)):
        return known
    size, dtype = (8192, torch.bfloat16) if device == "cuda" else (1024, torch.float32)
    matrix = torch.randn(size, size, device=device, dtype=dtype)
    best = min(_seconds_of_product(matrix) for _ in range(5))
    return 2 * size**3 / best / 1e12


def _seconds_of_product(matrix: torch.Tensor) -> float:
    began = time.perf_counter()
    _ = matrix @ matrix
    if matrix.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


class _Clock(L.Callback):
    """When each step ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *batch: object) -> None:
        """Wait for the device and note the time."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


if __name__ == "__main__":
    main()
