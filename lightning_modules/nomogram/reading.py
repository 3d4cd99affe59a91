"""What all modules with a nomogram share: reading it once it is fitted."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from medzoo.evaluation.nomogram.study import SCORE
from medzoo.evaluation.scores.prevalence import checked_prevalence
from medzoo.lightning_modules.contracts import CaseData
from medzoo.lightning_modules.nomogram.fit import CaseTable, probabilities_of, refuse_gaps
from medzoo.models.fitted import NomogramPart

__all__ = ["ReadsNomogram"]


class ReadsNomogram:
    """A module whose part `nomogram`, if it has one, is fitted by `finalize`.

    Subclasses define its cases by `case_table(datamodule, *splits)` and `predicted_table(datamodule, collected)`.
    """

    nomogram: NomogramPart | None
    prevalence: float | None = None
    nomogram_notes: tuple[str, ...] = ()
    """Notes in the report on the steps before the regression."""

    @property
    def nomogram_method(self) -> Mapping[str, str]:
        """For TRIPOD+AI: `preparation` of the data, and the parts of the `model` before the regression."""
        return {"preparation": "none", "model": ""}

    def case_probabilities(self, table: CaseTable) -> dict[str, np.ndarray]:
        """(N,) by model, the nomogram first.

        Raises:
            ValueError: If a case lacks a predictor that the nomogram does not fill.
        """
        assert self.nomogram is not None
        return probabilities_of(self.nomogram, table)

    def check_cases(self, datamodule: CaseData, split: str) -> None:
        """Refuse cases that the nomogram cannot read, before anything is computed.

        Args:
            datamodule: Set up.
            split: `test` or `predict`.

        Raises:
            ValueError: If predictors are not those of the nomogram, or a value is missing that it does not fill.
        """
        cases = datamodule.cases(split) if self.nomogram is not None else None
        if cases is None or self.nomogram is None:
            return
        names = [name for name in self.nomogram.record["names"] if name != SCORE]
        if list(datamodule.predictors) != names:
            raise ValueError(f"predictors={list(datamodule.predictors)}: the nomogram has {', '.join(names)}")
        if not self.nomogram.fills_gaps:
            refuse_gaps(np.stack([cases.values[name] for name in names], axis=1) if names else None, names, cases.names)

    def set_prediction(self, prevalence: float | None = None) -> None:
        """Set the prevalence of the positive class in the population to predict for.

        Raises:
            ValueError: If it is not between 0 and 1, or there is no nomogram.
        """
        if self.nomogram is None:
            raise ValueError("prevalence: this model has no nomogram and predicts no probability; leave prevalence out")
        self.prevalence = checked_prevalence(prevalence)

    def predicted_table(self, datamodule: CaseData, collected: Mapping[str, Any]) -> CaseTable | None:
        """The predicted cases, from the outputs of `predict_step`; None if there is no table of them."""
        raise NotImplementedError
