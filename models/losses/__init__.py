"""Losses, each tested against a slow or closed-form reference."""

from models.losses.classification import ClassificationLoss

__all__ = ["ClassificationLoss"]
