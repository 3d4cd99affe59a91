"""Supervised classification of images or volumes, with one label or several.

AUC and ACC are those of `medmnist.Evaluator` (medmnist 3.0.2): binary tasks score the last class and cut at 0.5,
multi-class and ordinal ones take the macro mean of one-versus-rest AUC and the argmax, multi-label ones the mean over
labels, each cut at 0.5. A test compares both on the same scores.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal, Unpack

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassCohenKappa,
    MultilabelAccuracy,
    MultilabelAUROC,
)

from medzoo.lightning_modules.contracts import Batch, OrderedData
from medzoo.lightning_modules.held_out import fit_to_validation
from medzoo.lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.step import StepSettings
from medzoo.lightning_modules.transfer import receive_network
from medzoo.models.fitted import Calibration, PatientThreshold
from medzoo.models.losses.classification import Task

__all__ = ["ClassificationModule", "classification_metrics"]


class ClassificationModule(OptimizedModule):
    """Trains `net` on batches `{"image": (B, C, *spatial), "label": ..., "id": list[str]}`.

    Logs `train/loss`, and `loss`, `auc`, `acc` (for ordinal tasks also `kappa`, quadratic) under `val/` and `test/`.

    Args:
        net: From (B, C, *spatial) to (B, K) logits.
        criterion: From logits and labels to a scalar.
        optimizer: Builds the optimiser from the parameters.
        scheduler: Builds a learning-rate schedule from the optimiser; none for a constant rate. Where its `total_steps`
            is null, the number of steps of the run is filled in.
        task: Kind of the labels.
        num_classes: K, two for binary tasks.
        scheduler_interval: Whether the schedule counts epochs or steps.
        tta_flips: Spatial axes (0-based); probabilities in testing and predicting are averaged over all
            combinations of flips along them. Validation is left alone.
        pretrained: Earlier stage that provides all weights except the head.
        calibrate: After training, fit a slope and biases of the probabilities to the validation cases.
        patient: Regular expression whose first group is the patient in the id of an image: after training, the
            threshold of a patient's mean probability is chosen on the validation patients.
        **step: Of `OptimizedModule`.

    Raises:
        ValueError: If `tta_flips` repeats an axis or names a negative one.
    """

    def __init__(
        self,
        net: nn.Module,
        criterion: nn.Module,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        task: Task,
        num_classes: int,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        tta_flips: Sequence[int] = (),
        pretrained: str | None = None,
        calibrate: bool = False,
        patient: str | None = None,
        **step: Unpack[StepSettings],
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval, **step)
        if len(set(tta_flips)) < len(tta_flips) or any(axis < 0 for axis in tta_flips):
            raise ValueError(f"tta_flips={list(tta_flips)}: expected different axes, counted from 0")
        self.net, self.criterion, self.task, self.pretrained = net, criterion, task, pretrained
        self._flips = [
            [axis + 2 for axis in axes]
            for count in range(len(tta_flips) + 1)
            for axes in combinations(tta_flips, count)
        ]
        self.calibration = Calibration(num_classes, independent=task == "multilabel") if calibrate else None
        self.patients = PatientThreshold(patient) if patient else None
        metrics = classification_metrics(task, num_classes)
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")

    @property
    def metric_names(self) -> list[str]:
        """What may be monitored: everything that validation logs, and the training loss."""
        return ["train/loss", "val/loss", *self.val_metrics]

    def receive(self, stages: Mapping[str, L.LightningModule]) -> None:
        """Start from the weights of the stage `pretrained`.

        Raises:
            ValueError: If there is no such stage, or its network is another.
        """
        receive_network(self.net, stages, self.pretrained)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, K) of images (B, C, *spatial)."""
        return self.net(image)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        loss = self.criterion(self(batch["image"]), batch["label"])
        return self.log_training({"loss": loss}, len(batch["id"]))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and metrics of a validation batch."""
        logits = self(batch["image"])
        self._log_evaluation("val", self.val_metrics, batch, self.criterion(logits, batch["label"]), self._prob(logits))

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Loss and metrics of a test batch; returns what `predict_step` returns, and the labels."""
        logits, prob = self._averaged(batch["image"])
        self._log_evaluation("test", self.test_metrics, batch, self.criterion(logits, batch["label"]), prob)
        return {"id": batch["id"], "prob": prob, "label": batch["label"]}

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """`{"id": list of B names, "prob": (B, K) float32 probabilities}`."""
        return {"id": batch["id"], "prob": self._averaged(batch["image"])[1]}

    def export_step(self, image: Tensor) -> Tensor:
        """Probabilities (B, K) of images (B, C, *spatial), as `predict_step`."""
        return self._averaged(image)[1]

    def finalize(self, datamodule: OrderedData) -> None:
        """Fit the calibration and the patient threshold, if configured, to the validation cases."""
        fit_to_validation(self, datamodule, self.calibration, self.patients)

    def _averaged(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the unflipped images, and probabilities averaged over all flips."""
        views = [self(image.flip(axes) if axes else image) for axes in self._flips]
        prob = torch.stack([self._prob(logits) for logits in views]).mean(0)
        return views[0], self.calibration(prob) if self.calibration is not None else prob

    def _prob(self, logits: Tensor) -> Tensor:
        return logits.float().sigmoid() if self.task == "multilabel" else logits.float().softmax(dim=1)

    def _log_evaluation(self, stage: str, metrics: MetricCollection, batch: Batch, loss: Tensor, prob: Tensor) -> None:
        label = batch["label"]
        metrics.update(prob[:, -1] if self.task == "binary" else prob, label.long())
        self.log_evaluation(stage, {"loss": loss}, len(batch["id"]))
        self.log_dict(metrics, on_epoch=True, prog_bar=stage == "val", batch_size=len(batch["id"]))


def classification_metrics(task: Task, num_classes: int) -> MetricCollection:
    """AUC and ACC as the MedMNIST evaluator defines them; for ordinal tasks also quadratic kappa.

    Args:
        task: Kind of the labels.
        num_classes: Number of classes or labels.

    Returns:
        Metrics of probabilities (B, K) (binary: of the last class, (B,)) and integer labels.
    """
    if task == "binary":
        return MetricCollection({"auc": BinaryAUROC(), "acc": BinaryAccuracy()})
    if task == "multilabel":
        return MetricCollection({"auc": MultilabelAUROC(num_classes), "acc": MultilabelAccuracy(num_classes)})
    metrics: dict[str, Metric | MetricCollection] = {
        "auc": MulticlassAUROC(num_classes),
        "acc": MulticlassAccuracy(num_classes, average="micro"),
    }
    if task == "ordinal":
        metrics["kappa"] = MulticlassCohenKappa(num_classes, weights="quadratic")
    return MetricCollection(metrics)
