"""Choose the masks of radiomics by what the features inside them tell about the label of validation images."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from medzoo.datamodules.radiomics.scaler import FeatureScaler
from medzoo.datamodules.radiomics.settings import MaskPolicy, RadiomicsSettings
from medzoo.evaluation.scores.representations import auc_of, fit_probe

__all__ = ["CANDIDATES", "choose_mask"]

CANDIDATES: tuple[MaskPolicy, ...] = ("full", "nonzero", "otsu_dark", "otsu_bright")
"""The simplest first: of equal areas it is chosen."""

log = logging.getLogger(__name__)


def choose_mask(
    extracted: Callable[[str, RadiomicsSettings], tuple[np.ndarray, list[str]]],
    labels: Mapping[str, np.ndarray],
    num_classes: int,
    settings: RadiomicsSettings,
) -> list[dict[str, Any]]:
    """Try every policy that needs no given masks; test images are not looked at.

    A logistic regression (L2, C = 1) on the standardised radiomics of the training images is judged by its AUC on the
    validation images.

    Args:
        extracted: Features (N, F) and names of the images of a split, `train` or `val`, by these settings.
        labels: (N,) class indices by split.
        num_classes: K.
        settings: All but the mask.

    Returns:
        A row for each policy, the best first: `mask`, `validation_auc`, and `undefined`, the share of validation images
        that lack a feature.
    """
    rows = []
    for policy in CANDIDATES:
        tried = replace(settings, mask=policy)
        (train, names), (val, _) = extracted("train", tried), extracted("val", tried)
        scaler = FeatureScaler.fit(train, names)
        weight, bias = fit_probe(scaler.transform(train, names), labels["train"], num_classes)
        area = auc_of(labels["val"], scaler.transform(val, names) @ weight.T + bias)
        rows.append({"mask": policy, "validation_auc": area, "undefined": float(np.isnan(val).any(1).mean())})
    rows.sort(key=lambda row: -np.nan_to_num(row["validation_auc"]))
    told = ", ".join(f"{row['mask']} {row['validation_auc']:.3f}" for row in rows)
    log.info("radiomics.mask=auto chose %s by the validation AUC of the radiomics alone: %s", rows[0]["mask"], told)
    return rows
