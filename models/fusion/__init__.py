"""Fusion of the modalities of a patient, any of which may be missing."""

from medzoo.models.fusion.cross import CrossFusion
from medzoo.models.fusion.decoders import TableDecoder, VolumeDecoder
from medzoo.models.fusion.early import EarlyFusion
from medzoo.models.fusion.evidence import Shrinkage, summed_evidence
from medzoo.models.fusion.fused import Fused, drop_modalities, rows_of
from medzoo.models.fusion.late import LateFusion
from medzoo.models.fusion.misa import MISAFusion
from medzoo.models.fusion.network import FusionNetwork

__all__ = [
    "CrossFusion",
    "EarlyFusion",
    "Fused",
    "FusionNetwork",
    "LateFusion",
    "MISAFusion",
    "Shrinkage",
    "TableDecoder",
    "VolumeDecoder",
    "drop_modalities",
    "rows_of",
    "summed_evidence",
]
