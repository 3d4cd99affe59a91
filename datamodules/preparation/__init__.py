"""Raw head CT (DICOM or NIfTI, with masks) to the follow-up layout: what `prepare.py preparation=head_ct` runs."""

from datamodules.preparation.head_ct import HeadCTPreparation
from datamodules.preparation.registration import RigidRegistration
from datamodules.preparation.skull_strip import SkullStrip

__all__ = ["HeadCTPreparation", "RigidRegistration", "SkullStrip"]
