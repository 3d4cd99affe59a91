"""Writes predictions as one CSV row for each image, into the run folder: they never leave the machine."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import lightning as L

from medzoo.callbacks.collect import Collect, Predictions
from medzoo.callbacks.output import Row, write_csv
from medzoo.callbacks.writers.csv import replace_csv

__all__ = ["PredictionWriter"]


class Data(Protocol):
    """Members of the datamodule that are used."""

    class_names: Sequence[str]
    task: str


class PredictionWriter(Collect[L.LightningModule, Data]):
    """Writes a CSV with columns id, predicted, one probability for each class, and label if known.

    Args:
        output: Write here instead of `predictions/test.csv` after a test, `predictions.csv` after a prediction.
    """

    def __init__(self, output: str | Path | None = None) -> None:
        super().__init__()
        self.output = output
        self.written: Path | None = None

    def finish(self, trainer: L.Trainer, module: L.LightningModule, data: Data, stage: str) -> None:
        """Write the file on the first rank."""
        collected = self.predictions()
        if not trainer.is_global_zero:
            return
        default = "predictions.csv" if stage == "predict" else f"predictions/{stage}.csv"
        self.written = Path(self.output or Path(trainer.default_root_dir) / default)
        rows = prediction_rows(collected, data.class_names, multilabel=data.task == "multilabel")
        (replace_csv if stage == "predict" else write_csv)(self.written, rows)


def prediction_rows(collected: Predictions, class_names: Sequence[str], *, multilabel: bool = False) -> Sequence[Row]:
    """One row for each image, ready for a table.

    Args:
        collected: `id`, `prob` (N, K) and maybe `label`.
        class_names: K names.
        multilabel: Whether every class above 0.5 is predicted, rather than the most probable one.

    Returns:
        Rows with `id`, `predicted`, a column `p_<class>` for each class and, where labels are known, `label`.
    """

    def named(flags: Iterable[bool]) -> str:
        return "; ".join(name for name, flag in zip(class_names, flags, strict=True) if flag)

    rows = []
    for index, name in enumerate(collected["id"]):
        prob = collected["prob"][index]
        row = {"id": name, "predicted": named(prob > 0.5) if multilabel else class_names[int(prob.argmax())]}
        row |= {f"p_{name}": f"{value:.6f}" for name, value in zip(class_names, prob, strict=True)}
        if "label" in collected:
            label = collected["label"][index]
            row["label"] = named(label > 0.5) if multilabel else class_names[int(label)]
        rows.append(row)
    return rows
