"""Samples 16 follow-ups of a patient as this zoo does it and as the original code does it, with the same network.

The original (github.com/orhunutkuaydin/HemExp, 92bb358) draws one sample at a time. For each it takes slices two at a
time, encodes their three baseline slices again and draws their latents, denoises them with 250 steps of DDIM and noise
of their own, and decodes. Its settings are those of `preset=hemexp_original`. The zoo encodes the baseline once,
denoises all samples and slices together with DPM-Solver++(2M), shares the noise between slices, and adds the decoded
change to the scan.

The peer's time is that of one sample times 16, because its samples run one after another. Its volumes come from the
same 250 steps on all slices at once, which gives the same distribution faster. As in the original, they are measured on
the follow-up as decoded, where the zoo corrects by the baseline, and on a margin of whole slices. CRPS is the mean over
test patients of the phantom cohort. The energy distance is between the two sets of growths in mL of all patients,
divided by the root of their mean spread. Both sides compute in the precision of the run.

The network is that of the newest finished `hemexp_demo` run; without one, it is trained first (minutes). The numbers
say nothing about a full-size network, where only the ratio of passes counts.
"""

import copy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from benchmarks import ROOT
from benchmarks.tables.row import Row, print_rows
from medzoo.callbacks.reports.followup.sampled import sampled_followups
from medzoo.evaluation.scores.followup import compare
from medzoo.evaluation.scores.forecasts import coverage, crps, energy_distance
from medzoo.lightning_modules import LatentDiffusionModule
from medzoo.runtime.build import instantiate
from medzoo.runtime.checkpoints import checkpoint

__all__ = ["as_original", "original_sample", "run"]

PATIENTS, SAMPLES, TIMED = 12, 16, 2
PRESET: Any = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "preset" / "hemexp_original.yaml"))
ORIGINAL = PRESET["stages"]["diffusion"]


def run() -> list[Row]:
    """Sample the first test patients both ways."""
    path = _checkpoint()
    module: LatentDiffusionModule = checkpoint.load(path)
    batches = _patients(module.config["datamodule"])
    module.set_prediction(samples=SAMPLES)
    peer, their_batches = as_original(module), _patients(module.config["datamodule"] | ORIGINAL["datamodule"])
    ours, seconds = _forecasts(module, batches)
    theirs, _ = _forecasts(peer, their_batches)
    slow = [SAMPLES * _seconds(peer, batch) for batch in their_batches[:TIMED]]
    fast = float(np.mean(seconds[:TIMED]))
    scores = [np.mean([row["crps"] for row in rows]) for rows in (ours, theirs)]
    spread = [np.concatenate([row["growth"] for row in rows]) for rows in (ours, theirs)]
    distance = energy_distance(*spread) / np.sqrt(np.mean([np.std(x) for x in spread]))
    inside = [np.mean([row["inside"] for row in rows]) for rows in (ours, theirs)]
    agree = [np.nanmean([row["slice_dice"] for row in rows]) for rows in (ours, theirs)]
    real = np.nanmean([row["real_slice_dice"] for row in ours])
    who = f"{len(batches)} patients, {SAMPLES} samples"
    return [
        Row("time", "s/patient", fast, float(np.mean(slow)), 0.1, False, f"peer: one sample of {TIMED} patients, x 16"),
        Row("CRPS", "mL", float(scores[0]), float(scores[1]), 1.02, False, f"{who}; energy distance {distance:.3f}"),
        Row("90% interval coverage", "share", float(inside[0]), float(inside[1]), None, True, who),
        Row("Dice of neighbouring slices", "Dice", float(agree[0]), float(agree[1]), None, True, f"real {real:.3f}"),
    ]


def as_original(module: LatentDiffusionModule) -> LatentDiffusionModule:
    """A copy with the same weights that samples as `preset=hemexp_original` does."""
    peer, settings = copy.deepcopy(module), ORIGINAL["lightning_module"]
    peer.sampler = instantiate(settings["sampler"], "sampler")
    peer.noise_length_mm = settings["noise_length_mm"]
    for name in ("sample_latents", "correct_baseline"):
        setattr(peer.diffusion, name, settings["diffusion"][name])
    return peer


def original_sample(module: LatentDiffusionModule, batch: dict[str, Any]) -> torch.Tensor:
    """One follow-up as the original samples it: (S, 3, H, W), slices two at a time, each pair encoded again."""
    diffusion, parts = module.diffusion, []
    clinical, flag = batch["clinical"], torch.ones(1, dtype=torch.long)
    for pair in batch["context"].split(2):
        around = diffusion.encode(batch["image"][pair].flatten(0, 1)).unflatten(0, (-1, 3))
        context, count = around.flatten(1, 2), len(pair)
        change = module.sampler(
            lambda x, t, context=context, n=count: diffusion.net(x, t, context, clinical.expand(n, -1), flag.expand(n)),
            torch.randn_like(around[:, 1]),
            diffusion.schedule,
        )
        parts.append(diffusion.decode(around[:, 1] + change))
    return torch.cat(parts)


def _patients(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The first test patients."""
    datamodule = instantiate(config, "datamodule")
    datamodule.prepare_data()
    datamodule.setup("test")
    return [batch for _, batch in zip(range(PATIENTS), datamodule.test_dataloader(), strict=False)]


def _forecasts(
    module: LatentDiffusionModule, batches: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[float]]:
    """Scores and seconds for each patient."""
    rows, seconds = [], []
    for batch in batches:
        start = time.perf_counter()
        with torch.no_grad(), _precision(module):
            outputs = module.predict_step(batch, 0)
        seconds.append(time.perf_counter() - start)
        sampled, followup = sampled_followups(batch, outputs), batch["followup"].numpy()
        truth = np.array([(followup[:, 1] > 0.5).sum() * np.prod(sampled.spacing) / 1000])
        volumes, weights = sampled.volumes_ml()[None], sampled.weights[None]
        row = {
            "crps": float(crps(volumes, truth, weights)[0]),
            "inside": coverage(volumes, truth, 0.9, weights),
            "growth": volumes[0] - sampled.baseline_ml(),
        }
        rows.append(row | compare(sampled, followup))
    return rows, seconds


def _seconds(module: LatentDiffusionModule, batch: dict[str, Any]) -> float:
    start = time.perf_counter()
    with torch.no_grad(), _precision(module):
        original_sample(module, batch)
    return time.perf_counter() - start


def _precision(module: LatentDiffusionModule) -> torch.autocast:
    """The precision in which the module was trained and tested."""
    mixed = module.config["trainer"]["precision"] == "bf16-mixed"
    return torch.autocast("cpu", torch.bfloat16, enabled=mixed)


def _checkpoint() -> Path:
    """The diffusion checkpoint of the newest finished demo run; if there is none, the demo is run."""
    runs = ROOT / "outputs" / "hemexp_demo"
    if not any(runs.glob("*/metrics.json")):
        subprocess.run([sys.executable, "train.py", "experiment=hemexp_demo"], cwd=ROOT, check=True)
    newest = max(runs.glob("*/metrics.json"), key=lambda file: file.stat().st_mtime).parent
    return newest / "diffusion" / "checkpoints" / "best.ckpt"


if __name__ == "__main__":
    print_rows("hemexp_sampling", run())
