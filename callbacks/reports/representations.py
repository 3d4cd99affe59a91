"""What either part of a code tells of the label, and what both know of each other, at the end of a test."""

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch

from medzoo.callbacks.collect import CollectPredictions, data_of
from medzoo.callbacks.output import save_figures, write_csv
from medzoo.evaluation.figures import areas_figure, correlation_figure, projection_figure
from medzoo.evaluation.measures.redundancy import redundancy
from medzoo.evaluation.scores.representations import compare_representations

__all__ = ["RepresentationReport"]


class RepresentationReport(CollectPredictions):
    """Compares the regressions on either part of a code and on both, as `TwoPartVAEModule` gives them.

    Logs `test/auc`, `test/acc` of both parts, `test/auc_<part>`, `test/acc_<part>`, and the redundancy of the
    parts (`evaluation/measures/redundancy.py`): `test/cka`, `hsic`, `correlation`, `information`, `active`. Writes
    `test_representations.csv` with paired tests against the first part, and the probabilities of every set in
    `predictions/representations.csv`. Draws areas, projections and correlations.

    Args:
        resamples: Bootstrap draws, with more than two classes.
    """

    def __init__(self, resamples: int = 1000) -> None:
        super().__init__()
        self.resamples = resamples

    def finish(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str, collected: dict[str, Any]) -> None:
        """Compare, log, write and draw."""
        if stage != "test":
            return
        names: tuple[str, ...] = pl_module.set_names  # type: ignore[assignment]
        label, first, second = collected["label"], collected["first"], collected["second"]
        probs = {name: collected["probs"][:, index] for index, name in enumerate(names)}
        rows = compare_representations(label, probs, names[0], resamples=self.resamples)
        numbers = {f"test/{measure}": value for measure, value in redundancy(first, second).items()}
        for row, suffix in zip(rows, (f"_{names[0].lower()}", f"_{names[1].lower()}", ""), strict=True):
            numbers |= {f"test/{measure}{suffix}": row[measure] for measure in ("auc", "acc")}
        pl_module.log_dict({name: torch.tensor(float(value)) for name, value in numbers.items()})
        if not trainer.is_global_zero:
            return
        run = Path(trainer.default_root_dir)
        write_csv(run / "test_representations.csv", rows)
        write_csv(run / "predictions" / "representations.csv", _table(collected["id"], label, probs))
        data = data_of(trainer)
        features = data.hcr_names or [str(index) for index in range(first.shape[1])]
        sets = {names[0]: first, names[1]: second, names[2]: np.concatenate([first, second], 1)}
        figures = {
            "areas": areas_figure(rows),
            "correlation": correlation_figure(first, second, features, names[:2]),  # type: ignore[arg-type]
            "projections": projection_figure(sets, label, data.class_names),
        }
        save_figures(trainer, figures)


def _table(ids: list[str], label: np.ndarray, probs: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """A row for each image: id, label, and each set's probability of each class as `<set>/<class index>`."""
    rows = []
    for index, name in enumerate(ids):
        row: dict[str, Any] = {"id": name, "label": int(label[index])}
        for title, prob in probs.items():
            row |= {f"{title}/{k}": f"{value:.7g}" for k, value in enumerate(prob[index])}
        rows.append(row)
    return rows
