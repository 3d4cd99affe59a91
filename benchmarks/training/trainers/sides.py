"""One training of either side in a process of its own: Dice of the test, CPU time of training, peak memory."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import ROOT
from benchmarks.training.trainers.data import DATA

__all__ = ["EPOCHS", "nnunet", "zoo"]

EPOCHS = 10
"""Of every training: nnU-Net's schedule changes the rate after each."""
_OURS = {  # nnU-Net's recipe, and that of the demo
    "nnunet": [
        "lightning_module/optimizer=sgd_nnunet",
        "lightning_module/scheduler=poly",
        "lightning_module.scheduler_interval=epoch",
        "lightning_module.optimizer.lr=0.01",
    ],
    "one_cycle": [
        "lightning_module/optimizer=adamw",
        "lightning_module/scheduler=one_cycle",
        "lightning_module.scheduler_interval=step",
        "lightning_module.optimizer.lr=0.002",
    ],
}
_NETS = {  # as narrow as in hematoma_demo
    "nnunet": ["lightning_module/net=nnunet"],
    "umamba": ["lightning_module/net=umamba"],
    "nnformer": [
        "lightning_module/net=nnformer",
        "lightning_module.net.dim=16",
        "lightning_module.net.patch_size=[1,2,2]",
        "lightning_module.net.heads=[1,2,4,8]",
        "lightning_module.net.windows=[[4,4,4],[4,4,4],[4,4,4],[2,2,2]]",
    ],
    "unetrpp": [
        "lightning_module/net=unetrpp",
        "lightning_module.net.patch_size=[1,2,2]",
        "lightning_module.net.features=[16,32,64,128]",
        "lightning_module.net.projections=[32,32,32,16]",
        "lightning_module.net.depth=1",
    ],
}


def zoo(name: str, raw: Path, run: Path, *, net: str, recipe: str, seed: int, steps: int) -> dict[str, float]:
    """Train a network of the zoo by `train.py`.

    Args:
        name: Of the data.
        raw: Folder of `dataset.json`.
        run: Folder of the run; its `split.json` is what nnU-Net trains and is tested on.
        net: One of `nnunet`, `umamba`, `nnformer`, `unetrpp`.
        recipe: `nnunet` for nnU-Net's optimiser and schedule, or `one_cycle` as in the demo.
        seed: Of the run.
        steps: Of training, a multiple of `EPOCHS`.

    Returns:
        `dice`, `cpu_s`, `memory_gb`.
    """
    data = DATA[name]
    words = ["experiment=hematoma_segmentation", f"datamodule.root={raw}", *data.words, *_NETS[net], *_OURS[recipe]]
    words += [f"datamodule.plan.{key}={_written(value)}" for key, value in data.plan.items()]
    words += [f"datamodule.batches={steps // EPOCHS}", f"trainer.max_epochs={EPOCHS}", f"seed={seed}", "workers=0"]
    words += [f"trainer.check_val_every_n_epoch={EPOCHS}", "trainer.limit_val_batches=2", "trainer.accelerator=cpu"]
    words += ["lightning_module.tta_flips=[]", "logger=csv_only", f"hydra.run.dir={run}"]
    words += [
        "+callbacks.clock._target_=benchmarks.training.trainers.clock.Clock",
        f"+callbacks.clock.file={run}.seconds",
    ]
    used = _process([sys.executable, "train.py", *words], Path(f"{run}.log"))
    dice = json.loads((run / "metrics.json").read_text())["test/dice"]
    return {"dice": dice, "cpu_s": float(Path(f"{run}.seconds").read_text()), "memory_gb": used}


def nnunet(name: str, raw: Path, run: Path, *, split: Mapping[str, Sequence[str]], **how: int) -> dict[str, float]:
    """Train nnU-Net's plain U-Net by nnU-Net's own trainer (`nnunet_process`), on the cases that the zoo trained on.

    Args:
        name: Of the data.
        raw: Folder of `dataset.json`.
        run: Folder for all that it writes.
        split: Names of the cases: `train`, `val` and `test`.
        **how: `seed` and `steps`.

    Returns:
        `dice`, `cpu_s`, `memory_gb`.
    """
    run.mkdir(parents=True)
    data = DATA[name]
    told: dict[str, Any] = {"raw": str(raw), "run": str(run), "plan": dict(data.plan), "split": dict(split)}
    told |= {"configuration": data.configuration, "epochs": EPOCHS, **how}
    (run / "told.json").write_text(json.dumps(told))
    command = [sys.executable, "-m", "benchmarks.training.trainers.nnunet_process", str(run / "told.json")]
    used = _process(command, run / "log.txt")
    found = json.loads((run / "result.json").read_text())
    return {"dice": float(np.mean(found["dice"])), "cpu_s": found["cpu_s"], "memory_gb": used}


def _process(command: Sequence[str], log: Path) -> float:
    """Run to the end on one thread; returns the peak of its resident memory in GB."""
    log.parent.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with log.open("w") as opened:
        child = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **threads, "PYTHONPATH": path}, stdout=opened, stderr=opened
        )
        _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{log}: {log.read_text()[-2000:]}")
    return usage.ru_maxrss / 2**20


def _written(value: object) -> str:
    return json.dumps(value).replace(" ", "")
