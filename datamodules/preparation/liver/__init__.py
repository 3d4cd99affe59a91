"""Convert public liver data sets from their published form to the layouts of the datamodules."""

from medzoo.datamodules.preparation.liver.cirrmri600 import CirrMRI600CohortPreparation, CirrMRI600Preparation
from medzoo.datamodules.preparation.liver.hcc_tace_seg import HCCTACESegPreparation
from medzoo.datamodules.preparation.liver.lits17 import LiTS17Preparation
from medzoo.datamodules.preparation.liver.tcga_lihc import TCGALIHCPreparation

__all__ = [
    "CirrMRI600CohortPreparation",
    "CirrMRI600Preparation",
    "HCCTACESegPreparation",
    "LiTS17Preparation",
    "TCGALIHCPreparation",
]
