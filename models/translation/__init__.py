"""Networks that make an image of one kind look like one of another."""

from models.translation.generator import ResNetGenerator
from models.translation.pool import ImagePool

__all__ = ["ImagePool", "ResNetGenerator"]
