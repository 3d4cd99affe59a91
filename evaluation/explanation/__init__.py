"""Explanations: the evidence for a class, and what has to change for a lower score."""
