"""Meaning of label values in nnU-Net's `dataset.json`: classes or regions, and voxels that are not annotated.

    "labels": {"background": 0, "edema": 1, "core": 2, "ignore": 3}              classes; 3 is not annotated
    "labels": {"background": 0, "whole": [1, 2], "core": 2}, "regions_class_order": [1, 2]
                                                                  regions: they overlap, each is learnt on its own

After documentation/ignore_label.md and region_based_training.md of github.com/MIC-DKFZ/nnUNet (Apache-2.0).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Labels", "read_labels"]


@dataclass(frozen=True)
class Labels:
    """Meaning of label values."""

    names: tuple[str, ...]  # names of the background and the classes or regions
    # Label values of each region; empty where each class is one label value, in order
    regions: tuple[tuple[int, ...], ...] = ()
    # For each region the label value that it is written as; later regions are written over earlier ones
    order: tuple[int, ...] = ()
    ignore: int | None = None  # label value of voxels that are not annotated, the highest; None if all are

    @property
    def count(self) -> int:
        """Number of label values: a mask holds 0 to `count - 1`."""
        known = 1 + max(map(max, self.regions)) if self.regions else len(self.names)
        return known + (self.ignore is not None)


def read_labels(description: dict[str, Any], file: Path) -> Labels:
    """Read `labels` and `regions_class_order`; in nnU-Net's old layout the keys are the label values.

    Raises:
        ValueError: If values are not consecutive, or regions lack their order.
    """
    labels = description.get("labels") or {}
    wrong = ValueError(
        f"{file}: labels must be background 0 and classes 1, 2, ..., or regions such as [1, 2], and ignore may be the "
        f"highest; it says {labels}"
    )
    try:
        named = {str(name): value for name, value in labels.items() if not str(name).isdigit()}
        named = named or {str(name): value for value, name in labels.items()}
        values = {name: tuple(map(int, value if isinstance(value, list) else [value])) for name, value in named.items()}
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise wrong from error
    learnt = {name: value for name, value in values.items() if name.strip().casefold() != "ignore"}
    ignored = [value for name, value in values.items() if name not in learnt]
    known = sorted({each for value in learnt.values() for each in value})
    if known != list(range(len(known))) or len(known) < 2 or (0,) not in learnt.values():
        raise wrong
    if ignored and ignored != [(len(known),)]:
        raise wrong
    ignore = len(known) if ignored else None
    if all(len(value) == 1 for value in learnt.values()):
        if len(learnt) != len(known):
            raise wrong
        by_value = {value[0]: name for name, value in learnt.items()}
        return Labels(tuple(by_value[value] for value in known), ignore=ignore)
    return _regions(learnt, description.get("regions_class_order"), ignore, file)


def _regions(learnt: dict[str, tuple[int, ...]], order: object, ignore: int | None, file: Path) -> Labels:
    background = next(name for name, value in learnt.items() if value == (0,))
    regions = {name: value for name, value in learnt.items() if name != background}
    if any(0 in value for value in regions.values()):
        raise ValueError(f"{file}: label 0 is the background and cannot be in a region; remove it there")
    values = {each for value in regions.values() for each in value}
    if not isinstance(order, list) or len(order) != len(regions) or not values.issuperset(order):
        raise ValueError(
            f"{file}: labels are regions ({', '.join(regions)}), so regions_class_order must be a list with the label "
            f"value that each is written as, in this order; it is {order}"
        )
    return Labels((background, *regions), tuple(regions.values()), tuple(map(int, order)), ignore)
