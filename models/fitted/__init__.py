"""Parts fitted after training: modules whose buffers are saved in the checkpoint."""

from medzoo.models.fitted.baselines import CohortBaselines, GrowthModel, VolumeBaselines
from medzoo.models.fitted.calibration import Calibration
from medzoo.models.fitted.comparators import Equation, Filled, Filler, Perceptron, SupportVectors, Trees
from medzoo.models.fitted.learned import LearnedProbes
from medzoo.models.fitted.nomogram import NomogramPart
from medzoo.models.fitted.part import ExactPart, FittedPart
from medzoo.models.fitted.pixels import PixelProbes, pixels_of
from medzoo.models.fitted.probes import Areas, Probes
from medzoo.models.fitted.risk import RiskModel
from medzoo.models.fitted.survival import BaselineSurvival
from medzoo.models.fitted.threshold import PatientThreshold

__all__ = [
    "Areas",
    "BaselineSurvival",
    "Calibration",
    "CohortBaselines",
    "Equation",
    "ExactPart",
    "Filled",
    "Filler",
    "FittedPart",
    "GrowthModel",
    "LearnedProbes",
    "NomogramPart",
    "PatientThreshold",
    "Perceptron",
    "PixelProbes",
    "Probes",
    "RiskModel",
    "SupportVectors",
    "Trees",
    "VolumeBaselines",
    "pixels_of",
]
