"""What a datamodule asks of a phantom cohort."""

from pathlib import Path
from typing import Protocol

__all__ = ["Phantom"]


class Phantom(Protocol):
    """A synthetic cohort that can be written as files."""

    @property
    def name(self) -> str:
        """A folder's name, which its arguments decide."""

    def write(self, root: Path) -> None:
        """Write it where it is missing; something else in its place is an error."""
