"""Baseline and follow-up head CT with bleed masks and clinical variables: the follow-up layout, read and served."""
