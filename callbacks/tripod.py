"""What a run knows of the TRIPOD+AI checklist."""

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sklearn
import torch

from callbacks.nomogram_study import Study
from evaluation.multimodal import NOMOGRAM, equation
from evaluation.summary import tripod_rows

__all__ = ["tripod_of"]


def tripod_of(
    study: Study, datamodule: Any, settings: Any, module: Any, optimism: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows `item`, `about`, `said`.

    Args:
        study: What came out.
        datamodule: With `predictors`, `candidates`, `missing`, `split_seed` and `seed`.
        settings: With `folds`, `aggregate`, `draws` and `seed`.
        module: Knows the kind of its score.
        optimism: Rows of `evaluation.optimism`.
    """
    analysis, parts = study.analysis, study.parts
    counts = _counts(study)
    events = int(parts["development"].positive.sum())
    tried = len(analysis.names) + len(datamodule.candidates)
    gaps = sum(int(np.isnan(part.x).any(1).sum()) for part in parts.values())
    numbers, fit = analysis.numbers, analysis.regression.fit
    corrected = next(row for row in optimism if row["measure"] == "auc")
    told = f"{settings.folds} folds by case, seed {settings.seed}"
    said = {
        "7": ("data preparation", f"images of {datamodule.image_size} pixels, intensities in [0, 1]"),
        "9": (
            "predictors",
            f"{', '.join(analysis.names)}; also looked at: {', '.join(datamodule.candidates) or 'none'}",
        ),
        "10": ("sample size", f"{events} events in development, {events / tried:.1f} for each of {tried} candidates"),
        "11": ("missing data", f"{gaps} cases with gaps; {_filled(datamodule.missing, settings.draws, gaps)}"),
        "12a": ("partition", f"{counts}; a case is in one part with all its images; seed {datamodule.split_seed}"),
        "12b": ("handling of predictors", "linear, in their own units, none selected by the data"),
        "12c": (
            "model",
            f"variational autoencoder without labels; {module.score.kind} score, {settings.aggregate} of a case's "
            f"images, out of fold in development ({told}); logistic regression ({fit.method})",
        ),
        "12e": ("measures", "AUC (DeLong), rates (Wilson), McNemar, calibration, net benefit, optimism (bootstrap)"),
        "13": ("class imbalance", "none corrected in the nomogram; its intercept holds for this share of HLHS"),
        "15": (
            "threshold",
            f"{analysis.thresholds[NOMOGRAM]:.4f}: largest sensitivity + specificity of held-out predictions of "
            f"development cases ({told}); no test case took part",
        ),
        "16": (
            "differences between development and test",
            "drawn from one cohort, stratified by class, or as cases.csv says",
        ),
        "18e": (
            "data",
            "phantom: datamodules/phantoms/fetal_heart/causal.py" if datamodule.phantom else "not provided",
        ),
        "18f": (
            "code",
            f"Lightning MedZoo; seed {datamodule.seed}; Python {platform.python_version()}, torch {torch.__version__}, "
            f"NumPy {np.__version__}, scikit-learn {sklearn.__version__}; all packages in environment.txt",
        ),
        "20": ("participants", "table 1 of this report"),
        "21": ("cases and events", counts),
        "22": ("full model", equation(analysis)),
        "23a": (
            "performance",
            f"test AUC {numbers['auc']:.3f} ({numbers['auc_low']:.3f} to {numbers['auc_high']:.3f}); development AUC "
            f"{corrected['apparent']:.3f} apparent, {corrected['corrected']:.3f} corrected (the autoencoder is kept)",
        ),
        "24": ("updating", "none"),
        "26": ("what a program sees of limitations", "; ".join(analysis.notes) or "nothing"),
    }
    return tripod_rows(said)


def _counts(study: Study) -> str:
    told = []
    for split in ("train", "val", "test"):
        cases = study.cases["test" if split == "test" else "development"]
        labels = cases.positive[np.array(cases.split) == split]
        told.append(f"{split} {len(labels)} cases with {int(labels.sum())} HLHS")
    return ", ".join(told)


def _filled(missing: str, draws: int, gaps: int) -> str:
    if missing == "refuse" or not gaps:
        return "none imputed"
    return f"{draws} imputations for coefficients, regressions of training cases for predictions"
