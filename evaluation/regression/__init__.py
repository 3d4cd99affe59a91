"""Regressions on a few predictors: fits, gaps, optimism, comparators."""
