"""Standardise features with the mean and spread of the training images."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.preprocessing import StandardScaler

__all__ = ["FeatureScaler"]


@dataclass(frozen=True)
class FeatureScaler:
    """(x - mean) / standard deviation of the training images; a missing feature becomes 0, the training mean.

    Args:
        names: Names of F features.
        mean: (F,) means; 0 if no training image has the feature.
        scale: (F,) standard deviations (1 / N); 1 if the feature is constant in training.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, train: np.ndarray, names: Sequence[str]) -> "FeatureScaler":
        """Fit on the training images only.

        Args:
            train: (N, F) features; NaN is ignored.
            names: Names of the F features.

        Raises:
            ValueError: If the numbers of names and features differ, or there is no image.
        """
        if train.ndim != 2 or train.shape[1] != len(names) or not len(train):
            raise ValueError(f"features of shape {train.shape} do not fit {len(names)} names")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a feature that no image has
            fitted = StandardScaler().fit(train)
        scale = np.nan_to_num(fitted.scale_, nan=1.0)
        return cls(tuple(names), np.nan_to_num(fitted.mean_), scale)

    def transform(self, features: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """(N, F) float32, without NaN.

        Raises:
            ValueError: If the features, or their order, differ from those that the scaler was fitted on.
        """
        if tuple(names) != self.names or features.shape[1:] != self.mean.shape:
            raise ValueError(
                f"the scaler was fitted on {len(self.names)} features ({', '.join(self.names[:3])}, ...), "
                f"not on these {len(names)} ({', '.join(list(names)[:3])}, ...) of shape {features.shape}"
            )
        return np.nan_to_num((features - self.mean) / self.scale).astype(np.float32)
