"""What would have to look different for a fusion to be less sure: latent shift in the joint code of all modalities."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from medzoo.callbacks.collect import CollectPredictions, data_of
from medzoo.callbacks.output import save_figures, write_csv
from medzoo.evaluation.explanation.latent_shift import Shift, latent_shift, shift_map, shift_shares
from medzoo.evaluation.figures import shift_figure

__all__ = ["LatentShiftFigures"]

log = logging.getLogger(__name__)


class LatentShiftFigures(CollectPredictions):
    """Walks down the probability of the last class from the tokens of test patients, as far as modalities can move.

    Writes `test_latent_shift.csv`, the mean share of each modality in the walk over those who have it, and draws
    `latent_shift.png`: of the patient of this class about whom the network is surest, what the decoders of the module
    show at the end of the walk. Without decoders the shares are all there is.

    Args:
        patients: The surest patients of the last class that are walked.
        steps: Of a walk.

    Raises:
        ValueError: If there are none.
    """

    def __init__(self, patients: int = 64, steps: int = 10) -> None:
        super().__init__()
        if patients < 1 or steps < 2:
            raise ValueError(f"patients={patients}, steps={steps}: expected at least 1 and 2")
        self.patients, self.steps = patients, steps

    def finish(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str, collected: dict[str, Any]) -> None:
        """Walk, write and draw."""
        if stage != "test" or not trainer.is_global_zero:
            return
        module: Any = pl_module
        score = np.where(collected["label"] == collected["prob"].shape[1] - 1, collected["prob"][:, -1], -1.0)
        chosen = [row for row in np.argsort(-score, kind="stable")[: self.patients] if score[row] >= 0]
        spread = {name: _spread(collected, index) for index, name in enumerate(module.modalities)}
        walks = [self._walk(module, collected, row) for row in chosen]
        shares = [shift_shares(walk, spread) for walk in walks]
        if not walks:
            log.info("no latent shift: the test has no patient of the last class")
            return
        run = Path(trainer.default_root_dir)
        rows = []
        for name in module.modalities:
            own = [share[name] for share in shares if name in share]
            rows.append({"modality": name, "patients": len(own), "share": float(np.mean(own)) if own else ""})
        write_csv(run / "test_latent_shift.csv", rows)
        shown = max(range(len(walks)), key=lambda index: (len(walks[index].codes), -index))
        figure = _figure(module, data_of(trainer), walks[shown], shares[shown])
        if figure is not None:
            save_figures(trainer, {"latent_shift": figure})

    def _walk(self, module: Any, collected: dict[str, Any], row: int) -> Shift:
        """The walk of one patient, over the tokens of what they have."""
        has = collected["present"][row]
        codes = {
            name: torch.from_numpy(collected["tokens"][row, index]).to(module.device)
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


def _spread(collected: dict[str, Any], index: int) -> float:
    """Root mean square distance of the tokens of a modality from their mean."""
    tokens = collected["tokens"][collected["present"][:, index], index]
    return float(np.sqrt(((tokens - tokens.mean(0)) ** 2).sum(1).mean())) if len(tokens) else 0.0


def _figure(module: Any, data: Any, walk: Shift, shares: Mapping[str, float]) -> Any:
    """What the decoders show of a walk; none where there is no decoder."""
    images, rows = {}, {}
    names = {"clinical": data.clinical_names, "genomics": data.gene_names if "genomics" in module.modalities else []}
    for name, decoder in module.decoders.items():
        if name not in walk.codes:
            continue
        with torch.no_grad():
            decoded = decoder(walk.codes[name]).float().cpu().numpy()
        if decoded.ndim > 2:
            images[name] = (decoded[-1], decoded[0], shift_map(decoded))
        else:
            rows[name] = (names[name], decoded[0] - decoded[-1])
    if not images and not rows:
        return None
    return shift_figure(images, rows, (float(walk.scores[-1]), float(walk.scores[0])), shares)
