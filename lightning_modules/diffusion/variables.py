"""The clinical variables of a forecast: their ranges, and what may be changed in a what-if question."""

from collections.abc import Mapping, Sequence

from torch import Tensor

__all__ = ["ClinicalVariables"]


class ClinicalVariables:
    """Names and ranges of clinical variables.

    Args:
        names: The K variables, in the order of a batch.
        ranges: Minimum and maximum of each, which a batch scales to 0 and 1.
        measured: Variables that are measured on the scan: they may not be changed while the scan stays the same.
    """

    def __init__(self, names: Sequence[str], ranges: Sequence[Sequence[float]], measured: Sequence[str]) -> None:
        self.names, self.measured = list(names), list(measured)
        self.ranges = {name: tuple(limits) for name, limits in zip(names, ranges, strict=True)}

    def __len__(self) -> int:
        return len(self.names)

    def scaled(self, name: str, value: float) -> float:
        """A value as a batch holds it.

        Raises:
            ValueError: If there is no such variable, or the value is out of its range.
        """
        if name not in self.ranges:
            raise ValueError(f"no clinical variable {name}; there are {', '.join(self.names)}")
        low, high = self.ranges[name]
        if not low <= value <= high:
            raise ValueError(f"{name}={value}: expected {low:g} to {high:g}")
        return (value - low) / (high - low)

    def changeable(self, values: Mapping[str, Sequence[float]] | None) -> dict[str, list[float]]:
        """Check values to forecast under.

        Raises:
            ValueError: If a variable is unknown or measured on the scan, or a value out of range.
        """
        for name, each in (values or {}).items():
            if name in self.measured:
                raise ValueError(
                    f"{name} is measured on the scan and cannot be changed while the scan stays the same: "
                    "give another scan instead"
                )
            for value in each:
                self.scaled(name, value)
        return {name: list(each) for name, each in (values or {}).items()}

    def changed(self, clinical: Tensor, name: str, value: float) -> Tensor:
        """Clinical values (K,) with one variable set."""
        clinical = clinical.clone()
        clinical[self.names.index(name)] = self.scaled(name, value)
        return clinical
