"""Self-supervised restoration: a network learns to undo corruptions of images (Models Genesis).

Zhou et al. 2021, "Models Genesis", Medical Image Analysis: mean squared error between the sigmoid of the output and the
original image. Works with any network that returns a list of logits, so that it can be trained for segmentation next.
"""

from typing import Literal, Unpack

import torch.nn.functional as F
from torch import Tensor, nn

from medzoo.lightning_modules.contracts import Batch
from medzoo.lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.step import StepSettings

__all__ = ["RestorationModule"]


class RestorationModule(OptimizedModule):
    """Trains `net` on `{"image": (B, C, *spatial) corrupted, "target": the original}`, both in [0, 1].

    Logs `train/loss`, `val/loss`, `test/loss`, the mean squared error, and `test/corrupted_loss`, that of
    the corrupted images.

    Args:
        net: From images to a list of logits (B, C, *spatial), full resolution first.
        optimizer: Builds the optimiser.
        scheduler: Builds the learning-rate schedule.
        scheduler_interval: Whether the schedule counts epochs or steps.
        **step: Of `OptimizedModule`.
    """

    def __init__(
        self,
        net: nn.Module,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        **step: Unpack[StepSettings],
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval, **step)
        self.net = net

    @property
    def metric_names(self) -> list[str]:
        """What may be monitored."""
        return ["train/loss", "val/loss"]

    def forward(self, image: Tensor) -> Tensor:
        """Restored images (B, C, *spatial) in [0, 1]."""
        return self.net(image)[0].float().sigmoid()

    def export_step(self, image: Tensor) -> Tensor:
        """As `forward`."""
        return self(image)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Error of a batch."""
        return self.log_training({"loss": F.mse_loss(self(batch["image"]), batch["target"])}, len(batch["id"]))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Error of a batch."""
        loss = F.mse_loss(self(batch["image"]), batch["target"])
        self.log_evaluation("val", {"loss": loss}, len(batch["id"]), prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Error of a batch, and what `predict_step` returns."""
        prediction = self.predict_step(batch, batch_idx)
        errors = {
            "loss": F.mse_loss(prediction["restored"], batch["target"]),
            "corrupted_loss": F.mse_loss(batch["image"], batch["target"]),
        }
        self.log_evaluation("test", errors, len(batch["id"]))
        return prediction

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """`{"id": B names, "restored": (B, C, *spatial)}`."""
        return {"id": batch["id"], "restored": self(batch["image"])}
