"""Prepare raw head CT (DICOM or NIfTI, with masks) in the follow-up layout, for `prepare.py preparation=head_ct`."""

from medzoo.datamodules.preparation.head_ct import HeadCTPreparation
from medzoo.datamodules.preparation.registration import RigidRegistration
from medzoo.datamodules.preparation.skull_strip import SkullStrip

__all__ = ["HeadCTPreparation", "RigidRegistration", "SkullStrip"]
