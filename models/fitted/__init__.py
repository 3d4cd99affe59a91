"""What is fitted after training, as modules whose buffers travel in the checkpoint."""

from models.fitted.part import FittedPart

__all__ = ["FittedPart"]
