"""A curriculum for bags of tiles: from all tiles to those that are hard to tell from (Bengio et al. 2009, ICML)."""

from typing import Any

import lightning as L

__all__ = ["TileCurriculum"]


class TileCurriculum(L.Callback):
    """Leaves a growing share of the most attended tiles out of the training bags, up to `share`.

    The share grows evenly from the end of epoch `start` on and is reached at the end of epoch `full`. It depends on the
    epoch alone, so that resuming is exact. A frozen encoder is not concerned.

    Args:
        share: In the end, from 0 to below 1.
        start: Epochs with all tiles.
        full: Epochs until the whole share is left out.
        modality: The encoder in `net.encoders`; it must have `hidden_share`, as `TileEncoder` has.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(self, share: float = 0.5, start: int = 5, full: int = 20, modality: str = "histology") -> None:
        if not 0 <= share < 1 or not 0 <= start < full:
            raise ValueError(
                f"curriculum: share={share} must be from 0 to below 1, and start={start} below full={full}"
            )
        self.share, self.start, self.full, self.modality = share, start, full, modality

    def share_in(self, epoch: int) -> float:
        """The share that is left out in an epoch, counted from 0."""
        return self.share * min(max((epoch - self.start) / (self.full - self.start), 0.0), 1.0)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Set the share of the epoch.

        Raises:
            ValueError: If there is no such encoder.
        """
        net: Any = pl_module.net
        encoder: Any = dict(net.encoders).get(self.modality)
        if not hasattr(encoder, "hidden_share"):
            raise ValueError(f"curriculum: no encoder of tiles for {self.modality}; set callbacks.curriculum=null")
        encoder.hidden_share = self.share_in(trainer.current_epoch)
