"""Regressions on a few predictors: fits, missing values, optimism, comparators."""
