"""What the values of a batch mean, kept with a model so that other tables are read as it knows them; marks too."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from datamodules.liver.columns import Columns
from datamodules.liver.records import Patient
from datamodules.seen import mark, mark_file, matched

__all__ = ["inputs_of", "marks_of", "match_inputs"]

_TELLING = 5
"""Numbers that hardly two patients have in common."""


def inputs_of(columns: Columns, modalities: Sequence[str]) -> dict[str, Any]:
    """Names and the meaning of words, as plain data."""
    return {
        "modalities": list(modalities),
        "columns": list(columns.names),
        "words": {name: _words(allowed) for name, allowed in columns.allowed.items()},
        "logarithm": list(columns.logarithm),
    }


def match_inputs(columns: Columns, modalities: Sequence[str], known: Mapping[str, Any]) -> Columns:
    """Columns in the order of a model.

    Args:
        columns: Of the data.
        modalities: That batches of them hold.
        known: From `inputs_of`, of the training.

    Raises:
        ValueError: If columns or modalities are others, or words and logarithms mean something else.
    """
    matched(modalities, known["modalities"], "modalities")
    if "clinical" not in modalities:
        return columns
    order = matched(columns.names, known["columns"], "clinical columns")
    here = {known["columns"][place]: name for place, name in zip(order, columns.names, strict=True)}
    for name, words in known["words"].items():
        logarithm = name in known["logarithm"], here[name] in columns.logarithm
        if words != _words(columns.allowed[here[name]]) or logarithm[0] != logarithm[1]:
            meant = f"words count as {words}" if words else "it is a number"
            meant += f", and its logarithm {'is' if logarithm[0] else 'is not'} taken"
            raise ValueError(f"clinical.{here[name]} means something else than in the training, where {meant}")
    return replace(columns, allowed={here[name]: columns.allowed[here[name]] for name in known["columns"]})


def marks_of(patient: Patient) -> list[int]:
    """Of a patient's images, tiles, expression and findings, of which few could be another's too."""
    marks = [mark_file(file) for name, file in patient.volumes.items() if name != "liver"]
    if patient.tiles:
        marks.append(mark(str([mark_file(file) for file in patient.tiles])))
    if patient.genes is not None and len(patient.genes) >= _TELLING:
        marks.append(mark(patient.genes))
    if np.isfinite(patient.clinical).sum() >= _TELLING:
        marks.append(mark(patient.clinical))
    return marks


def _words(allowed: Sequence[float] | Mapping[str, float]) -> dict[str, float] | None:
    """What the words of a column count as; none of a column of numbers."""
    return {str(key): float(value) for key, value in allowed.items()} if isinstance(allowed, Mapping) else None
