"""Networks and losses in plain PyTorch: nothing here knows of Lightning, Hydra or a data set."""

from medzoo.models.autoencoder import MultiHeadAutoencoderKL
from medzoo.models.classification import monai_network, timm_network
from medzoo.models.diffusion import (
    DDIM,
    DDPM,
    ConditionalUNet,
    DiffusionUKAN,
    DPMSolverPP2M,
    cosine_schedule,
    linear_schedule,
    sigmoid_schedule,
)
from medzoo.models.encoders import SliceEncoder, TableEncoder, TileEncoder, VolumeEncoder
from medzoo.models.followup import FollowupDiffusion
from medzoo.models.fusion import (
    CrossFusion,
    EarlyFusion,
    FusionNetwork,
    LateFusion,
    MISAFusion,
    TableDecoder,
    VolumeDecoder,
)
from medzoo.models.losses import (
    CLUB,
    ClassificationLoss,
    ContrastiveAlignment,
    CoxLoss,
    DeepSupervisionDiceCELoss,
    DensityRatio,
    HemorrhageAutoencoderLoss,
    PatchAdversarialTerm,
    PerceptualTerm,
)
from medzoo.models.radiomics_vae import RadiomicsVAE, SalientVAE
from medzoo.models.residual_vae import ImageVAELoss, ResidualVAE
from medzoo.models.segmentation import UNETRPP, ChannelBranches, GenesisUNet, NNFormer, PlainUNet, UMamba, UNetEncoder
from medzoo.models.translation import ResNetGenerator

__all__ = [
    "CLUB",
    "DDIM",
    "DDPM",
    "UNETRPP",
    "ChannelBranches",
    "ClassificationLoss",
    "ConditionalUNet",
    "ContrastiveAlignment",
    "CoxLoss",
    "CrossFusion",
    "DPMSolverPP2M",
    "DeepSupervisionDiceCELoss",
    "DensityRatio",
    "DiffusionUKAN",
    "EarlyFusion",
    "FollowupDiffusion",
    "FusionNetwork",
    "GenesisUNet",
    "HemorrhageAutoencoderLoss",
    "ImageVAELoss",
    "LateFusion",
    "MISAFusion",
    "MultiHeadAutoencoderKL",
    "NNFormer",
    "PatchAdversarialTerm",
    "PerceptualTerm",
    "PlainUNet",
    "RadiomicsVAE",
    "ResNetGenerator",
    "ResidualVAE",
    "SalientVAE",
    "SliceEncoder",
    "TableDecoder",
    "TableEncoder",
    "TileEncoder",
    "UMamba",
    "UNetEncoder",
    "VolumeDecoder",
    "VolumeEncoder",
    "cosine_schedule",
    "linear_schedule",
    "monai_network",
    "sigmoid_schedule",
    "timm_network",
]
