"""Segmentation by any network that returns a list of logits: trained on patches, applied by sliding window.

As in nnU-Net (doi:10.1038/s41592-020-01008-z; github.com/MIC-DKFZ/nnUNet, commit 0e49508, Apache-2.0), windows overlap
by half, are weighted by a Gaussian, and can be averaged over mirrored images.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Literal, Unpack

import lightning as L
import torch
import torch.nn.functional as F
from monai.inferers import sliding_window_inference
from torch import Tensor, nn
from torchmetrics.segmentation import DiceScore

from medzoo.lightning_modules.contracts import Batch
from medzoo.lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.step import StepSettings
from medzoo.lightning_modules.transfer import receive_network
from medzoo.models.losses.segmentation import in_regions

__all__ = ["SegmentationModule"]


class SegmentationModule(OptimizedModule):
    """Trains `net` on `{"image": (B, C, *patch), "mask": (B, *patch)}`; other steps take one whole case.

    Logs `train/loss`, `val/loss` and `val/dice`: Dice over all voxels of the split, averaged over the foreground
    classes (or regions) that occur in prediction or truth (nnU-Net's pseudo Dice). `test_step` and `predict_step`
    return label maps on the grid of the file. Voxels that are not annotated count neither in the loss nor in the Dice.

    Args:
        net: From images to a list of logits, full resolution first.
        criterion: Loss of a list of logits and a label map.
        optimizer: Builds the optimiser.
        scheduler: Builds the learning-rate schedule.
        num_classes: Channels of the logits: background and classes, or regions.
        patch_size: Size of a window.
        scheduler_interval: Whether the schedule counts epochs or steps.
        overlap: Share of a window that it has in common with its neighbour, in [0, 1).
        tta_flips: Spatial axes (0-based); test and prediction are averaged over all combinations of flips.
        sw_batch_size: Windows in one forward pass.
        pretrained: Earlier stage that provides all weights except the heads.
        regions: Label values of each region; regions may overlap. None to learn classes.
        regions_class_order: Label value written for each region; later regions overwrite earlier ones.
        ignore: Label value of voxels that are not annotated; None if there are none.
        **step: Of `OptimizedModule`.

    Raises:
        ValueError: If `regions`, `regions_class_order` and `num_classes` differ in length.
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
        tta_flips: Sequence[int] = (),
        sw_batch_size: int = 2,
        pretrained: str | None = None,
        regions: Sequence[Sequence[int]] | None = None,
        regions_class_order: Sequence[int] | None = None,
        ignore: int | None = None,
        **step: Unpack[StepSettings],
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval, **step)
        self.net, self.criterion, self.num_classes = net, criterion, num_classes
        self.patch_size, self.overlap, self.sw_batch_size = list(patch_size), overlap, sw_batch_size
        self.flips = [axes for count in range(len(tta_flips) + 1) for axes in itertools.combinations(tta_flips, count)]
        self.pretrained = pretrained
        self.regions, self.order, self.ignore = regions or [], list(regions_class_order or ()), ignore
        self.val_dice = DiceScore(
            num_classes, include_background=bool(regions), average="macro", aggregation_level="global"
        )  # the macro mean leaves out classes that neither truth nor prediction has
        if self.regions and not len(self.regions) == len(self.order) == num_classes:
            raise ValueError(
                f"regions={regions}, regions_class_order={regions_class_order} and num_classes={num_classes} must be "
                "equally many: remove the overrides, the datamodule provides them"
            )

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
        logits = sliding_window_inference(
            image,
            self.patch_size,
            self.sw_batch_size,
            lambda windows: self.net(windows)[0].float(),
            overlap=self.overlap,
            mode="gaussian",
        )
        assert isinstance(logits, Tensor)
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of patches."""
        loss = self.criterion(self.net(batch["image"]), batch["mask"])
        return self.log_training({"loss": loss}, len(batch["id"]))

    def on_validation_epoch_start(self) -> None:
        """Reset the Dice."""
        self.val_dice.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss, and counts for the Dice."""
        logits = on_grid(self(batch["image"]), batch["size"])
        self.log_evaluation("val", {"loss": self.criterion([logits], batch["mask"])}, 1)
        self.val_dice.update(*self._voxels(logits, batch["mask"]))

    def on_validation_epoch_end(self) -> None:
        """Dice over all voxels of the split."""
        self.log("val/dice", self.val_dice.compute(), prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """As `predict_step`."""
        return self.predict_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """`{"id": [name], "mask": (1, *size) uint8 label map, "probability": (1, classes, *size)}`."""
        logits = on_grid(self.mirrored(batch["image"]), batch["size"])
        return {"id": batch["id"], "mask": self.label_map(logits), "probability": self.probability(logits)}

    def label_map(self, logits: Tensor) -> Tensor:
        """Logits (B, classes, *spatial) to label values (B, *spatial) uint8: the likeliest class, or by regions."""
        if not self.regions:
            return logits.argmax(1).to(torch.uint8)
        written = torch.zeros_like(logits[:, 0], dtype=torch.uint8)
        for number, value in enumerate(self.order):
            written[logits[:, number] > 0] = value  # a probability above one half
        return written

    def probability(self, logits: Tensor) -> Tensor:
        """Probabilities of classes, which sum to 1, or of regions, which are independent."""
        return logits.sigmoid() if self.regions else logits.softmax(1)

    def export_step(self, image: Tensor) -> Tensor:
        """Probabilities (B, classes, *patch) of windows (B, C, *patch); the caller assembles the windows."""
        return self.probability(self.net(image)[0].float())

    def _voxels(self, logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and truth, bool (B, classes or regions, *spatial), false in all where nothing is annotated."""
        if self.regions:
            prediction, truth = logits > 0, in_regions(mask, self.regions)
        else:
            classes = [[value] for value in range(self.num_classes)]
            prediction, truth = in_regions(logits.argmax(1), classes), in_regions(mask, classes)
        known = (mask != self.ignore)[:, None] if self.ignore is not None else torch.ones_like(truth[:, :1])
        return prediction & known, truth & known

    def mirrored(self, image: Tensor) -> Tensor:
        """Logits (B, classes, *spatial), averaged over mirrored images."""
        total = torch.zeros(())
        for axes in self.flips:
            dims = [2 + axis for axis in axes]
            logits = self(image.flip(dims)).flip(dims)
            total = logits if total.ndim == 0 else total + logits
        return total / len(self.flips)


def on_grid(logits: Tensor, size: Sequence[int]) -> Tensor:
    """Logits (B, classes, *spatial) on the grid of the file."""
    if tuple(logits.shape[2:]) == tuple(size):
        return logits
    return F.interpolate(logits, tuple(size), mode="trilinear" if len(size) == 3 else "bilinear")
