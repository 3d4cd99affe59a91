"""A nomogram with its comparators, as part of a checkpoint: fitted once, then only read."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from medzoo.models.fitted.comparators import Equation, Filled, Perceptron, SupportVectors, Trees
from medzoo.models.fitted.part import ExactPart

__all__ = ["NomogramPart"]

_MODELS = {
    "nomogram": Equation,
    "clinical": Equation,
    "score": Equation,
    "forest": Trees,
    "tree": Trees,
    "machine": SupportVectors,
    "boosting": Trees,
    "perceptron": Perceptron,
    **{f"{model}_{how}": Equation for model in ("nomogram", "score") for how in ("mean", "max")},
}


class NomogramPart(ExactPart):
    """The equation, its imputation, axes, thresholds, comparators, and the report of the development.

    `record` holds everything but numbers: names, tables and notes, stored as JSON in the buffer `text`. `low`
    and `high` (K,) are the ranges of the predictors, `linear` (2,) that of the linear predictor, `share` the share of
    positive cases, `threshold` (M,) that of each model; `latent` (S, L) and `score` (S,) are a path along the score.
    `shift` is added to the log odds of every model if the cases of the fit were drawn at another share; else empty.
    """

    low: Tensor
    high: Tensor
    linear: Tensor
    share: Tensor
    shift: Tensor
    threshold: Tensor
    latent: Tensor
    score: Tensor
    text: Tensor
    models: Any

    def __init__(self) -> None:
        super().__init__()
        self.declare("low", "high", "linear", "share", "shift", "threshold", "latent", "score")
        self.declare("text", dtype=torch.uint8)
        self.models = nn.ModuleDict({name: Filled(made()) for name, made in _MODELS.items()})

    def keep(
        self,
        record: Mapping[str, Any],
        numbers: Mapping[str, Any],
        models: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]],
    ) -> None:
        """Store the fitted nomogram.

        Args:
            record: Plain containers; `models` lists name, key and columns of each model, the nomogram first.
            numbers: Buffers of this part.
            models: By key, arrays of the imputation (empty for none) and of the model.
        """
        for key, (filler, arrays) in models.items():
            if filler:
                self.models[key].fill.take(**filler)
            self.models[key].model.take(**arrays)
        written = json.dumps(record, allow_nan=True).encode()
        self.take(**numbers, text=torch.frombuffer(bytearray(written), dtype=torch.uint8))

    @property
    def record(self) -> dict[str, Any]:
        """Names, tables and notes."""
        self.check_fitted()
        return json.loads(bytes(self.text.tolist()).decode())

    @property
    def numbers(self) -> dict[str, Any]:
        """Arrays `intercept`, `coefficients`, `low`, `high`, `linear` and `share` of the nomogram."""
        self.check_fitted()
        equation = self.models["nomogram"].model
        found = {name: getattr(equation, name) for name in ("intercept", "coefficients")}
        found["intercept"] = found["intercept"] + self.shift.sum()
        found |= {name: getattr(self, name) for name in ("low", "high", "linear", "share")}
        return {name: value.cpu().numpy() for name, value in found.items()}

    @property
    def thresholds(self) -> dict[str, float]:
        """By model, the probability from which a case is classified as positive."""
        names = [name for name, _, _ in self.record["models"]]
        return dict(zip(names, self.threshold.tolist(), strict=True))

    @property
    def fills_gaps(self) -> bool:
        """Whether missing predictors are imputed."""
        return bool(self.models["nomogram"].fill.fitted)

    def filled(self, x: Tensor) -> Tensor:
        """Predictors (N, K), imputed if `fills_gaps`."""
        return self.models["nomogram"].fill(self.exact(x))

    def linear_predictor(self, x: Tensor) -> Tensor:
        """(N,) of predictors (N, K)."""
        linear: Tensor = self.models["nomogram"].model.linear(self.filled(x))
        return linear + self.shift.sum()

    def probabilities(self, x: Tensor) -> dict[str, Tensor]:
        """(N,) by model, the nomogram first, of predictors (N, K)."""
        x = self.exact(x)
        found = {name: self.models[key](x[:, columns]) for name, key, columns in self.record["models"]}
        return (
            {name: (prob.logit() + self.shift).sigmoid() for name, prob in found.items()} if len(self.shift) else found
        )
