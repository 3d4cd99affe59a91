"""Tables of a check, in 80 columns."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from medzoo.datamodules.check.listing import Item, Listing
from medzoo.datamodules.check.reading import STATISTICS, Facts
from medzoo.datamodules.seen import SPLITS

__all__ = ["tables"]


def tables(listing: Listing, items: Sequence[Item], facts: Sequence[Facts]) -> Iterator[Table]:
    """Counts, sizes, grey values and labels.

    Args:
        listing: The content of the folder.
        items: Images that could be read.
        facts: Facts of each image.
    """
    if any(item.labels or item.split or item.mask or item.patient for item in listing.items):
        yield _counts(listing.items)
    if not facts:
        return
    yield _sizes(facts)
    yield _grey(facts)
    if any(fact.labels is not None for fact in facts):
        yield _labels(listing, facts)


def _table(first: str, *columns: str) -> Table:
    table = Table(first, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _counts(items: Sequence[Item]) -> Table:
    """Counts by class or mask and split, with patients if known."""
    splits = [split for split in (*SPLITS, "") if any(item.split == split for item in items)]
    names = [split or ("no split" if len(splits) > 1 else "images") for split in splits]
    table = _table("class" if items[0].labels else "", *names, *["all"] * (len(splits) > 1))

    def row(name: str, counted: Counter[str], total: int) -> None:
        table.add_row(escape(name), *(f"{counted[split]:,}" for split in splits), *[f"{total:,}"] * (len(splits) > 1))

    classes = sorted({label for item in items for label in item.labels or ()})
    for label in classes:
        chosen = Counter(item.split for item in items if label in (item.labels or ()))
        row(label, chosen, chosen.total())
    if any(item.mask for item in items):
        masked = Counter(item.split for item in items if item.mask)
        row("with a mask", masked, masked.total())
    row("all", Counter(item.split for item in items), len(items))
    if any(item.patient for item in items):
        of = {(item.split, item.patient) for item in items if item.patient}
        row("patients", Counter(split for split, _ in of), len({patient for _, patient in of}))
    return table


def _sizes(facts: Sequence[Facts]) -> Table:
    """Sizes and spacings; `differ` counts images without the most common one."""
    table = _table("size", "min", "median", "max", "differ")
    for axes in (2, 3):
        chosen = [fact for fact in facts if len(fact.size) == axes]
        names = ("height", "width") if axes == 2 else ("slices (z)", "rows (y)", "columns (x)")
        for axis, name in enumerate(names if chosen else ()):
            _spread(table, name, [fact.size[axis] for fact in chosen])
    spaced = [fact.spacing for fact in facts if fact.spacing]
    for axis, name in enumerate("zyx" if spaced else ""):
        _spread(table, f"mm of a voxel ({name})", [round(float(spacing[axis]), 3) for spacing in spaced])
    return table


def _spread(table: Table, name: str, values: Sequence[float]) -> None:
    differ = len(values) - Counter(values).most_common(1)[0][1]
    table.add_row(name, *(_number(f(values)) for f in (min, np.median, max)), f"{differ:,}")


def _grey(facts: Sequence[Facts]) -> Table:
    """Lowest, median and highest value of each statistic over all images."""
    table = _table("grey values", "of images", *STATISTICS)
    for channel in dict.fromkeys(name for fact in facts for name in fact.grey):
        values = np.array([fact.grey[channel] for fact in facts if channel in fact.grey])
        for name, of in (("lowest", np.min), ("median", np.median), ("highest", np.max)):
            shown = map(_number, of(values, axis=0))
            table.add_row(escape(channel) if name == "lowest" else "", name, *shown)
    return table


def _labels(listing: Listing, facts: Sequence[Facts]) -> Table:
    """Cases that have each label, its share of all voxels, and mL where voxels have a volume."""
    masked = [(fact.labels, fact.voxel_ml) for fact in facts if fact.labels is not None]
    in_ml = all(ml for _, ml in masked)
    known = dict(listing.values)
    found = {value for counts, _ in masked for value in np.flatnonzero(counts).tolist()}
    known |= {f"{value} (unnamed)": (value,) for value in sorted(found - {v for each in known.values() for v in each})}
    table = _table("label", "values", "cases", "share", *["mL min", "median", "max"] * in_ml)
    total = sum(int(counts.sum()) for counts, _ in masked)
    for name, values in known.items():
        voxels = [(sum(int(counts[value]) for value in values if value < len(counts)), ml) for counts, ml in masked]
        there = [count * ml for count, ml in voxels if count]
        share = sum(count for count, _ in voxels) / max(total, 1)
        volumes = [_number(f(there)) if there else "" for f in (min, np.median, max)] * in_ml
        table.add_row(escape(name), ", ".join(map(str, values)), f"{len(there):,}", f"{share:.2%}", *volumes)
    return table


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.4g}"
