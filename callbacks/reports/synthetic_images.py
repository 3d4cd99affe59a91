"""Makes images at the end of a test, looks whether they are like real ones or copies of them, and writes them."""

import logging
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from medzoo.callbacks.collect import data_of
from medzoo.callbacks.output import save_figures, write_csv
from medzoo.evaluation.figures import image_grid
from medzoo.evaluation.measures.synthesis import copies, frechet_distance, kernel_distance

__all__ = ["SyntheticImages"]

log = logging.getLogger(__name__)


class SyntheticImages(L.Callback):
    """Writes `synthetic/NNNNN.png` and `synthetic/manifest.csv`, and draws made images beside training images.

    Logs `test/kid` (times 1000) and `test/fid` of made images against training images, `test/real_kid` and
    `test/real_fid` of real test images against them, which is as good as can be, and `test/copied`, the share of made
    images that are suspiciously near to a training image (`evaluation.measures.synthesis.copies`). Other features give
    other numbers: only those of the same `features` can be compared. Where the training images are not at hand, as on
    another cohort, only the distances from its images are logged, `test/kid_elsewhere` and `test/fid_elsewhere`.

    Args:
        count: Images made.
        seed: Of their noise.
        features: From images (B, C, H, W) in [0, 1] to features (B, F); by default pixels of the image at 8 x 8.
            Inception, which the published FID is of, is a download: `torchmetrics.image.fid.NoTrainInceptionV3`.
    """

    def __init__(self, count: int = 200, seed: int = 0, features: nn.Module | None = None) -> None:
        self.count, self.seed, self.features = count, seed, features

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Make, judge, log and write."""
        datamodule = data_of(trainer)
        with trainer.precision_plugin.forward_context():
            made = pl_module.generate(self.count, self.seed)  # type: ignore[operator]
        (real, names), (other, _) = (_images(datamodule, split) for split in ("train", "test"))
        said: dict[str, np.ndarray] = {}
        if names:
            numbers = self._distances(made, real)
            numbers |= {f"real_{name}": value for name, value in self._distances(other, real).items()}
            said = copies(made.numpy(), real.numpy(), np.array([datamodule.patient_of(name) for name in names]))
            numbers["copied"] = float(said["copied"].mean())
        else:
            numbers = {f"{name}_elsewhere": value for name, value in self._distances(made, other).items()}
            log.warning("%s: other images than those of the training, so nothing is said of copies", datamodule.root)
        pl_module.log_dict({f"test/{name}": torch.tensor(value) for name, value in numbers.items()})
        if trainer.is_global_zero and said:
            run = Path(trainer.default_root_dir)
            self._write(run / "synthetic", made, [names[index] for index in said["nearest"]], said)
            shown = [made[:16], real[said["nearest"][:16]], real[:: max(1, len(real) // 16)][:16]]
            titles = ["made", "nearest training image of each", "training images"]
            save_figures(trainer, {"synthetic": image_grid(titles, [x[:, 0].numpy() for x in shown])})

    def _distances(self, made: Tensor, real: Tensor) -> dict[str, float]:
        """Of made images from real ones; KID times 1000."""
        one, other = self._features(made), self._features(real)
        return {"kid": 1000 * kernel_distance(one, other), "fid": frechet_distance(one, other)}

    def _features(self, images: Tensor) -> np.ndarray:
        if self.features is None:
            return F.adaptive_avg_pool2d(images, 8).flatten(1).double().numpy()
        with torch.no_grad():
            return torch.cat([self.features(part) for part in images.split(64)]).flatten(1).double().numpy()

    def _write(self, folder: Path, made: Tensor, nearest: list[str], said: dict[str, np.ndarray]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for number, image in enumerate(made):
            file = f"{number:05d}.png"
            pixels = (image.movedim(0, -1) * 255).round().byte().numpy()
            Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(folder / file)
            measured = {name: f"{said[name][number]:.4f}" for name in ("distance", "ratio")}
            row = {"file": file, "seed": self.seed, "number": number, "nearest": nearest[number]}
            rows.append({**row, **measured, "copied": int(said["copied"][number])})
        write_csv(folder / "manifest.csv", rows)


def _images(datamodule: Any, split: str) -> tuple[Tensor, list[str]]:
    """Images in [0, 1] and ids of a split, as they are, without augmentation."""
    batches = list(datamodule.plain(split))
    images = torch.cat([batch["image"] for batch in batches]) if batches else torch.empty(0)
    return images, [name for batch in batches for name in batch["id"]]
