"""What all modules with a nomogram share once it is fitted."""

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
    """A module whose part `nomogram` was fitted by `finalize`; none where there is no nomogram.

    Subclasses say of which cases: `case_table(datamodule, *splits)` and `predicted_table(datamodule, collected)`.
    """

    nomogram: NomogramPart | None
    prevalence: float | None = None
    nomogram_notes: tuple[str, ...] = ()
    """What a reader of the report has to know of what came before the regression."""

    @property
    def nomogram_method(self) -> Mapping[str, str]:
        """For TRIPOD+AI: `preparation` of the data, and what of the `model` came before the regression."""
        return {"preparation": "none", "model": ""}

    def case_probabilities(self, table: CaseTable) -> dict[str, np.ndarray]:
        """(N,) by model, the nomogram first.

        Raises:
            ValueError: If a case lacks a predictor that the nomogram does not fill.
        """
        assert self.nomogram is not None
        return probabilities_of(self.nomogram, table)

    def check_cases(self, datamodule: CaseData, split: str) -> None:
        """Tell what the nomogram cannot read before anything is computed.

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
        """Say how frequent the positive class is where predictions are for.

        Raises:
            ValueError: If it is no share, or there is no nomogram.
        """
        if self.nomogram is None:
            raise ValueError("prevalence: this model has no nomogram, so it gives no probability")
        self.prevalence = checked_prevalence(prevalence)

    def predicted_table(self, datamodule: CaseData, collected: Mapping[str, Any]) -> CaseTable | None:
        """The cases that were predicted, made of what `predict_step` returned; none where there is no table of them."""
        raise NotImplementedError
