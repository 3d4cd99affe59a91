"""Rows of `benchmarks/data/loading.py` for random patches of volumes with label maps."""

from benchmarks.data.patches.rows import rows

__all__ = ["rows"]
