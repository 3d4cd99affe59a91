"""Encoder of rows of a table: clinical variables, or the expression of genes."""

from itertools import pairwise

from torch import Tensor, nn

__all__ = ["TableEncoder"]


class TableEncoder(nn.Module):
    """A perceptron without normalisation layers, which would hide how far a patient is from the mean.

    Args:
        features: Columns.
        dim: Width of the token.
        hidden: Width of the hidden layers.
        layers: Hidden layers.
        dropout: Dropout rate of the columns and of hidden values.

    Raises:
        ValueError: If there are no columns, or `dropout` is outside [0, 1).
    """

    def __init__(self, *, features: int, dim: int, hidden: int = 64, layers: int = 1, dropout: float = 0.1) -> None:
        super().__init__()
        if features < 1 or not 0 <= dropout < 1:
            raise ValueError(f"features={features}, dropout={dropout}: expected at least 1, and 0 <= dropout < 1")
        widths = [features, *[hidden] * layers]
        parts: list[nn.Module] = []
        for before, after in pairwise(widths):
            parts += [nn.Dropout(dropout), nn.Linear(before, after), nn.GELU()]
        self.net = nn.Sequential(*parts, nn.Linear(widths[-1], dim))

    def forward(self, row: Tensor) -> Tensor:
        """Tokens (B, dim) of standardised rows (B, features)."""
        return self.net(row)
