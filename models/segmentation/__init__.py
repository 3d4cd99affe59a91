"""Networks that segment images in 2-D and 3-D.

Each takes images of any size, (B, C, *spatial), and gives a list of logits: the full resolution first, then one for
each head of deep supervision, at the resolution at which it was made.
"""

from models.segmentation.channels import ChannelBranches
from models.segmentation.encoder import UNetEncoder
from models.segmentation.genesis_unet import GenesisUNet, upstream_genesis_state
from models.segmentation.nnformer import NNFormer
from models.segmentation.nnunet import PlainUNet
from models.segmentation.umamba import UMamba, upstream_state
from models.segmentation.unetrpp import UNETRPP

__all__ = [
    "UNETRPP",
    "ChannelBranches",
    "GenesisUNet",
    "NNFormer",
    "PlainUNet",
    "UMamba",
    "UNetEncoder",
    "upstream_genesis_state",
    "upstream_state",
]
