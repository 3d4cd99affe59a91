"""Base of the VAEs with a two-part code: a penalty on the mutual information of the parts, and linear probes.

The penalty follows Vétil et al. 2023 (arXiv:2308.11389): an estimator with its own optimiser is trained on detached
parts, and is fixed while the VAE steps. Each step updates only one of the two.
"""

from typing import Unpack

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from medzoo.evaluation.scores.representations import auc_of
from medzoo.lightning_modules.contracts import Batch, OrderedData
from medzoo.lightning_modules.loss_terms import Terms
from medzoo.lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.step import StepSettings
from medzoo.lightning_modules.vae.probed import Pair, ProbedParts
from medzoo.models.losses import CLUB, DensityRatio, draw
from medzoo.models.losses.classification import Task
from medzoo.models.protocols import TwoPartNetwork

__all__ = ["Pair", "TwoPartVAEModule"]


class TwoPartVAEModule(OptimizedModule, ProbedParts):
    """Base of the modules whose code has two parts; subclasses define the parts and the terms of the loss.

    Logs `train/loss` and its terms; `loss`, `mse` (squared error of a pixel), `kl` and `mi` (estimated mutual
    information, in nats) under `val/` and `test/`. In validation and test, `loss` is the objective without the
    penalty, at the mean of the latent.

    `ProbedParts` measures how well each part, and both together, predict the label.

    Args:
        net: The VAE.
        optimizer: Builds the optimiser of the VAE.
        scheduler: Its learning-rate schedule.
        scheduler_interval: Whether the schedule counts epochs or steps; with a penalty, epochs.
        widths: Number of features of each part.
        task: Kind of the labels, one for each image.
        num_classes: K.
        sigma: Standard deviation of a pixel around its reconstruction, in units of the image.
        mi: Estimator of the mutual information of the parts; None for no penalty.
        mi_optimizer: Builds the optimiser of the estimator.
        mi_weight: Weight of the penalty; with 0 the estimator only measures.
        mi_every: Train the estimator on all training images before every n-th epoch (5 in the paper); 0 for a step of
            the estimator after each step of the VAE, which is cheaper.
        mi_steps: With `mi_every`, steps on all training images at once (150 in the paper).
        probe_every: Log `val/auc` of both parts every n-th epoch; 0 for never. The regressions are always fitted after
            training.
        **step: Of `OptimizedModule`.

    Raises:
        ValueError: If arguments contradict each other or are out of range.
    """

    def __init__(
        self,
        net: TwoPartNetwork,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        widths: tuple[int, int],
        task: Task,
        num_classes: int,
        sigma: float = 0.1,
        mi: CLUB | DensityRatio | None = None,
        mi_optimizer: OptimizerPartial | None = None,
        mi_weight: float = 1.0,
        mi_every: int = 0,
        mi_steps: int = 150,
        probe_every: int = 0,
        **step: Unpack[StepSettings],
    ) -> None:
        super().__init__(optimizer, scheduler, "epoch", **step)
        if task == "multilabel":
            raise ValueError("task=multilabel: the regressions need one label for each image")
        if (mi is None) != (mi_optimizer is None):
            raise ValueError("mi and mi_optimizer go together: give both or neither")
        if min(sigma, mi_steps) <= 0 or min(mi_weight, mi_every, probe_every) < 0:
            raise ValueError(
                f"sigma={sigma} and mi_steps={mi_steps} must be positive, weights and intervals not below 0"
            )
        self.net, self.mi, self._mi_optimizer = net, mi, mi_optimizer
        self.task, self.num_classes, self.sigma = task, num_classes, sigma
        self.mi_weight, self.mi_every, self.mi_steps = mi_weight, mi_every, mi_steps
        self.probe_every, self.widths = probe_every, widths
        self.automatic_optimization = mi is None
        self.make_probes(num_classes)

    @property
    def metric_names(self) -> list[str]:
        """What may be monitored."""
        names = ["train/loss", "val/loss", "val/mse", "val/kl", *(["val/mi"] if self.mi else [])]
        return [*names, "val/auc"] if self.probe_every == 1 else names

    def terms(self, batch: Batch, code: tuple[Pair, Pair], parts: Pair) -> Terms:
        """Terms of the objective, with `loss`, their sum, and `mse`.

        Args:
            batch: A batch of images.
            code: Mean and log variance of each part; the log variance of a part that is not sampled is ignored.
            parts: Samples or means of the parts.
        """
        raise NotImplementedError

    def encode(self, batch: Batch) -> tuple[Pair, Pair]:
        """Mean and log variance of each part (B, width)."""
        raise NotImplementedError

    def decode(self, first: Tensor, second: Tensor) -> Tensor:
        """Images of codes."""
        return self.net.decode(first, second)

    def reconstruct(self, batch: Batch, parts: Pair) -> Tensor:
        """Images of a batch, from their parts."""
        return self.decode(*parts)

    def draw(self, batch: Batch, code: tuple[Pair, Pair]) -> Pair:
        """A sample of each part."""
        return draw(*code[0]), draw(*code[1])

    def features(self, batch: Batch) -> Pair:
        """Both parts of images: means, without noise."""
        (first, _), (second, _) = self.encode(batch)
        return first, second

    def penalised(self, batch: Batch, parts: Pair) -> Pair:
        """The pairs whose mutual information is penalised."""
        return parts

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch; with an estimator, also the steps of both optimisers."""
        if self.mi is None:
            terms, _ = self._objective(batch)
        else:
            terms = self._adversarial_step(batch, batch_idx)
        return self.log_training(terms, len(batch["id"]))

    def on_train_epoch_end(self) -> None:
        """Step the schedule of the VAE, if Lightning does not."""
        if not self.automatic_optimization and self._scheduler is not None:
            self.step_schedules()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and its terms, through the means."""
        self._evaluate("val", batch)

    def on_validation_epoch_end(self) -> None:
        """AUC of the label from both parts, every `probe_every` epochs."""
        if self.probe_every and (self.current_epoch + 1) % self.probe_every == 0 and not self.trainer.sanity_checking:
            self.fit_probes(self.datamodule)
            first, second, label = self.of_split(self.datamodule, "val")
            prob = self.probes(torch.cat([first, second], 1))[:, 2]
            self.log("val/auc", auc_of(label.cpu().numpy(), prob.cpu().numpy()), prog_bar=True, rank_zero_only=False)

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """As validation; returns what `predict_step` returns, with both parts, the label and all probabilities.

        Beside those of `predict_step` there are `probs` (B, S, K), in the order of `set_names`.
        """
        self._evaluate("test", batch)
        first, second = self.features(batch)
        probs = self.all_probabilities(batch, first, second)
        prediction = {"id": batch["id"], "prob": probs[:, 2], "label": batch["label"]}
        return {**prediction, "probs": probs, "first": first, "second": second}

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimiser with its schedule, or those of the VAE and the estimator."""
        if self.mi is None:
            return super().configure_optimizers()
        assert self._mi_optimizer is not None
        of_mi = set(self.mi.parameters())
        optimizer = self.made(self._optimizer, [weight for weight in self.parameters() if weight not in of_mi])
        schedulers = [] if self._scheduler is None else [self._scheduler(optimizer)]
        return [optimizer, self.made(self._mi_optimizer, self.mi.parameters())], schedulers

    def _objective(self, batch: Batch) -> tuple[Terms, Pair]:
        """Terms of the loss through a sampled code, with the penalty, and the pairs that are penalised."""
        code = self.encode(batch)
        parts = self.draw(batch, code)
        terms = self.terms(batch, code, parts)
        pair = self.penalised(batch, parts)
        if self.mi is not None and len(pair[0]):
            terms["mi"] = self.mi(*pair)
            terms["loss"] = terms["loss"] + self.mi_weight * terms["mi"]
        return terms, pair

    def _adversarial_step(self, batch: Batch, batch_idx: int) -> Terms:
        """A step of the VAE, then, with `mi_every` 0, one of the estimator on the code from before the VAE's step."""
        if self.takes_steps and batch_idx == 0 and self.mi_every and self.current_epoch % self.mi_every == 0:
            self._fit_estimator()
        with self.learning(0):
            terms, pair = self._objective(batch)
            self.descend(0, terms["loss"])
        if not self.mi_every or not self.takes_steps:
            self._step_estimator((pair[0].detach(), pair[1].detach()))
        return terms

    def _step_estimator(self, pair: Pair, *, at_once: bool = False) -> None:
        """A step on detached pairs; fewer than two teach nothing."""
        few, alone = len(pair[0]) < 2, self._trainer is None or self.trainer.world_size == 1
        if few and alone:
            return
        estimator = self.mi
        assert estimator is not None
        with self.learning(1):  # other ranks may have pairs, and would wait for this backward pass
            loss = _no_loss(estimator) if few else estimator.loss(*pair)
            self.descend(1, loss, at_once=at_once)

    def _fit_estimator(self) -> None:
        """The paper's alternating schedule: train the estimator on all training images, with the VAE fixed."""
        with torch.no_grad():
            datamodule: OrderedData = self.datamodule
            batches = [self.moved(batch) for batch in datamodule.ordered_dataloader("train")]
            codes = [(batch, self.encode(batch)) for batch in batches]
        for _ in range(self.mi_steps):
            pairs = [self.penalised(batch, self.draw(batch, code)) for batch, code in codes]
            first, second = (torch.cat(part) for part in zip(*pairs, strict=True))
            self._step_estimator((first, second), at_once=True)

    def _evaluate(self, stage: str, batch: Batch) -> None:
        code = self.encode(batch)
        parts = code[0][0], code[1][0]
        terms = self.terms(batch, code, parts)
        pair = self.penalised(batch, parts)
        numbers = {name: terms[name] for name in ("loss", "mse", "kl")}
        if self.mi is not None and len(pair[0]):
            numbers["mi"] = self.mi.estimate(*pair)
        self.log_evaluation(stage, numbers, len(batch["id"]))


def _no_loss(net: nn.Module) -> Tensor:
    """0, with a gradient of 0 for every weight."""
    return torch.stack([0 * weight.sum() for weight in net.parameters()]).sum()
