"""Prints the table of docs/models/cvae.md for which nothing was learnt: radiomics and principal components.

    python -m docs.controls_radiomics <experiment> [<setting> ...]

The data are those of the experiment. Regression and SVM have no seed; the forest has five, and a mean with its standard
deviation. `datamodule.radiomics.mask=auto` also logs the area of every mask.
"""

import logging
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from medzoo.evaluation.regression.learners.tuned import fit_learners
from medzoo.evaluation.scores.representations import auc_of, fit_probe, principal_axes
from medzoo.models.fitted import pixels_of
from medzoo.runtime.build import make_datamodule
from medzoo.runtime.composing.compose import compose
from medzoo.runtime.composing.resolvers import register_resolvers
from medzoo.runtime.composing.stages import resolve_stages

SEEDS, SPLITS = range(5), ("train", "val", "test")
Rows = dict[str, np.ndarray]


def main(experiment: str, settings: list[str]) -> None:
    """Print a row for each set of features and learner, with validation and test AUC and test ACC."""
    config = [*resolve_stages(compose("train", [f"experiment={experiment}", *settings])).values()][-1]
    data = make_datamodule(config)
    data.prepare_data()
    data.setup("fit")
    print("| features, learner | validation AUC | test AUC | test ACC |\n" + "|---" * 4 + "|")
    features, label = read(data)
    for name, rows in features.items():
        for learner, probs in learnt(rows, label, data.num_classes):
            told = [[auc_of(label[split], prob[split]) for prob in probs] for split in SPLITS[1:]]
            told.append([np.mean(prob["test"].argmax(1) == label["test"]) for prob in probs])
            cells = [f"{np.mean(each):.3f}" + f" ± {np.std(each, ddof=1):.3f}" * (len(each) > 1) for each in told]
            print("|", " | ".join([f"{name}, {learner}", *cells]), "|", flush=True)


def read(data: Any) -> tuple[dict[str, Rows], Rows]:
    """Features by name and split, standardised by the training images, and labels by split."""
    scaler, hcr, pixels, label = data.hcr_scaler(), {}, {}, {}
    for split in SPLITS:
        batches = [*data.ordered_dataloader(split)]
        raw = torch.cat([batch["hcr"] for batch in batches]).double().numpy()
        hcr[split] = np.nan_to_num((raw - scaler.mean) / scaler.scale)
        pixels[split] = torch.cat([pixels_of(batch["image"]) for batch in batches]).numpy()
        label[split] = torch.cat([batch["label"] for batch in batches]).numpy()
    centre, axes = principal_axes(pixels["train"])
    components = {split: (pixels[split] - centre) @ axes.T for split in SPLITS}
    both = {split: np.hstack([hcr[split], components[split]]) for split in SPLITS}
    return {"HCR": hcr, "PCA 32": components, "HCR + PCA 32": both}, label


def learnt(rows: Rows, label: Rows, classes: int) -> Iterator[tuple[str, list[Rows]]]:
    """Name of each learner, and probabilities by split for each of its seeds."""
    weight, bias = fit_probe(rows["train"], label["train"], classes)
    yield "regression", [{s: rows[s] @ weight.T + bias for s in SPLITS}]
    made = [fit_learners(rows["train"], label["train"], classes, seed=seed) for seed in SEEDS]
    found = [one for one in made if one]
    if found:
        yield "forest", [{s: one.forest.predict_proba(rows[s]) for s in SPLITS} for one in found]
        yield "SVM", [{s: found[0].machine.predict_proba(rows[s]) for s in SPLITS}]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    register_resolvers()
    main(sys.argv[1], sys.argv[2:])
