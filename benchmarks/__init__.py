"""Timings against what a user would run otherwise; every file here with a `run()` is one benchmark."""
