"""What a classifier saw in some of the test images."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lightning as L
import numpy as np
import torch

from medzoo.callbacks.collect import data_of, gather
from medzoo.callbacks.output import save_figures
from medzoo.evaluation.explanation.gradcam import OneModality, grad_cam, named_layer
from medzoo.evaluation.figures import explanation_figure

__all__ = ["GradCAMFigures"]

log = logging.getLogger(__name__)

BAG = "histology"
"""The modality that is a bag of tiles."""


@dataclass
class _Case:
    """An image (C, *spatial), its true class and its probabilities (K,); its name decides between equal ones.

    Of a network of several modalities, `inputs` is the batch of this patient alone.
    """

    name: str
    label: int
    prob: np.ndarray
    image: Any
    inputs: Any = None

    @property
    def wrong(self) -> bool:
        return int(self.prob.argmax()) != self.label


class GradCAMFigures(L.Callback):
    """Draws `figures/gradcam.png` by the tested network: test images with the evidence for a class over them.

    Of each class it takes the images about which the network was most confident, rightly and wrongly, as evenly as
    there are such. The evidence is that for the last of two classes, or for the predicted one of several. Images
    with several labels are not drawn. Probabilities are those of the test, averaged over flips and calibrated where
    the module does so; the map is that of the image as it is.

    Args:
        cases: How many images are drawn; no more than these are kept in memory.
        layer: Name of a layer of the network, or of the modality's encoder; null for its last map.
        modality: Of a network of several modalities, the one that is explained, in `figures/gradcam_<modality>.png`:
            of patients who have it, with all else that is known of them held fixed.

    Raises:
        ValueError: If `cases` is not positive.
    """

    def __init__(self, cases: int = 8, layer: str | None = None, modality: str | None = None) -> None:
        if cases < 1:
            raise ValueError(f"cases={cases} must be positive")
        self.cases, self.layer, self.modality = cases, layer, modality
        self._kept: list[_Case] = []

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Find the layer now: a wrong name should not wait for the test."""
        net: Any = pl_module.net
        if self.layer is not None and self.modality in (None, *getattr(pl_module, "modalities", ())):
            named_layer(net.encoders[self.modality] if self.modality else net, self.layer)

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start anew."""
        self._kept = []

    def on_test_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, *indices: int
    ) -> None:
        """Keep those images of a batch that may be among those to draw."""
        label, prob = (outputs[key].detach().cpu().numpy() for key in ("label", "prob"))
        if label.ndim > 1:
            return
        if self.modality is None:
            said = zip(outputs["id"], label.tolist(), prob, batch["image"], strict=True)
            found = [_Case(*one) for one in said]
        else:
            found = list(self._patients(pl_module, outputs["id"], label.tolist(), prob, batch))
        self._kept = _chosen([*self._kept, *found], self.cases)
        for case in self._kept:
            if isinstance(case.image, torch.Tensor):
                case.image = case.image.float().cpu().numpy().copy()  # a view would keep its whole batch
                case.inputs = case.inputs and {name: value.clone() for name, value in case.inputs.items()}

    def _patients(
        self, pl_module: L.LightningModule, ids: list[str], label: list[int], prob: np.ndarray, batch: Any
    ) -> Iterator[_Case]:
        """Those of a batch who have the modality; a bag of tiles (T, C, h, w) becomes an image (C, T, h, w)."""
        modalities: tuple[str, ...] = pl_module.modalities  # type: ignore[assignment]
        if self.modality not in modalities:
            return
        for row in batch["present"][:, modalities.index(self.modality)].nonzero()[:, 0].tolist():
            inputs = {name: batch[name][row : row + 1] for name in (*modalities, "present")}
            image = batch[self.modality][row]
            image = image.transpose(0, 1) if self.modality == BAG else image
            yield _Case(ids[row], label[row], prob[row], image, inputs)

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Explain and draw."""
        kept = _chosen(gather(self._kept), self.cases)
        if not trainer.is_global_zero:
            return
        if not kept:
            log.info("no Grad-CAM: it is drawn of images with one label each")
            return
        kept.sort(key=lambda case: (case.label, case.wrong, -case.prob.max(), case.name))
        targets = [1 if len(case.prob) == 2 else int(case.prob.argmax()) for case in kept]
        try:
            maps = [self._map(pl_module, case, target) for case, target in zip(kept, targets, strict=True)]
        except ValueError as error:  # a network without maps is no reason to lose its test
            log.warning("no Grad-CAM: %s", error)
            return
        names = data_of(trainer).class_names
        labels, prob = [case.label for case in kept], [case.prob for case in kept]
        figure = explanation_figure([case.image for case in kept], maps, targets, labels, prob, names)
        name = f"gradcam_{self.modality}" if self.modality else "gradcam"
        save_figures(trainer, {name: figure})

    def _map(self, pl_module: L.LightningModule, case: _Case, target: int) -> np.ndarray:
        """Grad-CAM (*spatial) of a case, alone: a batch of volumes with a graph may not fit."""
        weight = next(pl_module.parameters())
        image = torch.from_numpy(case.image).to(weight.device, weight.dtype)
        net: Any = pl_module.net
        if self.modality is None:
            return grad_cam(net, image[None], target, self.layer)[0].cpu().numpy()
        net = OneModality(net, case.inputs, case.inputs["present"], self.modality, bag=self.modality == BAG)
        layer = self.layer and f"net.encoders.{self.modality}.{self.layer}"
        return grad_cam(net, image[None], target, layer)[0].cpu().numpy()


def _chosen(cases: list[_Case], count: int) -> list[_Case]:
    """The first `count` when right and wrong cases of all classes take turns, the most confident first.

    A case that is left out among some is left out among more of them, because its turn can only move back. So
    nothing is lost by choosing after every batch, and on every rank.
    """
    groups: dict[tuple[int, bool], list[_Case]] = {}
    for case in sorted(cases, key=lambda case: (-case.prob.max(), case.name)):
        groups.setdefault((case.label, case.wrong), []).append(case)
    turns = [
        (turn, (label + wrong) % 2, label, case)  # 0 right, 1 wrong, 2 right, ...; then 0 wrong, 1 right, ...
        for (label, wrong), members in groups.items()
        for turn, case in enumerate(members)
    ]
    return [case for *_, case in sorted(turns, key=lambda entry: entry[:3])[:count]]
