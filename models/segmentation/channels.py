"""Early and late fusion of the channels of an image, such as T1 and T2, by any segmentation network."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

__all__ = ["ChannelBranches"]


class ChannelBranches(nn.Module):
    """Each group of channels goes through its own network, and the logits are averaged.

    One group of all channels is early fusion; one group per channel is late fusion; channels in no group are ignored.

    Args:
        branch: Builds a segmentation network from `in_channels`.
        groups: Indices of the channels of each group.

    Raises:
        ValueError: If a group is empty, or there is none.
    """

    def __init__(self, branch: Callable[..., nn.Module], groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        if not groups or not all(groups):
            raise ValueError(f"groups={groups}: name at least one channel in each group")
        self.groups = [list(group) for group in groups]
        self.branches = nn.ModuleList(branch(in_channels=len(group)) for group in self.groups)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, C, *spatial) to logits, full resolution first: [(B, classes, *spatial), ...]."""
        parts = [torch.stack([image[:, channel] for channel in group], 1) for group in self.groups]
        logits = [branch(part) for branch, part in zip(self.branches, parts, strict=True)]
        return [torch.stack(heads).mean(0) for heads in zip(*logits, strict=True)]
