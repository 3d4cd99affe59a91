"""Predictions of a fusion, and those that it is compared with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from medzoo.callbacks.collect import Predictions
from medzoo.callbacks.reports.fusion.survival import Curves, Survival, curves_of

__all__ = ["MEAN", "SUM", "Data", "Fused", "Module", "curves", "fused", "predicted"]

SUM, MEAN = "sum of evidence", "mean of evidence"


class Output(NamedTuple):
    """Output of the network: (N, K + 1) logits, of K classes and one more."""

    output: Tensor


class Net(Protocol):
    """Members of the network that are used."""

    def evidence(self, tokens: Tensor) -> Tensor:
        """Logits of each modality alone."""

    def fuse(self, tokens: Tensor, evidence: Tensor, present: Tensor) -> Output:
        """The fusion of the modalities that are present."""


class Learner(Protocol):
    """A fitted learner; `fitted` (one bool) is false where there was none to fit."""

    fitted: Tensor
    device: torch.device
    title: str


class Comparator(Protocol):
    """Members of the model of clinical variables that are used."""

    model: Learner

    def __call__(self, clinical: Tensor) -> Tensor:
        """(N,) probabilities of the last class."""


class Baselines(Protocol):
    """Baselines of training patients: the `common` share (K,) of each class, and a model of clinical variables."""

    common: Tensor
    clinical: Comparator


class Module(Protocol):
    """Members of the module that are used."""

    modalities: Sequence[str]
    classification_weight: float
    survival_weight: float
    device: torch.device
    net: Net
    baselines: Baselines
    survival: Survival


class Data(Protocol):
    """Members of the datamodule that are used."""

    phantom: object

    def table(self, split: str) -> Mapping[str, Any]:
        """`id` and `clinical` (N, F) of the patients of a split."""

    def true_log_odds(self, ids: Sequence[str], present: np.ndarray) -> np.ndarray:
        """True log-odds (N,) of patients of a phantom, given the modalities that are present."""


@dataclass(frozen=True)
class Fused:
    """Predictions of a fusion of M modalities, and those that it is compared with.

    Attributes:
        modalities: M names.
        predictions: With `label`, `prob` (N, K), `present` (N, M), `weights` (N, M) and `tokens` (N, M, D).
        probs: (N, K) by name: the fusion, each modality alone, the baseline.
        fuse: From tokens and present (n, M) to probabilities (n, K).
        survival: Whether `risk` was trained; then the predictions have `time` and `event`.
        curves: Predicted survival, if its baseline was fitted.
        classes: Whether classes were trained.
    """

    modalities: Sequence[str]
    predictions: Predictions
    probs: Mapping[str, np.ndarray]
    fuse: Callable[[np.ndarray, np.ndarray], np.ndarray]
    survival: bool = False
    curves: Curves | None = None
    classes: bool = True


def predicted(module: Module, data: Data, found: Predictions) -> dict[str, np.ndarray]:
    """Probabilities (N, K) of the fusion, of each modality alone, and of the baseline."""
    common = module.baselines.common.cpu().numpy()
    probs = {"fusion": found["prob"]}
    for index, name in enumerate(module.modalities):
        probs[name] = np.where(found["present"][:, [index]], found["unimodal"][:, index], common)
    if len(module.modalities) > 1:
        probs |= _without_training(found, np.log(common))
    boosted = module.baselines.clinical
    if bool(boosted.model.fitted):
        has = found["present"][:, [module.modalities.index("clinical")]]
        rows = data.table("test")
        place = {name: index for index, name in enumerate(rows["id"])}
        clinical = rows["clinical"][[place[name] for name in found["id"]]]
        last = boosted(torch.from_numpy(clinical).to(boosted.model.device, torch.float64)).cpu().numpy()
        probs[f"{boosted.model.title}, clinical"] = np.where(has, np.stack([1 - last, last], axis=1), common)
    return probs


def _without_training(found: Predictions, prior: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities (N, K) of two rules on the modalities' own heads: the sum of their evidence, and its mean."""
    present = found["present"][..., None]
    evidence = np.log(found["unimodal"].clip(1e-12))
    summed = np.where(present, evidence - prior, 0).sum(1) + prior
    mean = np.where(present, evidence, 0).sum(1) / present.sum(1)
    return {SUM: softmax(summed, axis=1), MEAN: softmax(mean, axis=1)}


def fused(module: Module, tokens: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Probabilities (N, K) when the network is shown what is present."""
    with torch.no_grad():
        given, shown = (torch.from_numpy(each).to(module.device) for each in (tokens, present))
        output = module.net.fuse(given, module.net.evidence(given), shown).output
    return output[:, :-1].float().softmax(1).cpu().numpy()


def curves(module: Module, found: Predictions) -> Curves | None:
    """Survival that the fusion predicts, beside the sum of the log hazards of the modalities' own heads."""
    if not module.survival_weight:
        return None
    with torch.no_grad():
        hazards = module.net.evidence(torch.from_numpy(found["tokens"]).to(module.device))[..., -1].cpu().numpy()
    return curves_of(module.survival, found["risk"], np.where(found["present"], hazards, 0).sum(1))
