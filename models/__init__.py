"""Networks and losses in plain PyTorch: nothing here knows of Lightning, Hydra or a data set."""

from models.autoencoder import MultiHeadAutoencoderKL
from models.classification import monai_network, timm_network
from models.diffusion import (
    DDIM,
    DDPM,
    ConditionalUNet,
    DiffusionUKAN,
    DPMSolverPP2M,
    cosine_schedule,
    linear_schedule,
    sigmoid_schedule,
)
from models.followup import FollowupDiffusion
from models.losses import (
    CLUB,
    ClassificationLoss,
    DeepSupervisionDiceCELoss,
    DensityRatio,
    HemorrhageAutoencoderLoss,
    PatchAdversarialTerm,
    PerceptualTerm,
)
from models.radiomics_vae import RadiomicsVAE, SalientVAE
from models.segmentation import UNETRPP, ChannelBranches, NNFormer, PlainUNet, UMamba, UNetEncoder
from models.translation import ResNetGenerator

__all__ = [
    "CLUB",
    "DDIM",
    "DDPM",
    "UNETRPP",
    "ChannelBranches",
    "ClassificationLoss",
    "ConditionalUNet",
    "DPMSolverPP2M",
    "DeepSupervisionDiceCELoss",
    "DensityRatio",
    "DiffusionUKAN",
    "FollowupDiffusion",
    "HemorrhageAutoencoderLoss",
    "MultiHeadAutoencoderKL",
    "NNFormer",
    "PatchAdversarialTerm",
    "PerceptualTerm",
    "PlainUNet",
    "RadiomicsVAE",
    "ResNetGenerator",
    "SalientVAE",
    "UMamba",
    "UNetEncoder",
    "cosine_schedule",
    "linear_schedule",
    "monai_network",
    "sigmoid_schedule",
    "timm_network",
]
