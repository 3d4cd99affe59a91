"""A logistic model as a nomogram: its axes, its development and test, and its values for a case."""
