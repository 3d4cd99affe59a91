"""Fitted table models, computed from plain arrays, which `regression.learners.plain` extracts from scikit-learn.

Every model takes predictors (N, K) in double precision and gives probabilities (N,) of the positive class. Forests and
support-vector machines that were fitted to C > 2 classes give probabilities (N, C).
"""

import torch
from torch import Tensor, nn

from medzoo.models.fitted.part import ExactPart

__all__ = ["Equation", "Filled", "Filler", "Perceptron", "SupportVectors", "Trees"]


class Filler(ExactPart):
    """Imputes missing values by chained linear regressions among the predictors, as `imputation.TrainingFiller`.

    Before the fit it changes nothing.
    """

    centre: Tensor
    spread: Tensor
    start: Tensor
    bias: Tensor
    weight: Tensor
    column: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("centre", "spread", "start", "bias", "weight")
        self.declare("column", dtype=torch.int64)

    def forward(self, x: Tensor) -> Tensor:
        """(N, K) with NaN to (N, K) without."""
        if not bool(self.fitted):
            return x
        gaps = x.isnan()
        filled = torch.where(gaps, self.start, (x - self.centre) / self.spread)
        for column, weight, bias in zip(self.column.tolist(), self.weight, self.bias, strict=True):
            filled[:, column] = torch.where(gaps[:, column], filled @ weight + bias, filled[:, column])
        return torch.where(gaps, filled * self.spread + self.centre, x)


class Equation(ExactPart):
    """A logistic regression."""

    intercept: Tensor
    coefficients: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("intercept", "coefficients")

    def linear(self, x: Tensor) -> Tensor:
        """Linear predictor (N,)."""
        return self.intercept + x @ self.coefficients

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities."""
        return self.linear(x).sigmoid()


class Trees(ExactPart):
    """A forest or boosted trees, all nodes in one table; a leaf is its own child.

    `form` is how a value is compared with a threshold: 0, <= in double precision; 1, <= after rounding to single; 2,
    < after rounding to single.
    """

    threshold: Tensor
    value: Tensor
    base: Tensor
    feature: Tensor
    left: Tensor
    right: Tensor
    root: Tensor
    form: Tensor
    logistic: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("threshold", "value", "base")
        self.declare("feature", "left", "right", "root", "form", dtype=torch.int64)
        self.declare("logistic", dtype=torch.bool)

    @property
    def title(self) -> str:
        """Name of the learner."""
        return "XGBoost" if int(self.form) == 2 else "gradient boosting" if bool(self.logistic) else "random forest"

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities."""
        x = x.float().double() if int(self.form) else x
        node = self.root.expand(len(x), -1)
        while True:
            value, threshold = x.gather(1, self.feature[node]), self.threshold[node]
            is_left = value < threshold if int(self.form) == 2 else value <= threshold
            below = torch.where(is_left, self.left[node], self.right[node])
            if torch.equal(below, node):
                break
            node = below
        total = self.base + self.value[node].sum(1)
        return total.sigmoid() if bool(self.logistic) else total


class SupportVectors(ExactPart):
    """A support-vector machine with a Gaussian kernel, on scaled predictors, with Platt's probabilities.

    Of more than two classes there is a machine for each against the rest, with the kernel in common.
    """

    centre: Tensor
    scale: Tensor
    vector: Tensor
    weight: Tensor
    bias: Tensor
    gamma: Tensor
    platt: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("centre", "scale", "vector", "weight", "bias", "gamma", "platt")

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities."""
        z = (x - self.centre) / self.scale
        apart = (z[:, None] - self.vector).square().sum(2)
        margin = (-self.gamma * apart).exp() @ self.weight + self.bias
        prob = (-(self.platt[0] * margin + self.platt[1])).sigmoid()
        return prob if prob.ndim == 1 else prob / prob.sum(1, keepdim=True)


class Perceptron(ExactPart):
    """A network of one hidden layer of rectified units, on scaled predictors."""

    centre: Tensor
    scale: Tensor
    first: Tensor
    first_bias: Tensor
    second: Tensor
    second_bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.declare("centre", "scale", "first", "first_bias", "second", "second_bias")

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities."""
        z = (x - self.centre) / self.scale
        return ((z @ self.first + self.first_bias).relu() @ self.second + self.second_bias).sigmoid()


class Filled(nn.Module):
    """A model with imputation of missing predictors.

    Args:
        model: Takes complete predictors.
    """

    def __init__(self, model: ExactPart) -> None:
        super().__init__()
        self.fill = Filler()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities (N,) of predictors (N, K)."""
        return self.model(self.fill(x))
