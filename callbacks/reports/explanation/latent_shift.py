"""Latent shift in the joint code of all modalities: what has to change for a fusion to be less certain."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from medzoo.callbacks.collect import Predictions
from medzoo.callbacks.output import Report
from medzoo.callbacks.reports.base import TestReport
from medzoo.callbacks.reports.fusion.collected import Net
from medzoo.evaluation.explanation.latent_shift import Shift, latent_shift, shift_map, shift_shares
from medzoo.evaluation.figures import shift_figure

__all__ = ["LatentShiftFigures", "Walks"]

log = logging.getLogger(__name__)


class FusionNet(Net, Protocol):
    """Members of the network that are used; `dim` is the length of its tokens."""

    dim: int


class Decoders(Protocol):
    """Decoders by modality, each from tokens (S, D) to images (S, C, *spatial) or rows (S, F)."""

    def items(self) -> Sequence[tuple[str, torch.nn.Module]]:
        """Each decoder with its modality."""


class Module(Protocol):
    """Members of the module that are used."""

    modalities: Sequence[str]
    device: torch.device
    net: FusionNet
    decoders: Decoders


class Data(Protocol):
    """Members of the datamodule that are used; `gene_names` only with genomics."""

    clinical_names: Sequence[str]
    gene_names: Sequence[str]


@dataclass(frozen=True)
class Walks:
    """Walks of patients.

    Attributes:
        shares: Of each patient, the share of each modality in the walk.
        modalities: All of them.
        scores: Of the drawn patient, the own score and that at the end of the walk.
        decoded: Of the drawn patient, (S, ...) by modality with a decoder, the last being the patient's own.
        drawn: Shares of the drawn patient.
    """

    shares: Sequence[Mapping[str, float]]
    modalities: Sequence[str]
    scores: tuple[float, float]
    decoded: Mapping[str, np.ndarray]
    drawn: Mapping[str, float]


class LatentShiftFigures(TestReport[Module, Data, Walks | None]):
    """Walks down the probability of the last class from the tokens of test patients, as far as modalities can move.

    Writes `test_latent_shift.csv`, the mean share of each modality in the walk over those who have it, and draws
    `latent_shift.png`: what the decoders of the module show at the end of the walk of one patient of this class, the
    one with the highest probability among those with most modalities. Without decoders only the table is written.

    Args:
        patients: How many patients are walked: those of the last class with the highest probability of it.
        steps: Of a walk.

    Raises:
        ValueError: If there are none.
    """

    def __init__(self, patients: int = 64, steps: int = 10) -> None:
        super().__init__()
        if patients < 1 or steps < 2:
            raise ValueError(f"patients={patients}, steps={steps}: expected at least 1 and 2")
        self.patients, self.steps = patients, steps

    def collected(self, module: Module, data: Data) -> Walks | None:
        """Walk, and decode the walk that is drawn; nothing without a patient of the last class."""
        found = self.predictions()
        score = np.where(found["label"] == found["prob"].shape[1] - 1, found["prob"][:, -1], -1.0)
        chosen = [row for row in np.argsort(-score, kind="stable")[: self.patients] if score[row] >= 0]
        if not chosen:
            return None
        spread = {name: _spread(found, index) for index, name in enumerate(module.modalities)}
        walks = [self._walk(module, found, row) for row in chosen]
        shares = [shift_shares(walk, spread) for walk in walks]
        shown = max(range(len(walks)), key=lambda index: (len(walks[index].codes), -index))
        ends = float(walks[shown].scores[-1]), float(walks[shown].scores[0])
        return Walks(shares, module.modalities, ends, _decoded(module, walks[shown]), shares[shown])

    def report(self, collected: Walks | None, data: Data) -> Report:
        """The mean shares, and the figure where something was decoded."""
        if collected is None:
            log.info("no latent shift: the test has no patient of the last class")
            return Report()
        rows = []
        for name in collected.modalities:
            own = [share[name] for share in collected.shares if name in share]
            rows.append({"modality": name, "patients": len(own), "share": float(np.mean(own)) if own else ""})
        images, changes = {}, {}
        names = {"clinical": data.clinical_names}
        names |= {"genomics": data.gene_names} if "genomics" in collected.modalities else {}
        for name, decoded in collected.decoded.items():
            if decoded.ndim > 2:
                images[name] = (decoded[-1], decoded[0], shift_map(decoded))
            else:
                changes[name] = (names[name], decoded[0] - decoded[-1])
        figures = {}
        if collected.decoded:
            figures["latent_shift"] = shift_figure(images, changes, collected.scores, collected.drawn)
        return Report(tables={"test_latent_shift.csv": rows}, figures=figures)

    def _walk(self, module: Module, found: Predictions, row: int) -> Shift:
        """The walk of one patient, over the tokens of the modalities that they have."""
        has = found["present"][row]
        codes = {
            name: torch.from_numpy(found["tokens"][row, index]).to(module.device)
            for index, name in enumerate(module.modalities)
            if has[index]
        }

        def probability(given: Mapping[str, Tensor]) -> Tensor:
            count = len(next(iter(given.values())))
            absent = torch.zeros(count, module.net.dim, device=module.device)
            tokens = torch.stack([given.get(name, absent) for name in module.modalities], 1)
            present = torch.from_numpy(has).to(module.device).expand(count, -1)
            return module.net.fuse(tokens, module.net.evidence(tokens), present).output[:, :-1].softmax(1)[:, -1]

        return latent_shift(probability, codes, count=self.steps)


def _spread(found: Predictions, index: int) -> float:
    """Root mean square distance of the tokens of a modality from their mean."""
    tokens = found["tokens"][found["present"][:, index], index]
    return float(np.sqrt(((tokens - tokens.mean(0)) ** 2).sum(1).mean())) if len(tokens) else 0.0


def _decoded(module: Module, walk: Shift) -> dict[str, np.ndarray]:
    """The walk through each decoder."""
    with torch.no_grad():
        return {
            name: decoder(walk.codes[name]).float().cpu().numpy()
            for name, decoder in module.decoders.items()
            if name in walk.codes
        }
