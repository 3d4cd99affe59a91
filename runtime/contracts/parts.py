"""What the runtime asks of what else a config names: writers, comparisons, preparations, checks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning as L

__all__ = [
    "Begins",
    "ChecksFolder",
    "Compares",
    "KeepsEntries",
    "Prepares",
    "Writer",
]


class Writer(Protocol):
    """The callback `predict_writer`: it writes what `predict.py` predicts and is stored in every checkpoint.

    It is built with `output`, where null leaves the choice to it, and replaces a file that is there.
    """

    written: Path | None
    """The file or folder that it wrote."""


@runtime_checkable
class Begins(Protocol):
    """A writer that continues in a folder of earlier predictions, or refuses it."""

    def begin(self, module: L.LightningModule, datamodule: Any, made_by: dict[str, Any]) -> None:
        """Look at the folder before anything is predicted.

        Args:
            module: The model.
            datamodule: With its input set; cases that are done are left out of it (`LeavesOut`).
            made_by: The path of the `checkpoint` and the options of the prediction.

        Raises:
            ValueError: If the folder holds predictions of another origin.
        """


class Compares(Protocol):
    """An entry of `comparisons`, called when all stages are tested."""

    def __call__(self, run: Path, name: str) -> None:
        """Read the stages' folders in `run`; write `test_<name>.csv` and `figures/<name>*.png` for the report."""


class Prepares(Protocol):
    """`preparation` of `prepare.py`: brings raw files into a layout."""

    def run(self) -> None:
        """Write the layout.

        Raises:
            OSError: If files are missing, or output is there already.
        """


class KeepsEntries(Protocol):
    """`kept` of `prepare.py store=...`: what is read once and mapped ever after."""

    folder: Path

    def entries(self) -> Sequence[tuple[Path, int, float]]:
        """Folder, bytes and time of the last use of every entry, the least recently used first."""

    def shrink(self, most: float) -> int:
        """Delete the least recently used entries until `most` bytes are left, and count them."""


class ChecksFolder(Protocol):
    """`checks` of `prepare.py check=<folder>`."""

    def run(self) -> int:
        """Read a folder, print what is in it, and return the number of faults."""
