"""The report of a nomogram."""
