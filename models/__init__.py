"""Networks and losses in plain PyTorch: nothing here knows of Lightning, Hydra or a data set."""

from models.classification import monai_network, timm_network
from models.losses import ClassificationLoss

__all__ = ["ClassificationLoss", "monai_network", "timm_network"]
