"""The test of a fitted nomogram: it is read and judged here, and nothing in it changes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import lightning as L
import numpy as np
import torch

from medzoo.callbacks.collect import Batch
from medzoo.callbacks.nomogram.figures import (
    HeatMap,
    Traversal,
    heat_map_figure,
    heat_maps,
    nomogram_figures,
    traversal_figure,
    traverse,
)
from medzoo.callbacks.nomogram.study import Cases, Data, Module, Study
from medzoo.callbacks.nomogram.tables import calculator, nomogram_tables
from medzoo.callbacks.nomogram.tripod import tripod_of
from medzoo.callbacks.output import Report
from medzoo.callbacks.reports.base import TestReport
from medzoo.evaluation.nomogram.reading import Reading, read_nomogram
from medzoo.evaluation.nomogram.study import judge
from medzoo.evaluation.scores.diagnostic import delong

__all__ = ["Judged", "NomogramReport"]


@dataclass(frozen=True)
class Judged:
    """A study with the module's notes and method; with images, the traversal of their score and heat maps."""

    study: Study
    notes: Sequence[str]
    method: Mapping[str, str]
    traversal: Traversal | None = None
    heat_maps: Sequence[HeatMap] = ()


class NomogramReport(TestReport[Module, Data, Judged]):
    """Reports how the nomogram was developed, and judges it on the test cases.

    The nomogram is that of the checkpoint, whatever cohort is tested. For the test cases it logs `test/auc` with
    DeLong's interval, rates and net benefit at the threshold chosen on development cases, Brier score, calibration
    slope and intercept; with an image score `test/clinical_auc`, `test/auc_gain` with its p, `test/score_auc`; for
    phantoms `test/ceiling_auc`. For the development cases it logs `development/auc` and others, and the same with
    `_corrected` for optimism. Writes `test_*.csv`, `nomogram.html`, `predictions/cases.csv`, and
    `figures/nomogram.{png,svg}` among others. Without test cases, only the development is reported.

    Args:
        explained: How many test images are drawn with a heat map.
        layer: Layer of the module that Grad-CAM weights by its effect on the score.
    """

    def __init__(self, explained: int = 8, layer: str = "net.down.0") -> None:
        super().__init__()
        self.explained, self.layer, self._fitted_here = explained, layer, False

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remember that this run made the nomogram."""
        self._fitted_here = True

    def keep(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Keep nothing: the module makes the table of cases at the end."""

    @torch.no_grad()
    def collected(self, module: Module, data: Data) -> Judged:
        """Read the nomogram and judge it on the test cases; explain the score where there are images."""
        reading, context = read_nomogram(module.nomogram), module.trainer.precision_plugin.forward_context
        with context():
            table = module.case_table(data, "test")
        probabilities = module.case_probabilities(table) if len(table.names) else {}
        study = _judged(reading, table, probabilities, self._fitted_here)
        traversal = traverse(module) if len(module.nomogram.latent) else None
        with torch.enable_grad(), context():
            maps = heat_maps(module, data, study, self.explained, self.layer)
        return Judged(study, module.nomogram_notes, module.nomogram_method, traversal, maps)

    def report(self, collected: Judged, data: Data) -> Report:
        """Metrics of the test and of the development, tables, figures and the calculator."""
        study = collected.study
        tables = nomogram_tables(study, collected.notes)
        tables["test_6_TRIPOD_AI.csv"] = tripod_of(study, bool(data.phantom), collected.method)
        figures = nomogram_figures(study)
        if collected.traversal:
            figures["score_traversal"] = traversal_figure(collected.traversal)
        if collected.heat_maps:
            figures["gradcam"] = heat_map_figure(collected.heat_maps, study.reading.record["classes"])
        return Report(
            metrics={f"test/{name}": value for name, value in study.numbers.items()} | _developed(study),
            tables=tables,
            figures=figures,
            vectors=["nomogram"],
            pages={"nomogram.html": calculator(study.reading)},
        )


def _judged(reading: Reading, table: Cases, probabilities: Mapping[str, np.ndarray], own: bool) -> Study:
    """The study, without test cases where there are none."""
    if not probabilities:
        return Study(reading, None, {}, {}, own)
    numbers = judge(table.positive, probabilities, reading.thresholds)
    if table.truth is not None:  # of phantoms: a better result is luck
        numbers["ceiling_auc"] = delong(table.positive, table.truth)["auc"]
    return Study(reading, table, probabilities, numbers, own)


def _developed(study: Study) -> dict[str, float]:
    """Figures of the development, apparent and corrected for optimism."""
    found = {}
    for row in study.reading.record["optimism"]:
        found[f"development/{row['measure']}"] = row["apparent"]
        found[f"development/{row['measure']}_corrected"] = row["corrected"]
    return found
