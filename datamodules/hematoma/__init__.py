"""From the scans of a cohort to slices of its bleeds, and whether they expand."""
