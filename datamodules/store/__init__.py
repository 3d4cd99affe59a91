"""Arrays that are read, resampled and checked once, and mapped from disk ever after.

An entry is named by what made it: the content of its files, the settings, and the code. It serves every rank, stage,
run and sweep with the same three, and a changed file gives a new entry.
"""

from medzoo.datamodules.store.arrays import StoredArray, Streamed
from medzoo.datamodules.store.entry import Entry, Made
from medzoo.datamodules.store.filling import Job
from medzoo.datamodules.store.rows import StoredRows
from medzoo.datamodules.store.store import Store

__all__ = ["Entry", "Job", "Made", "Store", "StoredArray", "StoredRows", "Streamed"]
