"""When a hematoma counts as expanded: a rule on two volumes, which differs between papers."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["ExpansionRule"]


@dataclass(frozen=True)
class ExpansionRule:
    """Growth by an absolute or a relative amount, whichever is reached first.

    The usual rule is 6 mL or 33% (Brouwers et al. 2014); the revised one adds blood in the ventricles (`include_ivh`).

    Attributes:
        abs_ml: Absolute growth in mL; null omits this part of the rule.
        rel: Growth as a share of the baseline; null omits this part.
        include_ivh: Whether volumes are of blood in the tissue and in the ventricles, or in the tissue alone.
        op: Whether growth must reach a threshold (`>=`) or exceed it (`>`).

    Raises:
        ValueError: If both thresholds are null, or one is negative.
    """

    abs_ml: float | None = 6.0
    rel: float | None = 0.33
    include_ivh: bool = False
    op: Literal[">=", ">"] = ">="

    def __post_init__(self) -> None:
        given = [value for value in (self.abs_ml, self.rel) if value is not None]
        if not given or min(given) < 0:
            raise ValueError(f"abs_ml={self.abs_ml}, rel={self.rel}: give at least one threshold, and none below 0")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the masks that make a volume."""
        return ("iph", "ivh") if self.include_ivh else ("iph",)

    def threshold(self, baseline_ml: np.ndarray | float) -> np.ndarray:
        """Follow-up volumes in mL from which baseline volumes (any shape) in mL count as expanded."""
        baseline = np.asarray(baseline_ml, dtype=float)
        growth = [np.full_like(baseline, self.abs_ml)] if self.abs_ml is not None else []
        growth += [self.rel * baseline] if self.rel is not None else []
        return baseline + np.minimum.reduce(growth)

    def __call__(self, baseline_ml: np.ndarray | float, followup_ml: np.ndarray | float) -> np.ndarray:
        """Whether hematomas expanded; one that does not grow has not.

        Args:
            baseline_ml: Volumes in mL, of a shape that broadcasts with the other.
            followup_ml: Volumes in mL.

        Returns:
            Booleans.
        """
        followup = np.asarray(followup_ml, dtype=float)
        slack = 1e-9 * (1 + np.abs(followup))  # 26.6 reaches 20 + 6.6 in decimals, but not always in binary
        beyond = followup - self.threshold(baseline_ml)
        reached = beyond >= -slack if self.op == ">=" else beyond > slack
        return (followup > np.asarray(baseline_ml, dtype=float)) & reached
