"""Timings against what a user would run otherwise, by what is timed; every file with a `run()` is one benchmark."""

from pathlib import Path

__all__ = ["ROOT"]

ROOT = Path(__file__).resolve().parents[1]
"""The checkout, in which verbs and examples run."""
