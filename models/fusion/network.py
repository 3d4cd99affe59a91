"""Encoders and a fusion as one network: absent modalities are never encoded, so their values cannot matter.

A multiplication by 0 would let a NaN of an absent modality, and its gradient, through. Here an encoder gets only the
rows that have its modality.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from medzoo.models.fusion.evidence import Shrinkage
from medzoo.models.fusion.fused import Fused, check_present, rows_of

__all__ = ["FusionNetwork"]


class FusionNetwork(nn.Module):
    """From the modalities of patients to logits, weights and tokens.

    Besides the fusion, every modality has its own head (layer normalisation and a linear layer on its token), whose
    outputs are called evidence: late fusion averages them, and they can be trained in all fusions.

    Args:
        encoders: By modality, from (B, ...) to tokens (B, dim).
        fusion: From tokens (B, M, dim), evidence (B, M, K + 1) and presence (B, M) to `Fused`.
        modalities: Names, in the order of `present`; encoders of other modalities are dropped.
        dim: Width of a token.
        num_classes: K.
        shrink: Whether the fusion is shrunk towards the summed evidence, once `shrinkage` is fitted.

    Raises:
        ValueError: If a modality has no encoder.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module | None],
        fusion: nn.Module,
        *,
        modalities: Sequence[str],
        dim: int,
        num_classes: int,
        shrink: bool = False,
    ) -> None:
        super().__init__()
        given = {name: encoder for name, encoder in encoders.items() if encoder is not None}
        missing = [name for name in modalities if name not in given]
        if missing:
            raise ValueError(f"encoders: none for {', '.join(missing)}; there are {', '.join(given)}")
        self.modalities, self.dim = tuple(modalities), dim
        self.encoders = nn.ModuleDict({name: given[name] for name in modalities})
        self.heads = nn.ModuleDict({name: _head(dim, num_classes + 1) for name in modalities})
        self.fusion = fusion
        self.shrinkage = Shrinkage(num_classes + 1) if shrink else None

    def forward(self, inputs: Mapping[str, Any], present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs (B, K + 1), weights (B, M) and tokens (B, M, dim).

        Args:
            inputs: By modality (B, ...); may lack modalities that no row has. Values of absent rows are ignored.
            present: (B, M) bool, on the CPU or on the device of the inputs.

        Raises:
            ValueError: If a row has no modality.
        """
        tokens = self.encode(inputs, present)
        fused = self.fuse(tokens, self.evidence(tokens), present)
        return fused.output, fused.weights, tokens

    def encode(self, inputs: Mapping[str, Any], present: Tensor) -> Tensor:
        """Tokens (B, M, dim), 0 where a modality is absent."""
        device = next(self.heads.parameters()).device
        tokens = [torch.zeros(len(present), self.dim, device=device) for _ in self.modalities]
        for index, name in enumerate(self.modalities):
            rows = rows_of(present[:, index], tokens[index])
            if len(rows):
                tokens[index] = tokens[index].index_copy(0, rows, self._encoded(name, inputs[name][rows]).float())
        return torch.stack(tokens, 1)

    def evidence(self, tokens: Tensor) -> Tensor:
        """Outputs (B, M, K + 1) of the modalities' own heads; meaningless for absent modalities."""
        return torch.stack([self.heads[name](tokens[:, index]) for index, name in enumerate(self.modalities)], 1)

    def fuse(self, tokens: Tensor, evidence: Tensor, present: Tensor) -> Fused:
        """Fuse the present modalities.

        Raises:
            ValueError: If a row has no modality.
        """
        check_present(present)
        fused: Fused = self.fusion(tokens, evidence, present)
        if self.shrinkage is None or self.training:
            return fused
        return fused._replace(output=self.shrinkage(fused.output, evidence, present))

    def _encoded(self, name: str, rows: Tensor) -> Tensor:
        encoder = self.encoders[name]
        if self.training and len(rows) == 1:  # batch normalisation refuses a single value in each channel
            return encoder(torch.cat([rows, rows]))[:1]
        return encoder(rows)


def _head(dim: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, outputs))
