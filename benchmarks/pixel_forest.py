"""A forest on pixels: a simple rule that a classifier of images has to beat.

It takes the words of `train.py`:

    python -m benchmarks.pixel_forest experiment=medmnist_breast seed=1 hydra.run.dir=outputs/forest
    python -m benchmarks.pixel_forest experiment=medmnist_breast folds=5    # no test: cross-validated, nothing written

Images, splits and flips (`lightning_module.tta_flips`) are those of the experiment. Images are averaged to at most 14
pixels along each axis (volumes to 7); extremely randomised trees (Geurts et al. 2006, doi:10.1007/s10994-006-6226-1)
are fitted to the training images and their flips, with scikit-learn's settings but for the number of trees, and
probabilities are averaged over the flips. Validation images are not used: nothing is chosen. Writes `metrics.json` with
`test/auc` and `test/acc`, `predictions/test.csv` and `environment.txt`, as a run does.
"""

import sys
import time
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hydra.core.hydra_config import HydraConfig
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from benchmarks.tables.cells import mean_and_sd
from medzoo.callbacks.output import write_csv
from medzoo.callbacks.writers.predictions import prediction_rows
from medzoo.evaluation.scores.representations import compare_representations
from medzoo.files import write_text
from medzoo.lightning_modules.contracts import OrderedData
from medzoo.runtime.build import make_datamodule
from medzoo.runtime.composing.compose import compose
from medzoo.runtime.composing.resolvers import register_resolvers
from medzoo.runtime.output.run_folder import environment, write_metrics
from medzoo.runtime.plan import make_plan

__all__ = ["cross_validate", "fit_and_test", "main", "views"]

SIDES = {2: 14, 3: 7}  # by number of axes; half of these is about as good, twice these is worse on BreastMNIST
TREES = 200


def views(image: Tensor, flips: Sequence[int]) -> Tensor:
    """Small images with their flips.

    Args:
        image: (B, C, *spatial).
        flips: Spatial axes, counted from 0; all combinations are taken.

    Returns:
        (V, B, P) pixels, the unflipped image first.
    """
    size: Any = [min(SIDES[image.ndim - 2], side) for side in image.shape[2:]]
    pool: Any = F.adaptive_avg_pool3d if len(size) == 3 else F.adaptive_avg_pool2d
    small = pool(image.float(), size)
    axes = [[axis + 2 for axis in some] for count in range(len(flips) + 1) for some in combinations(flips, count)]
    return torch.stack([small.flip(some).flatten(1) for some in axes])


def fit_and_test(datamodule: OrderedData, flips: Sequence[int], seed: int) -> dict[str, Any]:
    """Fit to the training images and predict the test images.

    Args:
        datamodule: Set up; one label for each image.
        flips: Spatial axes.
        seed: Of the forest.

    Returns:
        `id`, `prob` (N, K) and `label` (N,) of the test images.
    """
    rows, label, _ = _split(datamodule, "train", flips)
    test, truth, ids = _split(datamodule, "test", flips)
    return {"id": ids, "prob": _predicted(rows, label, test, len(datamodule.class_names), seed), "label": truth}


def cross_validate(datamodule: OrderedData, flips: Sequence[int], seed: int, folds: int) -> list[dict[str, Any]]:
    """Training and validation images pooled and divided into stratified folds.

    Args:
        datamodule: Set up; one label for each image.
        flips: Spatial axes.
        seed: Of the folds and the forests.
        folds: Two or more.

    Returns:
        `auc` and `acc` of each fold, with intervals.
    """
    both = [_split(datamodule, split, flips) for split in ("train", "val")]
    rows, label = np.concatenate([each[0] for each in both], 1), np.concatenate([each[1] for each in both])
    found = []
    for train, held in StratifiedKFold(folds, shuffle=True, random_state=seed).split(label, label):
        prob = _predicted(rows[:, train], label[train], rows[:, held], len(datamodule.class_names), seed)
        found += compare_representations(label[held], {"forest": prob}, "forest")
    return found


def main(words: Sequence[str]) -> None:
    """Fit, test and write a run folder.

    Args:
        words: Of `train.py`; `hydra.run.dir` names the folder. With `folds=<number>`, figures of a cross-validation on
            the training and validation images are printed instead.

    Raises:
        ValueError: If images have several labels.
    """
    register_resolvers()
    folds = next((int(word.partition("=")[2]) for word in words if word.startswith("folds=")), 0)
    given = [word for word in words if not word.startswith("folds=")]
    config = [*make_plan(compose("train", given)).stages.values()][-1]
    run, began = Path(HydraConfig.get().run.dir), time.perf_counter()
    datamodule = make_datamodule(config)
    if datamodule.task == "multilabel":
        raise ValueError("a forest on pixels needs one label for each image")
    datamodule.prepare_data()
    datamodule.setup("fit")
    how = (datamodule, config["lightning_module"].get("tta_flips") or (), config["seed"])
    if folds:
        each = cross_validate(*how, folds)
        print(*(f"{name} {mean_and_sd([row[name] for row in each], 3)}" for name in ("auc", "acc")), sep=", ")
        return
    datamodule.setup("test")
    found = fit_and_test(*how)
    (row,) = compare_representations(found["label"], {"forest": found["prob"]}, "forest")
    write_text(run / "environment.txt", environment())
    write_csv(run / "predictions" / "test.csv", prediction_rows(found, datamodule.class_names))
    minutes = (time.perf_counter() - began) / 60
    write_metrics(run, {"test/auc": row["auc"], "test/acc": row["acc"], "fit/minutes": minutes})


def _predicted(rows: np.ndarray, label: np.ndarray, test: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """Probabilities (M, K) of views (V, M, P), by a forest fitted to other views (V, N, P) with labels (N,)."""
    every, labels = rows.reshape(-1, rows.shape[2]), np.tile(label, len(rows))
    forest = ExtraTreesClassifier(TREES, random_state=seed).fit(every, labels)
    prob = np.zeros((test.shape[1], classes))
    prob[:, forest.classes_] = np.mean([forest.predict_proba(each) for each in test], axis=0)
    return prob


def _split(datamodule: OrderedData, split: str, flips: Sequence[int]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Views (V, N, P), labels (N,) and ids of a split."""
    batches = [*datamodule.ordered_dataloader(split)]
    rows = torch.cat([views(batch["image"], flips) for batch in batches], 1)
    return (
        rows.numpy(),
        torch.cat([batch["label"] for batch in batches]).numpy(),
        [one for b in batches for one in b["id"]],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
