"""A nomogram of a table without images: nothing is trained, everything is fitted between training and test."""

from collections.abc import Mapping
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn

from medzoo.lightning_modules.contracts import Batch, CaseData, Cases
from medzoo.lightning_modules.nomogram.fit import CaseTable, NomogramSettings, case_folds, fit_nomogram
from medzoo.lightning_modules.nomogram.reading import ReadsNomogram
from medzoo.models.fitted import NomogramPart

__all__ = ["NomogramModule"]


class NomogramModule(L.LightningModule, ReadsNomogram):
    """Logistic regression of the predictors of a table, its nomogram and its comparators.

    Args:
        nomogram: How it is fitted.
    """

    def __init__(self, nomogram: NomogramSettings | None = None) -> None:
        super().__init__()
        self.settings = nomogram or NomogramSettings()
        self.nomogram: NomogramPart = NomogramPart()
        self.anchor = nn.Parameter(torch.zeros(1))  # trainers of several processes refuse a module without one

    @property
    def metric_names(self) -> list[str]:
        """What a sweep may compare: apparent and optimism-corrected performance in development."""
        names = ("auc", "brier", "calibration_slope", "calibration_intercept")
        return [f"development/{name}{end}" for name in names for end in ("", "_corrected")]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """An optimiser that changes nothing."""
        return torch.optim.SGD([self.anchor], lr=0.0, momentum=0.9)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """0, since nothing is trained; `finalize` fits."""
        return self.anchor.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: validation cases are development cases, like those of training."""

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """The cases; the report evaluates them together."""
        return batch

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """`id`, predictors `x` (B, K) and, once the nomogram is fitted, `probability` (B,)."""
        x: Tensor = batch["x"]
        prediction = {"id": batch["id"], "x": x}
        if not bool(self.nomogram.fitted):
            return prediction
        table = CaseTable(batch["id"], None, [], x.cpu().numpy(), {}, {})
        return {**prediction, "probability": next(iter(self.case_probabilities(table).values()))}

    def finalize(self, datamodule: CaseData) -> None:
        """Fit the nomogram to the cases of training and validation.

        Args:
            datamodule: With `cases`, such as `TableDataModule`.

        Raises:
            ValueError: If no regression can be fitted to these cases.
        """
        table = self.case_table(datamodule, "train", "val")
        assert table.positive is not None
        fold = case_folds(table.positive, np.array(table.names), self.settings)
        fit_nomogram(self.nomogram, self.settings, table, fold, datamodule)

    def case_table(self, datamodule: CaseData, *splits: str) -> CaseTable:
        """The cases of some splits."""
        return _table(datamodule, datamodule.cases(*splits))

    def predicted_table(self, datamodule: CaseData, collected: Mapping[str, Any]) -> CaseTable:
        """The cases that were predicted."""
        return _table(datamodule, datamodule.cases("predict"))


def _table(datamodule: CaseData, cases: Cases | None) -> CaseTable:
    assert cases is not None
    x = np.column_stack([cases.values[name] for name in datamodule.predictors])
    others = {name: cases.values[name] for name in datamodule.candidates if name in cases.values}
    return CaseTable(cases.names, cases.positive, cases.split, x, others, cases.readers, cases.probability)
