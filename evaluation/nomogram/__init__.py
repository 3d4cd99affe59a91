"""A logistic model as a nomogram: its scale, its study, and how it is read."""
