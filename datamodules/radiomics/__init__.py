"""Hand-crafted radiomics of whole data sets, with the names and definitions of pyradiomics, or the IBSI definitions."""

from medzoo.datamodules.radiomics.cache import extract_cached
from medzoo.datamodules.radiomics.choice import choose_mask
from medzoo.datamodules.radiomics.colour import to_grey
from medzoo.datamodules.radiomics.extraction import extract, extract_one, feature_names
from medzoo.datamodules.radiomics.scaler import FeatureScaler
from medzoo.datamodules.radiomics.settings import Flag, RadiomicsSettings

__all__ = [
    "FeatureScaler",
    "Flag",
    "RadiomicsSettings",
    "choose_mask",
    "extract",
    "extract_cached",
    "extract_one",
    "feature_names",
    "to_grey",
]
