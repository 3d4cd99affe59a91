"""Which of many test images are drawn."""

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["check_count", "every_nth"]

Item = TypeVar("Item")


def check_count(images: int) -> int:
    """The same, or a ValueError of one line if it is not positive."""
    if images < 1:
        raise ValueError(f"images={images}: draw at least one")
    return images


def every_nth(items: Sequence[Item], count: int) -> Sequence[Item]:
    """About `count` of the items, evenly spread, so that all of the split is seen."""
    return items[:: max(1, len(items) // count)][:count]
