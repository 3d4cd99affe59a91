"""Presents benchmarks: one row per case, one section of the page per benchmark."""
