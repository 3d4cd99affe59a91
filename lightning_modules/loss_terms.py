"""Named terms of a loss, logged in one place; after scvi-tools' `LossOutput`."""

from collections.abc import Mapping
from typing import Any

import lightning as L
from torch import Tensor

__all__ = ["LogsLossTerms", "Terms"]

Terms = dict[str, Tensor]
"""Scalars by name. `loss` is the total, which is minimised; how the others enter it is up to whoever made them."""


class LogsLossTerms(L.LightningModule):
    """Base of the modules that train: logs losses of steps and epochs the same way in all of them."""

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Log as Lightning does, with a float for the batch size.

        Lightning averages over ranks in the type of the batch size: integers are truncated, so that 5 and 4 cases would
        weigh 4 each.
        """
        if kwargs.get("batch_size") is not None:
            kwargs["batch_size"] = float(kwargs["batch_size"])
        super().log(*args, **kwargs)

    def log_training(self, terms: Mapping[str, Tensor], batch_size: int) -> Tensor:
        """Log `train/<term>_step` for each term, and `train/loss`, the mean total of an epoch over all ranks.

        Args:
            terms: Scalars, with the total as `loss`.
            batch_size: Weight of this batch in the mean.

        Returns:
            The total.
        """
        steps = {f"train/{name}_step": term for name, term in terms.items()}
        self.log_dict(steps, on_step=True, on_epoch=False, batch_size=batch_size)
        options = {"on_step": False, "on_epoch": True, "prog_bar": True, "sync_dist": True}
        self.log("train/loss", terms["loss"], batch_size=batch_size, **options)
        return terms["loss"]

    def log_evaluation(
        self, stage: str, terms: Mapping[str, Tensor], batch_size: int, *, prog_bar: bool = False
    ) -> None:
        """Log `<stage>/<term>`, the mean of each term over the split and all ranks.

        Args:
            stage: `val` or `test`.
            terms: Scalars.
            batch_size: Weight of this batch in the mean.
            prog_bar: Whether to show them in the progress bar.
        """
        numbers = {f"{stage}/{name}": term for name, term in terms.items()}
        self.log_dict(numbers, on_epoch=True, prog_bar=prog_bar, batch_size=batch_size, sync_dist=True)
