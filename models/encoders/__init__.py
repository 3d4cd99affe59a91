"""Encoders: one modality of a patient in, one token out."""

from medzoo.models.encoders.imaging import SliceEncoder, VolumeEncoder
from medzoo.models.encoders.tables import TableEncoder
from medzoo.models.encoders.tiles import TileEncoder

__all__ = ["SliceEncoder", "TableEncoder", "TileEncoder", "VolumeEncoder"]
