"""Tables that a report of a prediction model needs by TRIPOD+AI (BMJ 2024;385:e078378).

Items that a program cannot know are "not provided". Check the item numbers against the published checklist before you
submit.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["MISSING", "table_one", "tripod_rows"]

MISSING = "not provided"
_HUMAN = {
    "3c": "health inequalities between groups",
    "5": "source of the data and dates",
    "6": "setting, eligibility, treatments",
    "8": "how the outcome was assessed, and whether blind to predictors",
    "14": "fairness",
    "17": "ethical approval",
    "18a": "funding",
    "18b": "conflicts of interest",
    "18c": "protocol",
    "18d": "registration",
    "19": "involvement of patients and public",
    "23b": "performance in subgroups",
    "25": "interpretation",
    "26": "limitations",
    "27": "usability: poor or missing input, who uses it, what comes next",
}


def table_one(
    values: Mapping[str, Mapping[str, np.ndarray]], positive: Mapping[str, np.ndarray], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Cases by split and class: their number, and the mean (standard deviation) and gaps of each predictor.

    Args:
        values: By split, (N,) of each predictor, NaN where missing.
        positive: By split, (N,) bool.
        classes: Names of both classes.

    Returns:
        A row for the cases and one for each predictor, a column for each class of each split.
    """
    groups = {
        f"{split}, {name}": (split, positive[split] == bool(value))
        for split in values
        for value, name in enumerate(classes)
    }
    counts = {column: str(int(rows.sum())) for column, (_, rows) in groups.items()}
    table: list[dict[str, Any]] = [{"variable": "cases (n)", **counts}]
    for name in next(iter(values.values())):
        cells = {column: _cell(values[split][name][rows]) for column, (split, rows) in groups.items()}
        table.append({"variable": name, **cells})
    return table


def tripod_rows(known: Mapping[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Rows `item`, `about`, `said` in the order of the checklist.

    Args:
        known: By item, its subject and its text.

    Returns:
        These items, and those that only a human can fill in.
    """
    items = {**{item: (about, MISSING) for item, about in _HUMAN.items()}, **known}
    ordered = sorted(items, key=lambda item: (int("".join(c for c in item if c.isdigit())), item))
    return [{"item": f"{item}.", "about": items[item][0], "said": items[item][1]} for item in ordered]


def _cell(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    gaps = f", {len(values) - len(known)} missing" if len(known) < len(values) else ""
    return f"{known.mean():.3g} ({known.std():.2g}){gaps}" if len(known) else f"{len(values)} missing"
