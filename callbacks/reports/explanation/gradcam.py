"""Grad-CAM of some of the test images: what in an image speaks for a class."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, cast

import lightning as L
import numpy as np
import torch
from torch import Tensor

from medzoo.callbacks.collect import Batch, gather
from medzoo.callbacks.output import Report
from medzoo.callbacks.reports.base import TestReport
from medzoo.evaluation.explanation.gradcam import grad_cam, named_layer
from medzoo.evaluation.explanation.one_modality import ModalityNet, OneModality
from medzoo.evaluation.figures import explanation_figure

__all__ = ["Explained", "GradCAMFigures"]

log = logging.getLogger(__name__)

BAG = "histology"
"""The modality that is a bag of tiles."""

_nothing = partial(np.empty, 0)


class Data(Protocol):
    """Members of the datamodule that are used."""

    class_names: Sequence[str]


@dataclass(frozen=True)
class Explained:
    """A test image: its name, true class and probabilities (K,); between equally confident ones the name decides.

    Attributes:
        image: (C, *spatial), kept only of those that may be drawn.
        inputs: Of a network of several modalities, the batch of this patient alone.
        evidence: (*spatial), the map, made at the end of the test.
    """

    name: str
    label: int
    prob: np.ndarray
    image: np.ndarray = field(default_factory=_nothing)
    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    evidence: np.ndarray = field(default_factory=_nothing)

    @property
    def wrong(self) -> bool:
        """Whether another class than the true one was predicted."""
        return int(self.prob.argmax()) != self.label

    @property
    def target(self) -> int:
        """The class that is explained: the last of two, or the predicted one of several."""
        return 1 if len(self.prob) == 2 else int(self.prob.argmax())


class GradCAMFigures(TestReport[L.LightningModule, Data, Sequence[Explained]]):
    """Draws `figures/gradcam.png` by the tested network: test images with the evidence for a class over them.

    Of each class it takes the images about which the network was most confident, right and wrong in turn. The evidence
    is that for the last of two classes, or for the predicted one of several. Images with several labels are not drawn.
    Probabilities are those of the test, averaged over flips and calibrated where the module does so; the map is that of
    the image as it is.

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
        super().__init__()
        self.cases, self.layer, self.modality = cases, layer, modality
        self._modalities: tuple[str, ...] = ()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Find the layer now: a wrong name should not wait for the test."""
        self._modalities = tuple(getattr(pl_module, "modalities", ()))
        if self.layer is not None and self.modality in (None, *self._modalities):
            path = f"net.encoders.{self.modality}" if self.modality else "net"
            named_layer(pl_module.get_submodule(path), self.layer)

    def reset(self) -> None:
        """Forget earlier batches."""
        self._kept: list[Explained] = []

    def keep(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Keep those images of a batch that may be among those to draw."""
        label, prob = (outputs[key].detach().cpu().numpy() for key in ("label", "prob"))
        if label.ndim > 1:
            return
        found = {row: Explained(outputs["id"][row], int(label[row]), prob[row]) for row in self._rows(batch, len(prob))}
        kept = _chosen([*self._kept, *found.values()], self.cases)
        of = {id(case): row for row, case in found.items()}
        self._kept = [self._stored(case, batch, of[id(case)]) if id(case) in of else case for case in kept]

    def _rows(self, batch: Batch, count: int) -> list[int]:
        """Rows of a batch of those who have the modality."""
        if self.modality is None:
            return [*range(count)]
        if self.modality not in self._modalities:
            return []
        return batch["present"][:, self._modalities.index(self.modality)].nonzero()[:, 0].tolist()

    def _stored(self, case: Explained, batch: Batch, row: int) -> Explained:
        """With copies of its own: a view would keep the whole batch. A bag (T, C, h, w) becomes (C, T, h, w)."""
        image = batch[self.modality or "image"][row]
        image = image.transpose(0, 1) if self.modality == BAG else image
        names = (*self._modalities, "present") if self.modality else ()
        inputs = {name: batch[name][row : row + 1].cpu().clone() for name in names}
        return replace(case, image=image.float().cpu().numpy().copy(), inputs=inputs)

    def collected(self, module: L.LightningModule, data: Data) -> Sequence[Explained]:
        """The images of all ranks that are drawn, with their maps; none where the network has no map."""
        kept = _chosen(gather(self._kept), self.cases)
        kept.sort(key=lambda case: (case.label, case.wrong, -case.prob.max(), case.name))
        if not kept:
            log.info("no Grad-CAM: it is drawn of images with one label each")
        try:
            return [replace(case, evidence=self._map(module, case)) for case in kept]
        except ValueError as error:  # a network without maps is no reason to lose its test
            log.warning("no Grad-CAM: %s", error)
            return []

    def report(self, collected: Sequence[Explained], data: Data) -> Report:
        """The figure."""
        if not collected:
            return Report()
        figure = explanation_figure(
            [case.image for case in collected],
            [case.evidence for case in collected],
            [case.target for case in collected],
            [case.label for case in collected],
            [case.prob for case in collected],
            data.class_names,
        )
        return Report(figures={f"gradcam_{self.modality}" if self.modality else "gradcam": figure})

    def _map(self, module: L.LightningModule, case: Explained) -> np.ndarray:
        """Grad-CAM (*spatial) of a case, alone: a batch of volumes with a graph may not fit."""
        weight = next(module.parameters())
        image = torch.from_numpy(case.image).to(weight.device, weight.dtype)[None]
        net, layer = module.get_submodule("net"), self.layer
        if self.modality is not None:
            whole, bag = cast(ModalityNet, net), self.modality == BAG
            inputs = {name: value.to(weight.device) for name, value in case.inputs.items()}
            net = OneModality(whole, inputs, inputs["present"], self.modality, bag=bag)
            layer = self.layer and f"net.encoders.{self.modality}.{self.layer}"
        return grad_cam(net, image, case.target, layer)[0].cpu().numpy()


def _chosen(cases: list[Explained], count: int) -> list[Explained]:
    """The first `count` when right and wrong cases of all classes take turns, the most confident first.

    A case that is left out among some is left out among more of them, because its turn can only move back. So
    nothing is lost by choosing after every batch, and on every rank.
    """
    groups: dict[tuple[int, bool], list[Explained]] = {}
    for case in sorted(cases, key=lambda case: (-case.prob.max(), case.name)):
        groups.setdefault((case.label, case.wrong), []).append(case)
    turns = [
        (turn, (label + wrong) % 2, label, case)  # 0 right, 1 wrong, 2 right, ...; then 0 wrong, 1 right, ...
        for (label, wrong), members in groups.items()
        for turn, case in enumerate(members)
    ]
    return [case for *_, case in sorted(turns, key=lambda entry: entry[:3])[:count]]
