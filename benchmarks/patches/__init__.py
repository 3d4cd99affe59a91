"""Rows of `benchmarks/loading.py` for random patches of volumes with label maps."""

from benchmarks.patches.rows import rows

__all__ = ["rows"]
