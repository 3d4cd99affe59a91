"""Image classification from one npz file in the layout of MedMNIST (`datamodules/npz_file.py` says what that is)."""

from pathlib import Path
from typing import Any

from datamodules.in_memory import InMemoryDataModule, Split
from datamodules.npz_file import image_shape, read_npz

__all__ = ["NPZDataModule"]


class NPZDataModule(InMemoryDataModule):
    """Splits are those of the file, and ids are `<split>_<index>`.

    Args:
        file: The npz file.
        **options: Of `InMemoryDataModule`.
    """

    def __init__(self, file: str | Path, **options: Any) -> None:
        super().__init__(file, **options)

    @property
    def file(self) -> Path:
        """The npz file."""
        return self.source

    def fetch(self) -> None:
        """Get the file; a user's own must be there already."""
        if not self.file.is_file():
            raise FileNotFoundError(f"no file {self.file}: set datamodule.file to an npz in the layout of MedMNIST")

    def read(self) -> dict[str, Split]:
        """All of the file."""
        said = read_npz(self.file, task=self.task, num_classes=self.num_classes)
        return {name: (images, labels, _ids(name, len(labels))) for name, (images, labels) in said.items()}

    def read_shape(self) -> tuple[int, ...]:
        """From the head of the file."""
        return image_shape(self.file)


def _ids(split: str, count: int) -> list[str]:
    return [f"{split}_{index:05d}" for index in range(count)]
