"""Encoders: one modality of a patient in, one token out."""

from models.encoders.imaging import SliceEncoder, VolumeEncoder
from models.encoders.tables import TableEncoder
from models.encoders.tiles import TileEncoder

__all__ = ["SliceEncoder", "TableEncoder", "TileEncoder", "VolumeEncoder"]
