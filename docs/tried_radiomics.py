"""Tables of docs/models/cvae.md: what was tried to make deep radiomics (DLR) earn their place, and the penalty's cost.

    python -m docs.tried_radiomics <set> <folder> [<setting> ...]

`<set>` is one of `SETS`. Each attempt is trained with three seeds as the stage `penalty` of its experiment, without the
files of a run. A line of `<folder>/<set>.csv` is added for each, and those that are there are not trained again. The
encoder is chosen by validation AUC; the table tells test AUCs beside.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import lightning as L
import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA

from medzoo.evaluation.measures.redundancy import redundancy
from medzoo.evaluation.scores.representations import auc_of, fit_probe
from medzoo.runtime.build import instantiate, make_datamodule
from medzoo.runtime.composing.compose import compose
from medzoo.runtime.composing.resolvers import register_resolvers
from medzoo.runtime.composing.stages import resolve_stages

SEEDS = (1, 2, 3)
NET, NO_PENALTY = "lightning_module.net", "stages.penalty.lightning_module.mi_weight=0"
CHANGES = {
    "": [],
    "128 latent dimensions": [f"{NET}.latent_features=128"],
    "batch norm": [f"{NET}.norm=batch"],
    "supervised head, weight 100": ["lightning_module.supervision=100"],
    "sigma 0.03": ["lightning_module.sigma=0.03"],
    "augmented": ["datamodule/augment=batch"],
    "twice as wide": [f"{NET}.channels=[32,64,128,256]"],
}


def encoders(epochs: int) -> dict[str, list[str]]:
    """Untrained, with what changes it then; every change with fewer epochs; and the experiment as it is shipped."""

    def named(start: str, changes: list[str], epochs: int) -> dict[str, list[str]]:
        last = f"trainer.max_epochs={epochs}"
        return {start + f", {name}" * bool(name): [*CHANGES[name], last] for name in changes}

    untrained = named("untrained", [*CHANGES][:3], 0)
    return {**untrained, **named(f"{epochs} epochs", [*CHANGES], epochs), "as shipped": []}


PENALTIES = {
    f"mi_weight {weight}": [f"stages.penalty.lightning_module.mi_weight={weight}"] for weight in (0, 100, 1000)
}
SMALL = ["datamodule.size=16", "trainer.max_epochs=15"]
SETS = {
    "breastmnist": (["experiment=medmnist_cvae", NO_PENALTY], encoders(10)),
    "adrenalmnist3d": (["experiment=medmnist_cvae_3d", NO_PENALTY], encoders(2)),
    **{
        name: (["experiment=medmnist_cvae_demo", f"datamodule.name={name}", *SMALL], PENALTIES)
        for name in ("two_signals", "two_signals_outside", "two_signals_shared")
    },
}
SPLITS = ("train", "val", "test")


def main(name: str, folder: Path, settings: list[str]) -> None:
    """Train what is missing, print the table."""
    common, attempts = SETS[name]
    file = folder / f"{name}.csv"
    done = pd.read_csv(file) if file.is_file() else pd.DataFrame(columns=["attempt", "seed"])
    jobs = sorted(((attempt, seed) for seed in SEEDS for attempt in attempts), key=lambda job: job[0] == "as shipped")
    for attempt, seed in jobs:  # the shortest first
        if not ((done["attempt"] == attempt) & (done["seed"] == seed)).any():
            began = time.process_time()
            rows = [*measured([*common, *attempts[attempt], *settings, f"seed={seed}"])]
            minutes = (time.process_time() - began) / 60
            new = pd.DataFrame([{"attempt": attempt, "seed": seed, **row, "minutes": minutes} for row in rows])
            done = pd.concat([done, new]) if len(done) else new
            file.parent.mkdir(parents=True, exist_ok=True)
            done.to_csv(file, index=False)
    print(table(done))


def measured(settings: list[str]) -> Iterator[dict[str, Any]]:
    """AUCs of one encoder, on validation and test images, for each way to use it."""
    config = resolve_stages(compose("train", settings))["penalty"]
    L.seed_everything(config["seed"], workers=True, verbose=False)
    data, module = make_datamodule(config), instantiate(config["lightning_module"], "lightning_module")
    data.prepare_data()
    data.setup("fit")
    steps = instantiate(config["callbacks"]["step_seed"], "callbacks.step_seed")
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=config["trainer"]["max_epochs"], limit_val_batches=0, num_sanity_val_steps=0,
        callbacks=[steps], enable_model_summary=False, **quiet,
    )  # fmt: skip
    trainer.fit(module, data)
    module.eval()
    found = {split: codes(module, data, split) for split in SPLITS}
    label = {split: found[split][3] for split in SPLITS}
    yield {"features": "CKA of HCR and DLR", **{s: redundancy(*found[s][:2])["cka"] for s in SPLITS[1:]}}
    for name, x in ways(found).items():
        weight, bias = fit_probe(x["train"], label["train"], module.num_classes)
        yield {"features": name, **{s: auc_of(label[s], x[s] @ weight.T + bias) for s in SPLITS[1:]}}


@torch.no_grad()
def codes(module: Any, data: Any, split: str) -> tuple[np.ndarray, ...]:
    """HCR, mean and log variance of the latent, and labels of a split."""
    rows = []
    for batch in data.ordered_dataloader(split):
        (hcr, _), (latent, log_variance) = module.encode(batch)
        rows.append((hcr.double(), latent.double(), log_variance.double(), batch["label"]))
    return tuple(torch.cat(part).numpy() for part in zip(*rows, strict=True))


def ways(found: dict[str, tuple[np.ndarray, ...]]) -> dict[str, dict[str, np.ndarray]]:
    """Features for a regression, by name and split; what is fitted to them is fitted to the training images."""
    hcr, dlr = ({split: found[split][part] for split in SPLITS} for part in (0, 1))
    whiten = PCA(whiten=True, random_state=0).fit(dlr["train"])
    both = {split: np.hstack(found[split][1:3]) for split in SPLITS}
    centre, spread = both["train"].mean(0), np.maximum(both["train"].std(0), 1e-12)
    codes = {
        "DLR": dlr,
        "DLR, whitened": {split: whiten.transform(dlr[split]) for split in SPLITS},
        "DLR and log variance": {split: (both[split] - centre) / spread for split in SPLITS},
    }
    beside = {f"HCR + {name}": {s: np.hstack([hcr[s], code[s]]) for s in SPLITS} for name, code in codes.items()}
    return {"HCR": hcr, **codes, **beside}


def table(done: pd.DataFrame) -> str:
    """Mean and standard deviation over the seeds of every attempt and use, the best on validation first."""
    rows = []
    for (attempt, features), group in done.groupby(["attempt", "features"], sort=False):
        areas = [(mean(group[split]), stdev(group[split]) if len(group) > 1 else 0.0) for split in SPLITS[1:]]
        cells = [f"{area:.3f} ± {spread:.3f}" for area, spread in areas]
        rows.append((areas[0][0], [attempt, features, *cells, f"{mean(group['minutes']):.1f}"]))
    rows.sort(key=lambda row: -row[0])
    titles = ["encoder", "features", "validation AUC", "test AUC", "minutes"]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [titles, ["---"] * 5, *(cells for _, cells in rows)])


if __name__ == "__main__":
    register_resolvers()
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
