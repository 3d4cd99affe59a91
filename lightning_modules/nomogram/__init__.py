"""Nomograms: how a module fits one between training and test, and reads it afterwards."""

from medzoo.lightning_modules.nomogram.fit import NomogramSettings
from medzoo.lightning_modules.nomogram.module import NomogramModule

__all__ = ["NomogramModule", "NomogramSettings"]
