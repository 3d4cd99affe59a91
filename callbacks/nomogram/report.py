"""What a fitted nomogram is worth on test cases: it is read and judged here, and nothing in it changes."""

from pathlib import Path
from typing import Any

import lightning as L
import torch

from medzoo.callbacks.collect import data_of
from medzoo.callbacks.nomogram.figures import heat_maps, nomogram_figures, score_traversal
from medzoo.callbacks.nomogram.study import Study
from medzoo.callbacks.nomogram.tables import write_tables
from medzoo.callbacks.nomogram.tripod import tripod_of
from medzoo.callbacks.output import save_figures, write_csv
from medzoo.evaluation.nomogram.reading import read_nomogram
from medzoo.evaluation.nomogram.study import judge
from medzoo.evaluation.scores.diagnostic import delong

__all__ = ["NomogramReport"]


class NomogramReport(L.Callback):
    """At the end of the test, reports the development of the nomogram and judges it on the test cases.

    The nomogram is that of the checkpoint, whatever cohort is tested. Logs of the test cases `test/auc` with DeLong's
    interval, rates and net benefit at the threshold that development cases chose, Brier score, calibration slope and
    intercept; with an image score `test/clinical_auc`, `test/auc_gain` with its p, `test/score_auc`; of phantoms
    `test/ceiling_auc`. Beside them, of the development cases, `development/auc` and others, with `_corrected` for
    optimism. Writes `test_*.csv`, `nomogram.html`, `predictions/cases.csv`, and `figures/nomogram.{png,svg}` among
    others. Where no case is left for a test, the figures of the development are the result.

    Args:
        explained: Test images drawn with a heat map, where there are images.
        layer: Of the module, whose map is weighted by its effect on the score.
    """

    def __init__(self, explained: int = 8, layer: str = "net.down.0") -> None:
        self.explained, self.layer, self._fitted_here = explained, layer, False

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember that this run made the nomogram."""
        self._fitted_here = True

    @torch.no_grad()
    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Read, judge and log; the first rank writes and draws."""
        datamodule = data_of(trainer)
        reading = read_nomogram(pl_module.nomogram)
        with trainer.precision_plugin.forward_context():
            table = pl_module.case_table(datamodule, "test")
        probabilities, numbers = {}, {}
        if len(table.names):
            probabilities = pl_module.case_probabilities(table)
            numbers = judge(table.positive, probabilities, reading.thresholds)
            if table.truth is not None:  # of phantoms: nobody can do better but by luck
                numbers["ceiling_auc"] = delong(table.positive, table.truth)["auc"]
        study = Study(reading, table if numbers else None, probabilities, numbers, self._fitted_here)
        metrics = {f"test/{name}": value for name, value in numbers.items()} | _developed(study)
        pl_module.log_dict({name: torch.tensor(float(value)) for name, value in metrics.items()})
        if trainer.is_global_zero:
            self._report(trainer, pl_module, study)

    def _report(self, trainer: L.Trainer, pl_module: Any, study: Study) -> None:
        datamodule = data_of(trainer)
        run = Path(trainer.default_root_dir)
        write_tables(run, study, pl_module.nomogram_notes)
        write_csv(run / "test_6_TRIPOD_AI.csv", tripod_of(study, datamodule, pl_module.nomogram_method))
        figures = nomogram_figures(study)
        if len(pl_module.nomogram.latent):
            figures["score_traversal"] = score_traversal(pl_module)
        if study.table and study.table.images:
            with torch.enable_grad(), trainer.precision_plugin.forward_context():
                figures["gradcam"] = heat_maps(pl_module, datamodule, study, self.explained, self.layer)
        save_figures(trainer, figures)
        figures["nomogram"].savefig(run / "figures" / "nomogram.svg")


def _developed(study: Study) -> dict[str, float]:
    """Figures of the development, apparent and corrected for optimism."""
    found = {}
    for row in study.reading.record["optimism"]:
        found[f"development/{row['measure']}"] = row["apparent"]
        found[f"development/{row['measure']}_corrected"] = row["corrected"]
    return found
