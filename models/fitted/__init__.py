"""What is fitted after training, as modules whose buffers travel in the checkpoint."""

from models.fitted.baselines import CohortBaselines, VolumeBaselines
from models.fitted.calibration import Calibration
from models.fitted.comparators import Equation, Filled, Filler, Perceptron, SupportVectors, Trees
from models.fitted.exact import ExactPart
from models.fitted.nomogram import NomogramPart
from models.fitted.part import FittedPart
from models.fitted.probes import Probes
from models.fitted.risk import RiskModel
from models.fitted.threshold import PatientThreshold

__all__ = [
    "Calibration",
    "CohortBaselines",
    "Equation",
    "ExactPart",
    "Filled",
    "Filler",
    "FittedPart",
    "NomogramPart",
    "PatientThreshold",
    "Perceptron",
    "Probes",
    "RiskModel",
    "SupportVectors",
    "Trees",
    "VolumeBaselines",
]
