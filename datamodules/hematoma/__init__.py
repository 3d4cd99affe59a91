"""Slices of bleeds cut from the scans of a cohort, labelled by expansion."""
