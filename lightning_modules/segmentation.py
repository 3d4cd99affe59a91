"""Segmentation by any network that gives a list of logits: patches in training, whole images by sliding window after.

nnU-Net (doi:10.1038/s41592-020-01008-z; github.com/MIC-DKFZ/nnUNet, commit 0e49508, Apache-2.0): windows overlap by
half, are weighted by a Gaussian, and may be averaged over mirror images.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import lightning as L
import torch
import torch.nn.functional as F
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from lightning_modules.counts import VoxelCounts
from lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from lightning_modules.transfer import receive_network

__all__ = ["SegmentationModule"]

Batch = dict[str, Any]


class SegmentationModule(OptimizedModule):
    """Trains `net` on `{"image": (B, C, *patch), "mask": (B, *patch)}`; all else takes one whole case in a batch.

    Logs `train/loss`; `val/loss`, and `val/dice`, over all voxels of the split and the mean of all classes but the
    background that are true or said somewhere (nnU-Net's pseudo Dice). `test_step` and `predict_step` give label
    maps on the grid of the file.

    Args:
        net: From an image to logits, the full resolution first.
        criterion: Loss of the list of logits and the label map.
        optimizer: Builds the optimiser.
        scheduler: Builds the learning-rate schedule.
        num_classes: Background included.
        patch_size: Of a window.
        scheduler_interval: Whether the schedule counts epochs or steps.
        overlap: Of neighbouring windows.
        mirror: Axes over whose mirror images test and prediction are averaged; none in validation.
        windows_at_once: Windows that go through the network together.
        pretrained: Earlier stage whose network gives all weights but those of the heads.
    """

    dry_steps = ("training_step",)  # a training batch holds patches, the other steps take whole cases

    def __init__(
        self,
        net: nn.Module,
        criterion: nn.Module,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        num_classes: int,
        patch_size: Sequence[int],
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        overlap: float = 0.5,
        mirror: Sequence[int] = (),
        windows_at_once: int = 2,
        pretrained: str | None = None,
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval)
        self.net, self.criterion, self.num_classes = net, criterion, num_classes
        self.patch_size, self.overlap, self.windows_at_once = list(patch_size), overlap, windows_at_once
        self.mirror = [axes for count in range(len(mirror) + 1) for axes in itertools.combinations(mirror, count)]
        self.val_counts = VoxelCounts(num_classes)
        self.pretrained = pretrained

    @property
    def metric_names(self) -> list[str]:
        """What may be monitored."""
        return ["train/loss", "val/loss", "val/dice"]

    def receive(self, stages: Mapping[str, L.LightningModule]) -> None:
        """Start from the weights of the stage `pretrained`.

        Raises:
            ValueError: If there is no such stage, or its network is another.
        """
        receive_network(self.net, stages, self.pretrained)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, classes, *spatial) of whole images (B, C, *spatial) of any size."""
        return sliding_window_inference(
            image,
            self.patch_size,
            self.windows_at_once,
            lambda windows: self.net(windows)[0].float(),
            overlap=self.overlap,
            mode="gaussian",
        )  # type: ignore[return-value]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of patches."""
        loss, size = self.criterion(self.net(batch["image"]), batch["mask"]), len(batch["id"])
        self.log("train/loss_step", loss, on_step=True, on_epoch=False, batch_size=size)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=size, prog_bar=True, sync_dist=True)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Count anew."""
        self.val_counts.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss, and voxels that are right and wrong."""
        logits = on_grid(self(batch["image"]), batch["size"])
        self.log("val/loss", self.criterion([logits], batch["mask"]), on_epoch=True, batch_size=1, sync_dist=True)
        said, true = (F.one_hot(each, self.num_classes).flatten(0, -2) for each in (logits.argmax(1), batch["mask"]))
        self.val_counts.update(said, true)

    def on_validation_epoch_end(self) -> None:
        """Dice over all voxels of the split."""
        both, said, true = self.val_counts.compute()[:, 1:].double()
        self.log("val/dice", (2 * both / (said + true)).nanmean().float(), prog_bar=True)  # 0 / 0: left out

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """As `predict_step`."""
        return self.predict_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """`{"id": [name], "mask": (1, *size) uint8 label map, "probability": (1, classes, *size)}`."""
        logits = on_grid(self.mirrored(batch["image"]), batch["size"])
        return {"id": batch["id"], "mask": logits.argmax(1).to(torch.uint8), "probability": logits.softmax(1)}

    def export_step(self, image: Tensor) -> Tensor:
        """Probabilities (B, classes, *patch) of windows (B, C, *patch); whoever runs it puts windows together."""
        return self.net(image)[0].float().softmax(1)

    def mirrored(self, image: Tensor) -> Tensor:
        """Logits, averaged over mirror images."""
        total = torch.zeros(())
        for axes in self.mirror:
            dims = [2 + axis for axis in axes]
            logits = self(image.flip(dims)).flip(dims)
            total = logits if total.ndim == 0 else total + logits
        return total / len(self.mirror)


def on_grid(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits (B, classes, *spatial) on the grid of the file."""
    if tuple(logits.shape[2:]) == tuple(size):
        return logits
    return F.interpolate(logits, tuple(size), mode="trilinear" if len(size) == 3 else "bilinear")
