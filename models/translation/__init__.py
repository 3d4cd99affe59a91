"""Networks that make an image of one kind look like one of another."""

from medzoo.models.translation.generator import ResNetGenerator
from medzoo.models.translation.pool import ImagePool

__all__ = ["ImagePool", "ResNetGenerator"]
