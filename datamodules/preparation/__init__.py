"""Raw head CT (DICOM or NIfTI, with masks) to the follow-up layout: what `prepare.py preparation=head_ct` runs."""

from medzoo.datamodules.preparation.head_ct import HeadCTPreparation
from medzoo.datamodules.preparation.registration import RigidRegistration
from medzoo.datamodules.preparation.skull_strip import SkullStrip

__all__ = ["HeadCTPreparation", "RigidRegistration", "SkullStrip"]
