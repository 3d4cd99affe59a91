"""Image classifiers, by name, from the two libraries that keep them best."""

from medzoo.models.classification.monai_networks import monai_network
from medzoo.models.classification.timm_networks import timm_network

__all__ = ["monai_network", "timm_network"]
