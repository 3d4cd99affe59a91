"""The base of reports: collect on every rank, report on the first, log and write in one place."""

from typing import Generic, TypeVar, cast

import lightning as L

from medzoo.callbacks.collect import Collect, Data, Module
from medzoo.callbacks.output import Report, write_report

__all__ = ["TestReport"]

Collected = TypeVar("Collected")


class TestReport(Collect[Module, Data], Generic[Module, Data, Collected]):
    """At the end of a test, turns what was collected into metrics, tables and figures.

    A subclass says what it keeps of a batch (`keep`, `reset`), what it asks of the module and of files (`collected`),
    and what it makes of that (`report`). `report` is a pure function, so it can be tested without a Trainer.
    """

    __test__ = False  # its name begins as those of pytest's classes do
    stages = ("test",)

    def collected(self, module: Module, data: Data) -> Collected:
        """Everything that the report needs, of all ranks; runs on every rank, without gradients."""
        raise NotImplementedError

    def report(self, collected: Collected, data: Data) -> Report:
        """Metrics, tables and figures; runs on the first rank, and reads no files."""
        raise NotImplementedError

    def finish(self, trainer: L.Trainer, module: Module, data: Data, stage: str) -> None:
        """Report, log on every rank, and write on the first; an error of the first is raised on every rank."""
        collected, report, error = self.collected(module, data), Report(), None
        if trainer.is_global_zero:
            try:
                report = self.report(collected, data)
            except Exception as failed:  # the other ranks wait for the metrics
                error = failed
        metrics = {name: float(value) for name, value in report.metrics.items()}
        failed_elsewhere, metrics = trainer.strategy.broadcast((repr(error) if error else "", metrics))
        if failed_elsewhere:
            raise error or RuntimeError(f"the report failed on the first rank: {failed_elsewhere}")
        cast(L.LightningModule, module).log_dict(metrics)
        if trainer.is_global_zero:
            write_report(trainer, report)
