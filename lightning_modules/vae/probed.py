"""What the two parts of a code tell about the label: regressions, learners and controls, fitted after training."""

import logging
from itertools import chain

import numpy as np
import torch
from lightning import LightningModule
from torch import Tensor

from medzoo.evaluation.regression.learners.tuned import fit_learners
from medzoo.evaluation.scores.representations import (
    COMPONENTS,
    auc_of,
    fit_pixel_probes,
    fit_probe,
    principal_axes,
)
from medzoo.lightning_modules.contracts import Batch, OrderedData
from medzoo.models.fitted import Areas, LearnedProbes, PixelProbes, Probes, pixels_of

__all__ = ["Pair", "ProbedParts"]

Pair = tuple[Tensor, Tensor]
log = logging.getLogger(__name__)


class ProbedParts(LightningModule):
    """How well each part of a code predicts the label; subclasses define `features`, `part_names` and `widths`.

    Logistic regressions (L2, C = 1) on the training images use each part, and both together. The same regressions on
    the pixels, on their principal components, and on these beside the first part show what a learnt code adds; a
    random forest and a support-vector machine on all but the pixels show what a regression leaves unused. All are part
    of the state, with their AUC on the validation images. `predict_step` gives the regression on both parts.
    """

    part_names: tuple[str, str]
    widths: tuple[int, int]
    num_classes: int

    def make_probes(self, num_classes: int) -> None:
        """Make the parts that are fitted after training; called once `widths` is known."""
        self.sets = (slice(0, self.widths[0]), slice(self.widths[0], None), slice(None))
        self.probes, self.pixel_probes = Probes(len(self.sets), num_classes, sum(self.widths)), PixelProbes()
        first, both = range(self.widths[0]), range(sum(self.widths))
        components = range(len(both), len(both) + COMPONENTS)
        sets = (first, both[len(first) :], both, components, [*first, *components])
        self.learned, self.areas = LearnedProbes(sets), Areas()

    @property
    def set_names(self) -> tuple[str, ...]:
        """Names of what is compared: each part, both, those without a learnt code, and other learners of these."""
        first, second = self.part_names
        parts, components = (first, second, f"{first} + {second}"), f"PCA {COMPONENTS}"
        if not bool(self.pixel_probes.fitted):  # of a checkpoint from before there were any
            return parts
        plain = (components, f"{first} + {components}")
        others = ("forest", "SVM") if self.learned.fitted else ()
        learned = (f"{part}, {learner}" for learner in others for part in chain(parts, plain))
        return *parts, "pixels", *plain, *learned

    def features(self, batch: Batch) -> Pair:
        """Both parts of images (B, width), without noise."""
        raise NotImplementedError

    def all_probabilities(self, batch: Batch, first: Tensor, second: Tensor) -> Tensor:
        """Probabilities (B, S, K) of everything in `set_names`, for a batch and its two parts."""
        both = torch.cat([first, second], 1)
        probs = [self.probes(both)]
        if bool(self.pixel_probes.fitted):
            probs.append(self.pixel_probes(batch["image"], first).to(probs[0]))
        if self.learned.fitted:
            rows = torch.cat([both.double(), self.pixel_probes.components(batch["image"])], 1)
            probs.append(self.learned(rows).to(probs[0]))
        return torch.cat(probs, 1)

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """`{"id": list of B names, "prob": (B, K) probabilities of both parts}`."""
        return {"id": batch["id"], "prob": self.probes(torch.cat(self.features(batch), 1))[:, 2]}

    def finalize(self, datamodule: OrderedData) -> None:
        """Fit regressions and learners on each part of the training images, on both, and on their pixels."""
        features, label = self.fit_probes(datamodule)
        images = (pixels_of(batch["image"]).cpu() for batch in datamodule.ordered_dataloader("train"))
        pixels = torch.cat([*images]).numpy()
        centre, axes = principal_axes(pixels)
        probes = fit_pixel_probes(pixels, features[:, self.sets[0]], label, self.num_classes, (centre, axes))
        self.pixel_probes.take(weight=probes[0], bias=probes[1], centre=centre, axes=axes)
        self._fit_learners(np.concatenate([features, (pixels - centre) @ axes.T], 1), label)
        self._judge(datamodule)

    def _fit_learners(self, rows: np.ndarray, label: np.ndarray) -> None:
        """Fit forests and machines, unless there are too few images to choose their settings on."""
        learnt = [fit_learners(rows[:, columns], label, self.num_classes) for columns in self.learned.sets]
        if None not in learnt:
            self.learned.take([one.arrays for one in learnt if one])
            for one, name in zip(learnt, self.set_names[-2 * len(learnt) :], strict=False):
                log.info("%s and SVM: %s", name, one)

    @torch.no_grad()
    def _judge(self, datamodule: OrderedData) -> None:
        """Keep the validation AUC of everything in `set_names`: what a choice between them may look at."""
        labels, rows = [], []
        for batch in map(self.moved, datamodule.ordered_dataloader("val")):
            labels.append(batch["label"])
            rows.append(self.all_probabilities(batch, *self.features(batch)))
        label, probs = torch.cat(labels).cpu().numpy(), torch.cat(rows).cpu().numpy()
        self.areas.take(auc=[auc_of(label, probs[:, index]) for index in range(probs.shape[1])])

    def fit_probes(self, datamodule: OrderedData) -> tuple[np.ndarray, np.ndarray]:
        """Returns both parts, (N, F), and the labels of the training images."""
        first, second, label = self.of_split(datamodule, "train")
        features, truth = torch.cat([first, second], 1).double().cpu().numpy(), label.cpu().numpy()
        weights, biases = np.zeros(self.probes.weight.shape), np.zeros(self.probes.bias.shape)
        for index, chosen in enumerate(self.sets):
            weight, bias = fit_probe(features[:, chosen], truth, self.num_classes)
            weights[index, :, chosen], biases[index] = weight, bias
        self.probes.take(weight=weights, bias=biases)
        return features, truth

    @torch.no_grad()
    def of_split(self, datamodule: OrderedData, split: str) -> tuple[Tensor, Tensor, Tensor]:
        """Both parts and the labels of all images of a split."""
        training = self.training
        self.eval()
        rows = []
        for batch in datamodule.ordered_dataloader(split):
            moved = self.moved(batch)
            rows.append((*self.features(moved), moved["label"]))
        self.train(training)
        first, second, label = (torch.cat(part) for part in zip(*rows, strict=True))
        return first, second, label

    def moved(self, batch: Batch) -> Batch:
        """A batch on the device of the module."""
        return {name: value.to(self.device) if isinstance(value, Tensor) else value for name, value in batch.items()}
