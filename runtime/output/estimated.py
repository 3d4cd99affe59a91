"""What a run is estimated to need, as a table for the terminal."""

from collections.abc import Mapping

from rich.table import Table

from medzoo.runtime.training.costs.estimate import Estimate
from medzoo.runtime.training.peaks import LAPTOP, SHARE, peak_tflops

__all__ = ["cells", "notes", "table"]

CARD = "H200"


def table(found: Mapping[str, Estimate]) -> Table:
    """A column for each stage that is trained."""
    shown = Table(caption="for each device; nothing was trained")
    for head in ("", *(name or "run" for name in found)):
        shown.add_column(head, justify="left" if not head else "right")
    columns = [cells(one) for one in found.values()]
    for row in columns[0] if columns else ():
        shown.add_row(row, *(cells[row] for cells in columns))
    return shown


def notes(found: Mapping[str, Estimate]) -> list[str]:
    """What the numbers assume, and what is missing."""
    said = [
        "Operations of convolutions, matrix products and attention; a multiplication and an addition are two. Memory "
        "without the workspace of kernels and the rest of the process.",
        f"Hours: computing alone, at {SHARE:.0%} of the peak of an {CARD} in the precision of the run, and of a laptop "
        f"of {LAPTOP:g} TFLOP/s.",
    ]
    return said + [f"{name or 'run'}: {one.missing}" for name, one in found.items() if one.missing]


def cells(one: Estimate) -> dict[str, str]:
    """Numbers of a stage, with units, by what they are; `?` is unknown."""
    peak = peak_tflops(CARD, one.precision)
    assert peak is not None
    return {
        "parameters": f"{one.parameters:,}",
        "weights": f"{one.weights:.3g} GB",
        "gradients": f"{one.gradients:.3g} GB",
        "optimiser state": f"{one.optimizer:.3g} GB",
        "activations and batch": f"{one.activations:.3g} GB",
        "peak of a step": f"{one.peak:.3g} GB",
        "operations a step": f"{one.flops / 1e12:.3g} TFLOP",
        "steps": "?" if one.steps is None else f"{one.steps:,}",
        f"hours, {CARD}": _hours(one, peak),
        "hours, laptop": _hours(one, LAPTOP),
        "cohort in the store": "?" if one.store is None else f"{one.store:.3g} GB",
    }


def _hours(one: Estimate, tflops: float) -> str:
    return "?" if one.steps is None else f"{one.steps * one.flops / (SHARE * tflops * 1e12) / 3600:.3g}"
