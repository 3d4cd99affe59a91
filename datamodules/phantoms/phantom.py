"""What a datamodule needs from a phantom cohort."""

from pathlib import Path
from typing import Protocol

__all__ = ["Phantom"]


class Phantom(Protocol):
    """A synthetic cohort that can be written as files."""

    @property
    def name(self) -> str:
        """Name of its folder, unique for its arguments."""

    def write(self, root: Path) -> None:
        """Write the cohort to `root` if it is missing; other content in `root` is an error."""
