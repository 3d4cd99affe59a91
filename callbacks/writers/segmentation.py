"""What predict.py writes of a segmentation: label maps in the format, grid and axes of their images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L

from medzoo.callbacks.collect import data_of
from medzoo.callbacks.writers.cases import CaseWriter

__all__ = ["SegmentationWriter"]


class SegmentationWriter(CaseWriter):
    """Writes the label map of each case in the format, grid and axes of its image; PNG for a picture."""

    pending = "predict_cases"
    _endings: Mapping[str, str] = {}
    _formats: tuple[str, ...] = ()

    def begin(self, module: L.LightningModule, datamodule: Any, made_by: dict[str, Any]) -> None:
        """See which formats are predicted on."""
        self._endings, self._formats = datamodule.predict_endings, datamodule.formats
        super().begin(module, datamodule, made_by)

    def place(self, name: str) -> Path:
        """A file for each case."""
        return self.output / f"{name}{self._endings[name]}"

    def there(self) -> list[Path]:
        """All files that may be label maps."""
        return sorted(file for file in self.output.glob("**/[!.]*") if file.name.endswith(self._formats))

    def made_of(self, case: Any) -> tuple[list[Path], str]:
        """Its channels."""
        return list(case.images), ""

    def on_predict_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: int
    ) -> None:
        """Write one case."""
        name, mask = outputs["id"][0], outputs["mask"][0].cpu().numpy()
        data = data_of(trainer)
        if self._endings[name] == ".png":
            mask = mask * (255 // max(1, *(data.regions_class_order or [data.num_classes - 1])))
        data.write_like(mask, data.predict_cases[name].images[0], self.place(name))
