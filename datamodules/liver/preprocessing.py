"""Tables as a network takes them: gaps filled and scales made alike, as the training patients say.

Everything that is learnt here is plain data (`state`), which a checkpoint keeps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datamodules.io import some
from datamodules.radiomics.scaler import FeatureScaler
from evaluation.imputation import TrainingFiller, training_filler

__all__ = ["ClinicalPreparation", "GenePreparation"]


@dataclass(frozen=True)
class ClinicalPreparation:
    """Chained regressions fill gaps (MICE with one imputation, for prediction), then columns are standardised.

    Coefficients need several imputations: `evaluation.imputation.impute` and `pool`.

    Attributes:
        filler: Of the training patients.
    """

    filler: TrainingFiller

    @classmethod
    def fit(cls, train: np.ndarray, names: Sequence[str]) -> "ClinicalPreparation":
        """Learn from training patients (N, K), NaN where missing; none may be left of a column that nobody has."""
        return cls(training_filler(train, names))

    @property
    def names(self) -> list[str]:
        """Of the 2 K outputs."""
        return [*self.filler.names, *(f"{name}_missing" for name in self.filler.names)]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """(N, K) with NaN to (N, 2 K) float32: standardised values, then 1 where a value was missing."""
        filled = (self.filler(values) - self.filler.centre) / self.filler.spread
        return np.concatenate([filled, np.isnan(values)], axis=1).astype(np.float32)

    def state(self) -> dict[str, Any]:
        """Lists and numbers."""
        said = {key: getattr(self.filler, key).tolist() for key in ("centre", "spread", "start")}
        steps = [[column, values.tolist(), intercept] for column, values, intercept in self.filler.steps]
        return {"names": list(self.filler.names), **said, "steps": steps}

    @classmethod
    def load(cls, state: dict[str, Any]) -> "ClinicalPreparation":
        """From `state`."""
        arrays = {key: np.array(state[key], float) for key in ("centre", "spread", "start")}
        steps = tuple((int(column), np.array(values, float), float(more)) for column, values, more in state["steps"])
        return cls(TrainingFiller(names=tuple(state["names"]), steps=steps, **arrays))


@dataclass(frozen=True)
class GenePreparation:
    """log2(x + 1), standardised; of the genes that are named, or that vary most between training patients.

    Attributes:
        scaler: Mean and standard deviation of each gene that is kept.
    """

    scaler: FeatureScaler

    @classmethod
    def fit(cls, train: np.ndarray, names: Sequence[str], wanted: int | Sequence[str]) -> "GenePreparation":
        """Learn from training patients.

        Args:
            train: (N, G) FPKM or TPM.
            names: Of the G genes.
            wanted: How many of the most variable to keep, or which.

        Raises:
            ValueError: If there are not so many, or a gene is not there.
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
                raise ValueError(f"genomics.tsv has no gene {some(absent)}; mend datamodule.genes")
            chosen = [list(names).index(name) for name in wanted]
        return cls(FeatureScaler.fit(logs[:, chosen], [names[index] for index in chosen]))

    @property
    def names(self) -> list[str]:
        """Of the genes that are kept."""
        return list(self.scaler.names)

    def __call__(self, values: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """(N, G) of any genes to (N, kept) float32; a missing value becomes 0, the training patients' mean.

        Raises:
            ValueError: If a kept gene is not there.
        """
        absent = [name for name in self.names if name not in names]
        if absent:
            raise ValueError(f"genomics.tsv has no gene {some(absent)}, which the training had")
        chosen = [list(names).index(name) for name in self.names]
        return self.scaler.transform(np.log2(values[:, chosen] + 1), self.names)

    def state(self) -> dict[str, Any]:
        """Lists and numbers."""
        return {"names": self.names, "mean": self.scaler.mean.tolist(), "scale": self.scaler.scale.tolist()}

    @classmethod
    def load(cls, state: dict[str, Any]) -> "GenePreparation":
        """From `state`."""
        return cls(FeatureScaler(tuple(state["names"]), np.array(state["mean"]), np.array(state["scale"])))
