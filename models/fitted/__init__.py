"""What is fitted after training, as modules whose buffers travel in the checkpoint."""

from models.fitted.comparators import Equation, Filled, Filler, Perceptron, SupportVectors, Trees
from models.fitted.exact import ExactPart
from models.fitted.nomogram import NomogramPart
from models.fitted.part import FittedPart

__all__ = [
    "Equation",
    "ExactPart",
    "Filled",
    "Filler",
    "FittedPart",
    "NomogramPart",
    "Perceptron",
    "SupportVectors",
    "Trees",
]
