"""Writes predicted label maps in the format, grid and axes of their images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from medzoo.callbacks.collect import Batch
from medzoo.callbacks.writers.cases import CaseWriter, PredictData

__all__ = ["SegmentationWriter"]


class Case(Protocol):
    """A case: the files of its channels."""

    images: Sequence[Path]


class Data(PredictData, Protocol):
    """Members of the datamodule that are used."""

    num_classes: int
    formats: tuple[str, ...]
    regions_class_order: Sequence[int] | None
    predict_cases: Mapping[str, Case]
    predict_endings: Mapping[str, str]

    def write_like(self, mask: np.ndarray, source: Path, file: Path) -> None:
        """Write a mask on the grid of an image."""


class SegmentationWriter(CaseWriter[Data, Case]):
    """Writes the label map of each case in the format, grid and axes of its image; PNG for a picture."""

    _endings: Mapping[str, str] = {}
    _formats: tuple[str, ...] = ()

    def begin(self, module: torch.nn.Module, datamodule: Data, made_by: Mapping[str, Any]) -> None:
        """Note the formats of the input."""
        self._endings, self._formats = datamodule.predict_endings, datamodule.formats
        super().begin(module, datamodule, made_by)

    def cases(self, data: Data) -> Mapping[str, Case]:
        """By name, the images to predict on."""
        return data.predict_cases

    def place(self, name: str) -> Path:
        """A file for each case."""
        return self.output / f"{name}{self._endings[name]}"

    def there(self) -> list[Path]:
        """All files in a format of label maps."""
        return sorted(file for file in self.output.glob("**/[!.]*") if file.name.endswith(self._formats))

    def made_of(self, case: Case) -> tuple[list[Path], str]:
        """Its channels."""
        return list(case.images), ""

    def write(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Write one label map."""
        name, mask = outputs["id"][0], outputs["mask"][0].cpu().numpy()
        if self._endings[name] == ".png":
            mask = mask * (255 // max(1, *(data.regions_class_order or [data.num_classes - 1])))
        data.write_like(mask, data.predict_cases[name].images[0], self.place(name))
