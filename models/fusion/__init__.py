"""Fusion of the modalities of a patient, any of which may be missing."""

from models.fusion.cross import CrossFusion
from models.fusion.decoders import TableDecoder, VolumeDecoder
from models.fusion.early import EarlyFusion
from models.fusion.fused import Fused, drop_modalities
from models.fusion.late import LateFusion
from models.fusion.misa import MISAFusion
from models.fusion.network import FusionNetwork

__all__ = [
    "CrossFusion",
    "EarlyFusion",
    "Fused",
    "FusionNetwork",
    "LateFusion",
    "MISAFusion",
    "TableDecoder",
    "VolumeDecoder",
    "drop_modalities",
]
