"""Every experiment made small: `tests/conf/tiny/<experiment>.yaml` says how, or that of its parent.

`tiny` holds words of the command line that shrink nets and phantoms, `needed` those that the experiment cannot be
composed without. An experiment without a file is run as it is, for two steps. Everything that a config switches on
stays on.

Run as a script, it is one process of several that train all the experiments that it is given.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from tests.conftest import EXPERIMENTS, ROOT, compose

FULL = [name for name in EXPERIMENTS if not name.endswith("_demo")]
TRAINER = {
    "accelerator": "cpu",
    "max_epochs": 2,
    "max_steps": -1,
    "accumulate_grad_batches": 1,
    "limit_train_batches": 2,
    "limit_val_batches": 2,
    "check_val_every_n_epoch": 1,
    "val_check_interval": None,
    "log_every_n_steps": 1,
}


def words(experiment: str, kind: str) -> list[str]:
    """What the file of an experiment says, or that of its parent."""
    file = ROOT / "tests" / "conf" / "tiny" / f"{experiment}.yaml"
    if file.is_file():
        return OmegaConf.to_container(OmegaConf.load(file)).get(kind, [])  # type: ignore[union-attr, return-value]
    defaults = OmegaConf.load(ROOT / "conf" / "experiment" / f"{experiment}.yaml").get("defaults", [])
    parents = [name for name in defaults if name in EXPERIMENTS]
    return words(parents[0], kind) if parents else []


def tiny(experiment: str, run: Path, data: Path, *more: str, **trainer: Any) -> DictConfig:
    """The config of an experiment, made small, on the phantom of its demo: nothing is downloaded in a test."""
    compose(run, f"experiment={experiment}_demo")
    phantom = HydraConfig.get().runtime.choices["datamodule"]
    smaller = [word.replace("{folder}", str(data)) for word in words(experiment, "tiny")]
    stop = "+callbacks.stop._target_=tests.stop.StopAfter"
    given = [f"experiment={experiment}", f"datamodule={phantom}", *smaller, f"datamodule.root={data}", *more]
    config = compose(run, *given, "logger=csv_only", "workers=0", stop)
    with open_dict(config):
        for part in (config, *(config.stages or {}).values()):
            if part is config or "trainer" in (part or {}):
                own = part.get("trainer") or {}
                untrained = {"max_epochs": 0} if own.get("max_epochs") == 0 else {}
                part.trainer = OmegaConf.merge(own, TRAINER, trainer, untrained)
    return config


def main(runs: Path, data: Path, experiments: list[str]) -> None:
    """Train experiments one after the other, as one of several processes."""
    from medzoo.runtime.verbs.train import train  # heavy, and most need only the list of experiments

    devices = int(os.environ["WORLD_SIZE"])  # Lightning takes it away with its first trainer
    for experiment in experiments:
        began = time.monotonic()
        (runs / experiment).mkdir(exist_ok=True)
        train(tiny(experiment, runs / experiment, data, devices=devices))
        if os.environ["LOCAL_RANK"] == "0":
            print(f"{experiment}: {time.monotonic() - began:.1f} s", flush=True)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
