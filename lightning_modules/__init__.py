"""LightningModules, one for each training objective: what a step computes and logs."""

from lightning_modules.classification import ClassificationModule

__all__ = ["ClassificationModule"]
