"""The TRIPOD+AI checklist, as far as a run can fill it in."""

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sklearn
import torch

from medzoo.callbacks.nomogram.study import Study
from medzoo.callbacks.output import Row
from medzoo.evaluation.nomogram.study import NOMOGRAM, equation
from medzoo.evaluation.scores.summary import MISSING, tripod_rows

__all__ = ["tripod_of"]


def tripod_of(study: Study, phantom: bool, method: Mapping[str, str]) -> Sequence[Row]:
    """Rows `item`, `about`, `said`.

    Args:
        study: The nomogram and the test cases.
        phantom: Whether the test cases are of a phantom.
        method: Texts of the module for items 7 (`preparation` of the data) and 12c (what the `model` did before).
    """
    reading, record, numbers = study.reading, study.reading.record, study.numbers
    settings, counts = record["settings"], _counts(study)
    events, tried = sum(n for _, n in record["counts"].values()), len(record["names"]) + len(record["candidates"])
    folds = f"{settings['folds']} folds by case, seed {settings['seed']}"
    gaps = record["gaps"] + (int(np.isnan(study.table.x).any(1).sum()) if study.table else 0)
    items = {
        "7": ("data preparation", method["preparation"]),
        "9": (
            "predictors",
            f"{', '.join(record['names'])}; also looked at: {', '.join(record['candidates']) or 'none'}",
        ),
        "10": ("sample size", f"{events} events in development, {events / tried:.1f} for each of {tried} candidates"),
        "11": ("missing data", f"{gaps} cases with gaps; {_filled(record['missing'], settings['draws'], gaps)}"),
        "12a": ("partition", f"{counts}; a case is in one part with all that belongs to it"),
        "12b": ("handling of predictors", "linear, in their own units, none selected by the data"),
        "12c": ("model", f"{method['model']}logistic regression ({record['method']}); {folds}"),
        "12e": ("measures", "AUC (DeLong), rates (Wilson), McNemar, calibration, net benefit, optimism (bootstrap)"),
        "13": ("class imbalance", f"none corrected in the nomogram; its intercept holds {reading.share_told}"),
        "15": (
            "threshold",
            f"{reading.thresholds[NOMOGRAM]:.4f}: largest sensitivity + specificity of held-out predictions of "
            f"development cases ({folds}); no test case took part",
        ),
        "16": ("differences between development and test", _differences(study)),
        "18e": ("data", "phantom: its causal model is in datamodules/phantoms" if phantom else MISSING),
        "18f": (
            "code",
            f"Lightning MedZoo; seed {settings['seed']}; Python {platform.python_version()}, torch "
            f"{torch.__version__}, NumPy {np.__version__}, scikit-learn {sklearn.__version__}; all packages in "
            "environment.txt",
        ),
        "20": ("participants", "table of the cases in this report"),
        "21": ("cases and events", counts),
        "22": ("full model", equation(reading.model, reading.outcome)),
        "23a": ("performance", _performance(record["optimism"], numbers)),
        "24": ("updating", "none"),
        "26": ("what a program sees of limitations", "; ".join(record["notes"]) or "nothing"),
    }
    return tripod_rows(items)


def _performance(optimism: Sequence[Mapping[str, Any]], numbers: Mapping[str, float]) -> str:
    row = next(row for row in optimism if row["measure"] == "auc")
    development = f"development AUC {row['apparent']:.3f} apparent, {row['corrected']:.3f} corrected for optimism"
    if not numbers:
        return development
    return f"test AUC {numbers['auc']:.3f} ({numbers['auc_low']:.3f} to {numbers['auc_high']:.3f}); {development}"


def _differences(study: Study) -> str:
    if not study.table:
        return "no test cases: development alone"
    if study.own:
        return "drawn from one cohort, stratified by class, or as the table of cases says"
    return f"tested on {len(study.table.names)} cases given to evaluate.py; differences are for a human to describe"


def _counts(study: Study) -> str:
    counts = dict(study.reading.record["counts"])
    if study.table:
        counts["test"] = [len(study.table.names), int(study.table.positive.sum())]
    return ", ".join(f"{split} {n} cases with {sick} {study.reading.outcome}" for split, (n, sick) in counts.items())


def _filled(missing: str, draws: int, gaps: int) -> str:
    if missing == "refuse" or not gaps:
        return "none imputed"
    return f"{draws} imputations for coefficients, regressions of training cases for predictions"
