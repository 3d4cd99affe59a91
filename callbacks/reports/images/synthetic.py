"""Synthesises images at the end of a test, and measures how near they are to real ones, and whether they are copies."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medzoo.callbacks.collect import Batch
from medzoo.callbacks.output import Report, Row
from medzoo.callbacks.reports.base import TestReport
from medzoo.evaluation.figures import image_grid
from medzoo.evaluation.measures.synthesis import copies, frechet_distance, kernel_distance, shortcut_auc

__all__ = ["Synthesised", "SyntheticImages"]

log = logging.getLogger(__name__)


class Module(Protocol):
    """Members of the module that are used."""

    trainer: L.Trainer

    def generate(self, count: int, seed: int) -> Tensor:
        """Images (count, C, H, W) in [0, 1], on the CPU."""


class Data(Protocol):
    """Members of the datamodule that are used."""

    root: object

    def plain(self, split: str) -> Iterable[Batch]:
        """Batches of `image` in [0, 1] and `id`, as they are; none where a split is not at hand."""

    def patient_of(self, name: str) -> str:
        """The patient of an image."""


@dataclass(frozen=True)
class Synthesised:
    """Made images (M, C, H, W), those of training (N, C, H, W) with their names, and those of the test."""

    made: Tensor
    training: Tensor
    names: Sequence[str]
    test: Tensor


class SyntheticImages(TestReport[Module, Data, Synthesised]):
    """Writes `synthetic/NNNNN.png` and `synthetic/manifest.csv`, and draws made images beside training images.

    Logs `test/kid` (times 1000) and `test/fid` of made images against training images, `test/real_kid` and
    `test/real_fid` of real test images against them, the best that can be expected, `test/copied`, the share of made
    images that are suspiciously near to a training image (`evaluation.measures.synthesis.copies`), and
    `test/shortcut_auc`, the area with which a linear rule tells both apart by their detail alone: if it is far from
    0.5, a classifier may learn that instead of the class. Distances can be compared only where `features` are the
    same. Where the training images are not at hand, as on another cohort, only the distances from its images are
    logged, `test/kid_elsewhere` and `test/fid_elsewhere`.

    Args:
        count: Images made.
        seed: Of their noise.
        features: From images (B, C, H, W) in [0, 1] to features (B, F); by default pixels of the image at 8 x 8.
            Inception, which the published FID is of, is a download: `torchmetrics.image.fid.NoTrainInceptionV3`.
    """

    def __init__(self, count: int = 200, seed: int = 0, features: nn.Module | None = None) -> None:
        super().__init__()
        self.count, self.seed, self.features = count, seed, features

    def keep(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Keep nothing: all images are read at the end."""

    def collected(self, module: Module, data: Data) -> Synthesised:
        """Make images, and read those of the training and the test."""
        with module.trainer.precision_plugin.forward_context():
            made = module.generate(self.count, self.seed)
        training, names = _images(data, "train")
        return Synthesised(made, training, names, _images(data, "test")[0])

    def report(self, collected: Synthesised, data: Data) -> Report:
        """Distances and copies."""
        made, training, names = collected.made, collected.training, collected.names
        if not names:
            log.warning("%s: the training images are not at hand, so copies cannot be found", data.root)
            distances = self._distances(made, collected.test)
            return Report({f"test/{name}_elsewhere": value for name, value in distances.items()})
        metrics = self._distances(made, training)
        metrics |= {f"real_{name}": value for name, value in self._distances(collected.test, training).items()}
        patients = np.array([data.patient_of(name) for name in names])
        found = copies(made.numpy(), training.numpy(), patients)
        metrics["copied"] = float(found["copied"].mean())
        metrics["shortcut_auc"] = shortcut_auc(made.mean(1).numpy(), training.mean(1).numpy(), patients)
        files = [f"{number:05d}.png" for number in range(len(made))]
        shown = [made[:16], training[found["nearest"][:16]], training[:: max(1, len(training) // 16)][:16]]
        titles = ["made", "nearest training image of each", "training images"]
        return Report(
            metrics={f"test/{name}": value for name, value in metrics.items()},
            tables={"synthetic/manifest.csv": self._manifest(files, names, found)},
            figures={"synthetic": image_grid(titles, [x[:, 0].numpy() for x in shown])},
            pictures={f"synthetic/{file}": _pixels(image) for file, image in zip(files, made, strict=True)},
        )

    def _distances(self, images: Tensor, others: Tensor) -> dict[str, float]:
        """Between two sets of images; KID times 1000."""
        one, other = self._features(images), self._features(others)
        return {"kid": 1000 * kernel_distance(one, other), "fid": frechet_distance(one, other)}

    def _features(self, images: Tensor) -> np.ndarray:
        if self.features is None:
            return F.adaptive_avg_pool2d(images, 8).flatten(1).double().numpy()
        with torch.no_grad():
            return torch.cat([self.features(part) for part in images.split(64)]).flatten(1).double().numpy()

    def _manifest(self, files: Sequence[str], names: Sequence[str], found: Mapping[str, np.ndarray]) -> list[Row]:
        """A row for each made image, with the training image that is nearest to it."""
        return [
            {
                "file": file,
                "seed": self.seed,
                "number": number,
                "nearest": names[found["nearest"][number]],
                **{name: f"{found[name][number]:.4f}" for name in ("distance", "ratio")},
                "copied": int(found["copied"][number]),
            }
            for number, file in enumerate(files)
        ]


def _pixels(image: Tensor) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8 of an image (C, H, W) in [0, 1]."""
    pixels = (image.movedim(0, -1) * 255).round().byte().numpy()
    return pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels


def _images(data: Data, split: str) -> tuple[Tensor, list[str]]:
    """Images in [0, 1] and ids of a split, as they are, without augmentation."""
    batches = list(data.plain(split))
    images = torch.cat([batch["image"] for batch in batches]) if batches else torch.empty(0)
    return images, [name for batch in batches for name in batch["id"]]
