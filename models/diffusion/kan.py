"""A Kolmogorov-Arnold layer: every weight is a function of one variable, a cubic spline plus a SiLU.

Liu et al. 2024 (arXiv:2404.19756); in the form of U-KAN (Li et al. 2024, arXiv:2406.02918;
github.com/CUHK-AIM-Group/U-KAN, commit b20bf63, MIT for its segmentation part; read for facts).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["KANLinear", "cubic_splines"]


class KANLinear(nn.Module):
    """y = W SiLU(x) + sum over k of S_k B_k(x), with cubic splines B_k on an even grid.

    Splines are computed in float32 also under autocast. More than three intervals outside the grid they are 0, which
    leaves the SiLU. Spline weights start as small noise of standard deviation 0.0058; those of the original are a
    least-squares fit to small noise, correlated, with a standard deviation of 0.0088.

    Args:
        in_features: Inputs.
        out_features: Outputs.
        grid: Intervals between -1 and 1.
        noise: Amplitude of the splines at the start.
    """

    def __init__(self, in_features: int, out_features: int, grid: int = 5, noise: float = 0.01) -> None:
        super().__init__()
        self.grid = grid
        self.base_weight = nn.Parameter(torch.empty(out_features, in_features))
        self.spline_weight = nn.Parameter(torch.empty(out_features, in_features, grid + 3))
        self.spline_scale = nn.Parameter(torch.empty(out_features, in_features))
        for weight in (self.base_weight, self.spline_scale):
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        nn.init.uniform_(self.spline_weight, -noise, noise)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        with torch.autocast(x.device.type, enabled=False):
            splines = cubic_splines(x.float(), self.grid).flatten(-2)
        weight = (self.spline_weight * self.spline_scale[..., None]).flatten(1)
        return F.linear(F.silu(x), self.base_weight) + F.linear(splines, weight)


def cubic_splines(x: Tensor, grid: int) -> Tensor:
    """The cubic B-splines of an even grid on [-1, 1], continued by three intervals at each end.

    Args:
        x: (...) any values.
        grid: Intervals between -1 and 1.

    Returns:
        (..., grid + 3), splines in order; they sum to 1 on [-1, 1].
    """
    centres = torch.arange(grid + 3, device=x.device, dtype=x.dtype) - 1
    away = ((x[..., None] + 1) * (grid / 2) - centres).abs()  # in intervals
    inner = 2 / 3 - away**2 * (1 - away / 2)
    outer = (2 - away).clamp(min=0) ** 3 / 6
    return torch.where(away < 1, inner, outer)
