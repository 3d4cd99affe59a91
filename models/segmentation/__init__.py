"""Networks that segment images in 2-D and 3-D.

Each takes images of any size, (B, C, *spatial), and returns a list of logits: full resolution first, then one for each
head of deep supervision, at its own resolution.
"""

from medzoo.models.segmentation.channels import ChannelBranches
from medzoo.models.segmentation.encoder import UNetEncoder
from medzoo.models.segmentation.genesis_unet import GenesisUNet, upstream_genesis_state
from medzoo.models.segmentation.nnformer import NNFormer
from medzoo.models.segmentation.nnunet import PlainUNet
from medzoo.models.segmentation.umamba import UMamba, upstream_state
from medzoo.models.segmentation.unetrpp import UNETRPP

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
