"""Synthesises images at the end of a test, and measures how near they are to real ones, and whether they are copies."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from medzoo.callbacks.reports.images.judge import Judge
from medzoo.evaluation.figures import image_grid
from medzoo.evaluation.measures.detail import reduced
from medzoo.evaluation.measures.synthesis import (
    copies,
    frechet_distance,
    inception_score,
    kernel_distance,
    shortcut_auc,
)

__all__ = ["Synthesised", "SyntheticImages"]

log = logging.getLogger(__name__)

_FOLDS = 5  # of `shortcut_auc`: with fewer patients, real images of one split could be missing from a training


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
    """Made images (M, C, H, W), and those of training and test (N, C, H, W) with their names."""

    made: Tensor
    training: Tensor
    names: Sequence[str]
    test: Tensor
    test_names: Sequence[str] = ()


class SyntheticImages(TestReport[Module, Data, Synthesised]):
    """Writes `synthetic/NNNNN.png` and `synthetic/manifest.csv`, and draws made images beside training images.

    Logs `test/kid` (times 1000) and `test/fid` of made images against training images, `test/real_kid` and
    `test/real_fid` of real test images against them, the best that can be expected, `test/copied`, the share of made
    images that are suspiciously near to a training image (`evaluation.measures.synthesis.copies`), and
    `test/shortcut_auc` and `test/shortcut_forest_auc`, the areas with which a linear rule and a forest tell both apart
    by their detail, as a classifier reads them: if they are far above `test/real_shortcut_auc` and
    `test/real_shortcut_forest_auc`, those of real test images (of five patients or more), a classifier may learn that
    instead of the class. Distances can be compared only where `features` are the same. Where the training images are
    not at hand, as on another cohort, only the distances from its images are logged, `test/kid_elsewhere` and
    `test/fid_elsewhere`. With a classifier, `test/inception_score` is that of made images and
    `test/real_inception_score` that of the training images; with two classes it is 2 at most.

    Args:
        count: Images made.
        seed: Of their noise.
        resolution: H = W to which a classifier reduces all images before it learns; null for the full size.
        noise: The noise that it adds to all (`evaluation.measures.detail`).
        features: From images (B, C, H, W) in [0, 1] to features (B, F); by default pixels of the image at 8 x 8.
            Inception, which the published FID is of, is a download: `torchmetrics.image.fid.NoTrainInceptionV3`.
        classifier: Gives a trained classifier when it is called, such as `medzoo.load` with its checkpoint: the
            features are then those that its last linear layer takes.

    Raises:
        ValueError: If both `features` and a classifier are given.
    """

    def __init__(
        self,
        count: int = 200,
        seed: int = 0,
        features: nn.Module | None = None,
        *,
        resolution: int | None = None,
        noise: float = 0.0,
        classifier: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if features is not None and classifier is not None:
            raise ValueError("callbacks.synthetic: give features or a classifier, whose features are used, not both")
        self.count, self.seed, self.classifier = count, seed, classifier
        self.resolution, self.noise = resolution, noise
        self.features: nn.Module | Judge | None = features

    def keep(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Keep nothing: all images are read at the end."""

    def collected(self, module: Module, data: Data) -> Synthesised:
        """Make images, and read those of the training and the test."""
        with module.trainer.precision_plugin.forward_context():
            made = module.generate(self.count, self.seed)
        training, names = _images(data, "train")
        return Synthesised(made, training, names, *_images(data, "test"))

    def report(self, collected: Synthesised, data: Data) -> Report:
        """Distances and copies."""
        if self.classifier is not None:
            self.features = Judge(self.classifier())
        made, training, names = collected.made, collected.training, collected.names
        if not names:
            log.warning("%s: the training images are not at hand, so copies cannot be found", data.root)
            distances = self._distances(made, collected.test)
            return Report({f"test/{name}_elsewhere": value for name, value in distances.items()})
        metrics = self._distances(made, training)
        metrics |= {f"real_{name}": value for name, value in self._distances(collected.test, training).items()}
        if isinstance(self.features, Judge):
            for name, images in (("inception_score", made), ("real_inception_score", training)):
                metrics[name] = inception_score(self.features.classes(images))
        patients = np.array([data.patient_of(name) for name in names])
        found = copies(made.numpy(), training.numpy(), patients)
        metrics["copied"] = float(found["copied"].mean())
        tested = np.array([data.patient_of(name) for name in collected.test_names])
        metrics |= self._shortcuts(collected, patients, tested)
        files = [f"{number:05d}.png" for number in range(len(made))]
        shown = [made[:16], training[found["nearest"][:16]], training[:: max(1, len(training) // 16)][:16]]
        titles = ["made", "nearest training image of each", "training images"]
        return Report(
            metrics={f"test/{name}": value for name, value in metrics.items()},
            tables={"synthetic/manifest.csv": self._manifest(files, names, found)},
            figures={"synthetic": image_grid(titles, [x[:, 0].numpy() for x in shown])},
            pictures={f"synthetic/{file}": _pixels(image) for file, image in zip(files, made, strict=True)},
        )

    def _shortcuts(self, collected: Synthesised, patients: np.ndarray, tested: np.ndarray) -> dict[str, float]:
        """How well made images, and for comparison real ones of the test, are told from those of the training."""
        made, real, test = (
            reduced(each.mean(1).numpy(), self.resolution or each.shape[-1], self.noise) if len(each) else each.numpy()
            for each in (collected.made, collected.training, collected.test)
        )
        found = {}
        for name, forest in (("shortcut_auc", False), ("shortcut_forest_auc", True)):
            found[name] = shortcut_auc(made, real, patients, forest=forest)
            if min(len(set(tested)), len(set(patients))) >= _FOLDS:
                found[f"real_{name}"] = shortcut_auc(test, real, patients, made_patients=tested, forest=forest)
        return found

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
