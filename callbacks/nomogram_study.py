"""What the parts of a nomogram's report are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.multimodal import Analysis, Part

__all__ = ["Images", "Study"]


@dataclass(frozen=True)
class Images:
    """N images as a network sees them.

    Attributes:
        ids: N names.
        case: (N,) names of their cases.
        latent: (N, L).
        error: (N,) mean squared error of the reconstruction.
    """

    ids: list[str]
    case: np.ndarray
    latent: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class Study:
    """A nomogram and its cases, by part: `development` and `test`.

    Attributes:
        cases: Tables of the cases, with `names`, `positive`, `split`, `values` and `readers`.
        images: Of these cases.
        scores: Of these images, those of development out of fold.
        parts: What the regression was given, rows in the order of the cases.
        analysis: What came out.
    """

    cases: Mapping[str, Any]
    images: Mapping[str, Images]
    scores: Mapping[str, np.ndarray]
    parts: Mapping[str, Part]
    analysis: Analysis
