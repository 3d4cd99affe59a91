"""Prints the table of fusions of docs/models/liver.md: shares of missing modalities x fusions x seeds, in one process.

    python -m docs.tables_liver <run> [setting ...] --shares 0 0.3 0.5 --seeds 1 2 3 --fusions cross early late misa

The run is one of `liver_comparison_demo`; the settings are its own. Its encoders and heads, trained once, are applied
to all patients, with every modality that they have. For each share, modalities are then hidden as the datamodule hides
them, and each fusion is trained on the tokens as the experiment trains it (frozen encoders): same module, settings,
batches and trainer, and the shrinkage of `cross` is fitted to validation. So all fusions see the same patients and
evidence. Every fit is a row of `<run>/fusions.csv`.
"""

import argparse
import csv
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import lightning as L
import numpy as np
import torch
from sklearn.metrics import roc_auc_score

import medzoo
from medzoo.callbacks import StepSeed
from medzoo.datamodules.liver.batches import CohortBatches
from medzoo.datamodules.liver.splits import drop_modalities
from medzoo.lightning_modules.fusion.fits import fit_shrinkage
from medzoo.models.fusion import summed_evidence
from medzoo.runtime.build import instantiate
from medzoo.runtime.composing.compose import compose
from medzoo.runtime.composing.resolvers import register_resolvers
from medzoo.runtime.plan import make_plan

FUSIONS = ("cross", "early", "late", "misa")
SPLITS = ("train", "val", "test")
QUIET = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)


class Tokens:
    """Tokens of the patients in place of what they were made of."""

    def __init__(self, module: L.LightningModule, data: Any, batch_size: int) -> None:
        self.data, self.batch_size, self.splits = data, batch_size, {}
        for split in SPLITS:
            batches = [*data.ordered_dataloader(split)]
            with torch.no_grad():
                tokens = torch.cat([module.net.encode(batch, batch["present"]) for batch in batches])
            beside = {
                key: torch.cat([batch[key] for batch in batches]) for key in ("present", "label", "time", "event")
            }
            self.splits[split] = tokens, beside, [name for batch in batches for name in batch["id"]]

    def hide(self, share: float) -> None:
        """Hide modalities as `datamodule.missing_rate` does."""
        for split, (_, beside, ids) in self.splits.items():
            patients = {patient.id: patient for patient in self.data._items[split]}
            kept = drop_modalities([patients[name] for name in ids], self.data.modalities, share, self.data.split_seed)
            beside["present"] = torch.from_numpy(kept)

    def prior(self) -> np.ndarray:
        """Logarithm (K,) of the share of each class in training."""
        label = self.splits["train"][1]["label"]
        return np.log(np.bincount(label) / len(label))

    def loader(self, split: str, seed: int = 0, *, training: bool = False) -> CohortBatches:
        """Batches as of the datamodule."""
        tokens, beside, ids = self.splits[split]
        modalities = {name: tokens[:, place] for place, name in enumerate(self.data.modalities)}
        return CohortBatches(modalities, beside, ids, shuffle=training, batch_size=self.batch_size, seed=seed)

    def ordered_dataloader(self, split: str) -> Iterable[dict[str, Any]]:
        """Batches in order, for what is fitted."""
        return self.loader(split)


def fitted(stage: Mapping[str, Any], before: L.LightningModule, tokens: Tokens, seed: int) -> L.LightningModule:
    """A fusion, trained with a seed as its stage says."""
    settings = {**stage["lightning_module"], "decoders": None, "patient": None}
    settings["encoders"] = {name: {"_target_": "torch.nn.Identity"} for name in before.modalities}
    L.seed_everything(seed, verbose=False)
    module: Any = instantiate(settings, "lightning_module")
    module.net.heads.load_state_dict(before.net.heads.state_dict())
    trained = {key: stage["trainer"][key] for key in ("max_epochs", "gradient_clip_val")}
    trainer = L.Trainer(**trained, **QUIET, callbacks=[StepSeed(seed)], accelerator="cpu")
    trainer.fit(module, tokens.loader("train", seed, training=True))
    module.eval()
    if module.net.shrinkage is not None:
        module.net.shrinkage.take(share=1.0, prior=[*tokens.prior(), 0.0])
        fit_shrinkage(module.net.shrinkage, module._evaluated(tokens, "val"))
    return module


def areas(module: L.LightningModule, tokens: Tokens) -> dict[str, float]:
    """Areas in validation and test: of the fusion, of the rules on the same evidence, and of the best score."""
    found: dict[str, float] = {}
    for split in ("val", "test"):
        evaluated = [*module._evaluated(tokens, split)]
        present, label = (torch.cat([each.batch[key] for each in evaluated]) for key in ("present", "label"))
        evidence, output = (torch.cat([each[place] for each in evaluated])[..., :-1] for place in (1, 2))
        known = evidence.where(present[..., None], 0.0)
        scores = {
            "": output,
            "sum_": summed_evidence(evidence, present, torch.from_numpy(tokens.prior()).float()),
            "mean_": known.sum(1) / present.sum(1, keepdim=True),
        }
        best = tokens.data.true_log_odds(tokens.splits[split][2], present.numpy())
        odds = {**{name: logits[:, 1] - logits[:, 0] for name, logits in scores.items()}, "bayes_": best}
        found |= {f"{split}/{name}auc": float(roc_auc_score(label, score)) for name, score in odds.items()}
    return found


def main() -> None:
    """Train, write the rows, print the table."""
    parser = argparse.ArgumentParser(prog="python -m docs.tables_liver")
    parser.add_argument("run", type=Path)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.0, 0.3, 0.5])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--fusions", nargs="+", default=[*FUSIONS])
    parser.add_argument("--name", default="fusions")
    asked, settings = parser.parse_known_args()  # settings stand before the options, which would take them
    if strange := [word for word in asked.fusions if word not in FUSIONS]:
        parser.error(f"{strange[0]} is no fusion; settings stand before --shares, --seeds and --fusions")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    register_resolvers()
    before = medzoo.load(asked.run / "unimodal" / "checkpoints" / "last.ckpt")
    stages = make_plan(
        compose("train", ["experiment=liver_comparison_demo", "datamodule.missing_rate=0", *settings])
    ).stages
    data = instantiate(stages["cross"]["datamodule"], "datamodule")
    data.prepare_data()
    data.setup()
    tokens, rows = Tokens(before, data, data.batch_size), []
    for share in asked.shares:
        tokens.hide(share)
        for fusion in asked.fusions:
            for seed in asked.seeds:
                module = fitted(stages[fusion], before, tokens, seed)
                shrunk = module.net.shrinkage.share.item() if module.net.shrinkage is not None else ""
                rows.append(
                    {"missing": share, "fusion": fusion, "seed": seed, "share": shrunk, **areas(module, tokens)}
                )
                print(rows[-1], flush=True)
    with (asked.run / f"{asked.name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    for share in asked.shares:
        print(line(share, [row for row in rows if row["missing"] == share], asked.fusions))


def line(share: float, rows: Sequence[Mapping[str, Any]], fusions: Sequence[str]) -> str:
    """A line of the table: the best possible, the sum and the mean of evidence, and mean and SD of each fusion."""
    cells = [f"{share:g}", *(f"{rows[0][f'test/{key}auc']:.3f}" for key in ("bayes_", "sum_", "mean_"))]
    for fusion in fusions:
        found = [row["test/auc"] for row in rows if row["fusion"] == fusion]
        spread = f" ± {stdev(found):.3f}" if len(found) > 1 else ""
        cells.append(f"{mean(found):.3f}{spread}")
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
