"""Mamba's block, and a layer of it over an image.

Gu and Dao 2023 (arXiv:2312.00752), figure 3; github.com/state-spaces/mamba (Apache-2.0), whose parameter names are kept
so that its weights load; U-Mamba's layer: Ma et al. 2024 (arXiv:2401.04722), github.com/bowang-lab/U-Mamba
(Apache-2.0).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medzoo.models.state_space.selective_scan import Method, selective_scan

__all__ = ["Mamba", "MambaLayer"]


class Mamba(nn.Module):
    """A sequence to a sequence: expand, mix along it by a short causal convolution and a selective scan, gate, project.

    Computed in float32 also under autocast, because dt goes through an exponential.

    Args:
        d_model: Channels of the sequence.
        d_state: States of each inner channel.
        d_conv: Width of the convolution.
        expand: Inner channels for each channel.
        method: Of `selective_scan`.
    """

    def __init__(
        self, d_model: int, d_state: int = 16, d_conv: int = 4, expand: int = 2, *, method: Method = "auto"
    ) -> None:
        super().__init__()
        inner, self.rank, self.d_state, self.method = expand * d_model, math.ceil(d_model / 16), d_state, method
        self.in_proj = nn.Linear(d_model, 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, d_conv, groups=inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(inner, self.rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.A_log = nn.Parameter(torch.arange(1, d_state + 1).float().log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = nn.Linear(inner, d_model, bias=False)
        self._init_steps()

    def _init_steps(self) -> None:
        """Step sizes start spread evenly over the logarithm of 0.001 to 0.1."""
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)
        dt = torch.exp(torch.empty_like(self.dt_proj.bias).uniform_(math.log(1e-3), math.log(1e-1))).clamp(min=1e-4)
        with torch.no_grad():
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, d_model) to the same shape, float32 (float64 if x is)."""
        with torch.autocast(x.device.type, enabled=False):
            x, gate = self.in_proj(x.to(self.D.dtype)).chunk(2, dim=-1)
            x = F.silu(self.conv1d(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
            dt, B, C = self.x_proj(x).split([self.rank, self.d_state, self.d_state], dim=-1)
            dt = F.softplus(self.dt_proj(dt))
            y = selective_scan(x, dt, -torch.exp(self.A_log), B, C, method=self.method) + self.D * x
            return self.out_proj(y * F.silu(gate))


class MambaLayer(nn.Module):
    """Mamba over the pixels or voxels of an image, row by row, the last axis fastest.

    Args:
        channels: Of the image.
        tokens: None if each pixel is a token. A number makes each channel a token of that many pixels, as U-Mamba does
            for small images: the layer then takes only images of that many pixels.
        residual: Add the input. The original does not; its output is not normalised and overflows in float16.
        d_state: Of `Mamba`.
        d_conv: Of `Mamba`.
        expand: Of `Mamba`.
        method: Of `selective_scan`.
    """

    def __init__(
        self,
        channels: int,
        tokens: int | None = None,
        *,
        residual: bool = False,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        method: Method = "auto",
    ) -> None:
        super().__init__()
        self.tokens, self.residual = tokens, residual
        self.norm = nn.LayerNorm(tokens or channels)
        self.mamba = Mamba(tokens or channels, d_state, d_conv, expand, method=method)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *spatial) to the same shape and dtype.

        Raises:
            ValueError: If channels are tokens and the image has another number of pixels than the layer.
        """
        sequence = x.flatten(2)
        if self.tokens is None:
            sequence = sequence.transpose(1, 2)
        elif sequence.shape[-1] != self.tokens:
            raise ValueError(
                f"channels are tokens here, of {self.tokens} pixels; this image of {tuple(x.shape[2:])} has "
                f"{sequence.shape[-1]}: use the size of training, or train a network with released_for=null"
            )
        with torch.autocast(x.device.type, enabled=False):
            y = self.mamba(self.norm(sequence.to(self.norm.weight.dtype)))
        if self.tokens is None:
            y = y.transpose(1, 2)
        y = y.reshape(x.shape).to(x.dtype)
        return x + y if self.residual else y
