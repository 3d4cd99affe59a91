"""State-space layers: Mamba and its selective scan, in plain PyTorch."""

from medzoo.models.state_space.mamba import Mamba, MambaLayer
from medzoo.models.state_space.selective_scan import selective_scan

__all__ = ["Mamba", "MambaLayer", "selective_scan"]
