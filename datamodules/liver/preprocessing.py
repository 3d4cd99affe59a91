"""Impute and standardise clinical columns and gene expression.

The transforms are fitted on the training patients, kept as plain data in the checkpoint, and applied to all.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medzoo.datamodules.io import some
from medzoo.datamodules.liver.columns import Columns
from medzoo.datamodules.liver.records import Patient
from medzoo.datamodules.outcomes import check_telling
from medzoo.datamodules.radiomics.scaler import FeatureScaler
from medzoo.evaluation.regression.imputation import TrainingFiller, training_filler

__all__ = ["fit_clinical", "fit_genes", "fit_tables", "scaled_clinical", "scaled_genes", "scaled_table"]

_ARRAYS = ("centre", "spread", "start")  # of an imputer


def fit_tables(
    train: Sequence[Patient],
    modalities: Sequence[str],
    columns: Columns,
    genes: Sequence[str],
    wanted: int | Sequence[str],
    root: Path,
) -> dict[str, Any]:
    """Fit what `scaled_table` needs on the training patients; keeps `wanted` of the `genes` (`fit_genes`).

    Raises:
        ValueError: If a column leaks the outcome or has too few values, or genes are missing.
    """
    learnt: dict[str, Any] = {}
    if "clinical" in modalities:
        known = [patient for patient in train if patient.has["clinical"]]
        rows = np.stack([patient.clinical for patient in known])
        label, months = (np.array([getattr(patient, name) for patient in known]) for name in ("label", "months"))
        check_telling(rows, columns.names, label, months, known=columns.known_before)
        learnt["clinical"] = fit_clinical(rows, columns.names)
    if "genomics" in modalities:
        measured = [patient.genes for patient in train if patient.genes is not None]
        if not measured:
            raise ValueError(f"{root}: no training patient is in genomics.tsv; leave genomics out of use")
        learnt["genes"] = fit_genes(np.stack(measured), genes, wanted)
    return learnt


def scaled_table(
    patients: Sequence[Patient], present: np.ndarray, modality: str, learnt: Mapping[str, Any], genes: Sequence[str]
) -> Tensor:
    """(N, 2 K) `clinical` or (N, kept) `genomics` of N patients, float32; 0 where `present` (N,) is False."""
    clinical = modality == "clinical"
    absent = np.full(len(learnt["clinical"]["names"] if clinical else genes), np.nan)
    given = [patient.clinical if clinical else patient.genes for patient in patients]
    rows = np.stack([row if there and row is not None else absent for row, there in zip(given, present, strict=True)])
    values = scaled_clinical(learnt["clinical"], rows) if clinical else scaled_genes(learnt["genes"], rows, genes)
    return torch.from_numpy(np.where(present[:, None], values, 0).astype(np.float32))


def fit_clinical(train: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Fit scales and chained regressions for imputation on (N, K) values of training patients, NaN where missing.

    This is MICE with one imputation, for prediction; coefficients need several (`impute` and `pool` in
    `evaluation.regression.imputation`).

    Raises:
        ValueError: If a column has fewer than two known values.
    """
    filler = training_filler(train, names)
    steps = [[column, values.tolist(), intercept] for column, values, intercept in filler.steps]
    return {"names": list(names), **{key: getattr(filler, key).tolist() for key in _ARRAYS}, "steps": steps}


def scaled_clinical(learnt: Mapping[str, Any], values: np.ndarray) -> np.ndarray:
    """Map (N, K) with NaN to (N, 2 K) float32: standardised values, then 1 where a value was missing."""
    arrays = {key: np.array(learnt[key], float) for key in _ARRAYS}
    steps = tuple((int(column), np.array(values, float), float(more)) for column, values, more in learnt["steps"])
    filler = TrainingFiller(names=tuple(learnt["names"]), steps=steps, **arrays)
    filled = (filler(values) - filler.centre) / filler.spread
    return np.concatenate([filled, np.isnan(values)], axis=1).astype(np.float32)


def fit_genes(train: np.ndarray, names: Sequence[str], wanted: int | Sequence[str]) -> dict[str, Any]:
    """Choose genes, and fit mean and standard deviation of their log2(x + 1), on training patients.

    Args:
        train: (N, G) FPKM or TPM.
        names: Names of the G genes.
        wanted: Number of the most variable genes to keep, or their names.

    Raises:
        ValueError: If there are too few genes, or a named gene is missing.
    """
    logs = np.log2(train + 1)
    if isinstance(wanted, int):
        if len(names) < wanted:
            raise ValueError(f"genomics.tsv has {len(names)} genes; set datamodule.genes to {len(names)} or less")
        spread = np.nan_to_num(np.nanvar(logs, axis=0), nan=-1.0)
        chosen = sorted(np.argsort(-spread, kind="stable")[:wanted].tolist())
    else:
        absent = sorted(set(wanted) - set(names))
        if absent:
            raise ValueError(f"genomics.tsv has no gene {some(absent)}; correct datamodule.genes")
        chosen = [list(names).index(name) for name in wanted]
    scaler = FeatureScaler.fit(logs[:, chosen], [names[index] for index in chosen])
    return {"names": list(scaler.names), "mean": scaler.mean.tolist(), "scale": scaler.scale.tolist()}


def scaled_genes(learnt: Mapping[str, Any], values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Map (N, G) to the kept genes (N, kept) float32, standardised; a missing value becomes 0, the training mean.

    Raises:
        ValueError: If a kept gene is missing.
    """
    kept = learnt["names"]
    absent = [name for name in kept if name not in names]
    if absent:
        raise ValueError(f"genomics.tsv has no gene {some(absent)}, which the training had")
    scaler = FeatureScaler(tuple(kept), np.array(learnt["mean"]), np.array(learnt["scale"]))
    chosen = [list(names).index(name) for name in kept]
    return scaler.transform(np.log2(values[:, chosen] + 1), kept)
