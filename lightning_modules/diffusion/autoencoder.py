"""First stage of a latent diffusion: an autoencoder of CT slices with hemorrhage masks, and its latent statistics.

HemExp, arXiv 2606.15304; github.com/orhunutkuaydin/HemExp (MIT). The objective is that of `HemorrhageAutoencoderLoss`;
the statistics of the latents are measured on the training split, where the original has four constants in its code.
"""

from collections.abc import Iterable
from typing import Literal, Unpack

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torchmetrics.segmentation import DiceScore

from medzoo.lightning_modules.contracts import Batch, TrainingData
from medzoo.lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.step import StepSettings
from medzoo.models.losses import PatchAdversarialTerm
from medzoo.models.protocols import ImageAutoencoder, wrong_network

__all__ = ["AutoencoderModule"]

MASKS = ("iph", "ivh")
HU_RANGE = 100.0  # a CT value of 1 is 100 HU above a value of 0


class AutoencoderModule(OptimizedModule):
    """Trains `net` to reconstruct `{"image": (B, 3, H, W)}`: CT in [0, 1], IPH and IVH.

    Logs `train/loss` and its terms; `loss`, `ct_mae_hu`, `dice_iph`, `dice_ivh` under `val/` and `test/` (Dice over all
    voxels of the split, at probability 0.5; NaN if prediction and truth are empty). The state holds `latent_mean` and
    `latent_std` (c,), measured by `finalize`.

    Args:
        net: Autoencoder with `encode`, `sample` and `decode`, such as `MultiHeadAutoencoderKL`.
        criterion: From reconstruction, image, mean, sigma and step to a dict of terms with `loss`, their sum.
        optimizer: Builds the optimiser of the autoencoder.
        scheduler: Its learning-rate schedule.
        scheduler_interval: Whether the schedule counts epochs or steps.
        adversarial: Adversarial term of the CT; None to train without a discriminator.
        discriminator_optimizer: Builds the discriminator's optimiser.
        accumulate: With `adversarial`, batches for each step, times `trainer.accumulate_grad_batches`.
        statistics_batches: Training batches used to measure the latents.
        **step: Of `OptimizedModule`.
    """

    latent_mean: Tensor
    latent_std: Tensor
    latents_measured: Tensor

    def __init__(
        self,
        net: nn.Module,
        criterion: nn.Module,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        scheduler_interval: Literal["epoch", "step"] = "step",
        adversarial: PatchAdversarialTerm | None = None,
        discriminator_optimizer: OptimizerPartial | None = None,
        accumulate: int = 1,
        statistics_batches: int = 100,
        **step: Unpack[StepSettings],
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval, **step)
        if (adversarial is None) != (discriminator_optimizer is None):
            raise ValueError("adversarial and discriminator_optimizer go together: give both or neither")
        if not isinstance(net, ImageAutoencoder):
            raise wrong_network(net, ImageAutoencoder, "MultiHeadAutoencoderKL")
        self.net, self.criterion, self.adversarial = net, criterion, adversarial
        self._discriminator_optimizer, self.accumulate = discriminator_optimizer, accumulate
        self.automatic_optimization = adversarial is None
        self.statistics_batches = statistics_batches
        channels = net.latent_channels
        self.register_buffer("latent_mean", torch.zeros(channels))
        self.register_buffer("latent_std", torch.ones(channels))
        self.register_buffer("latents_measured", torch.tensor(False))
        self.mask_dice = DiceScore(len(MASKS), average="none", aggregation_level="global")

    @property
    def metric_names(self) -> list[str]:
        """What may be monitored."""
        return ["train/loss", "val/loss", "val/ct_mae_hu", "val/dice_iph", "val/dice_ivh"]

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruction (B, 3, H, W) of an image: CT in [0, 1] and two probabilities, through the mean latent."""
        decoded = self.net.decode(self.net.encode(image)[0])
        return torch.cat([decoded[:, :1].clamp(0, 1), decoded[:, 1:].sigmoid()], dim=1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch; with a discriminator, also the steps of both optimisers."""
        image = batch["image"]
        if self.adversarial is None:
            terms, _ = self._reconstruct(image)
        else:
            terms = self._adversarial_step(self.adversarial, image)
        return self.log_training(terms, len(batch["id"]))

    def on_validation_epoch_start(self) -> None:
        """Reset the Dice."""
        self.mask_dice.reset()

    def on_test_epoch_start(self) -> None:
        """Reset the Dice."""
        self.mask_dice.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and errors of the reconstruction."""
        self._evaluate("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """As validation; returns what `predict_step` returns, with the image."""
        return {"id": batch["id"], "image": batch["image"], "reconstruction": self._evaluate("test", batch)}

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """`{"id": ..., "reconstruction": (B, 3, H, W)}`."""
        return {"id": batch["id"], "reconstruction": self(batch["image"])}

    def on_validation_epoch_end(self) -> None:
        """Dice over the split."""
        self._log_dice("val")

    def on_test_epoch_end(self) -> None:
        """Dice over the split."""
        self._log_dice("test")

    def finalize(self, datamodule: TrainingData) -> None:
        """Measure mean and standard deviation of each latent channel on training slices.

        Args:
            datamodule: With `unshared_dataloader`, so that every process measures the same batches.
        """
        self.measure_latents(datamodule.unshared_dataloader())

    @torch.no_grad()
    def measure_latents(self, batches: Iterable[Batch]) -> None:
        """Fill `latent_mean` and `latent_std` from at most `statistics_batches` batches."""
        sums = torch.zeros(3, len(self.latent_mean), dtype=torch.float64, device=self.device)
        for index, batch in enumerate(batches):
            if index == self.statistics_batches:
                break
            latent = self.net.encode(batch["image"].to(self.device))[0].double().transpose(0, 1).flatten(1)
            sums += torch.stack([torch.full_like(sums[0], latent.shape[1]), latent.sum(1), latent.square().sum(1)])
        mean = sums[1] / sums[0]
        self.latent_mean.copy_(mean)
        self.latent_std.copy_((sums[2] / sums[0] - mean.square()).sqrt())
        self.latents_measured.fill_(True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimiser with its schedule, or those of autoencoder and discriminator."""
        if self.adversarial is None:
            return super().configure_optimizers()
        assert self._discriminator_optimizer is not None
        generator = self.made(self._optimizer, self.net.parameters())
        schedulers = [] if self._scheduler is None else [self._scheduler(generator)]
        return [generator, self.made(self._discriminator_optimizer, self.adversarial.parameters())], schedulers

    def _reconstruct(self, image: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Terms of the loss through a sampled latent, and the reconstruction."""
        mean, sigma = self.net.encode(image)
        reconstruction = self.net.decode(self.net.sample(mean, sigma))
        return self.criterion(reconstruction, image, mean, sigma, self.reached_step), reconstruction

    def _adversarial_step(self, adversarial: PatchAdversarialTerm, image: Tensor) -> dict[str, Tensor]:
        """Add the adversarial term and step both optimisers after every `accumulate` batches."""
        now = self.reached_step  # for both; the generator's step would already raise it
        with self.learning(0):
            terms, reconstruction = self._reconstruct(image)
            fake, real = reconstruction[:, :1], image[:, :1]
            term = adversarial.generator_loss(fake, now)
            terms = {**terms, "adversarial": term, "loss": terms["loss"] + term}
            self.descend(0, terms["loss"])
        with self.learning(1):
            judged = adversarial.discriminator_loss(fake.detach(), real, now)
            self.descend(1, judged)
        if self.takes_steps and self.moves and self._scheduler:
            self.step_schedules()
        return {**terms, "discriminator": judged}

    def _evaluate(self, stage: str, batch: Batch) -> Tensor:
        image = batch["image"]
        mean, sigma = self.net.encode(image)
        decoded = self.net.decode(mean)
        terms = self.criterion(decoded, image, mean, sigma, 0)
        reconstruction = torch.cat([decoded[:, :1].clamp(0, 1), decoded[:, 1:].sigmoid()], dim=1)
        brain = image[:, :1] > 0
        error = ((reconstruction[:, :1] - image[:, :1]).abs() * brain).sum() / brain.sum().clamp_min(1)
        self.log_evaluation(stage, {"loss": terms["loss"], "ct_mae_hu": HU_RANGE * error}, len(batch["id"]))
        self.mask_dice.update(reconstruction[:, 1:] > 0.5, image[:, 1:] > 0.5)
        return reconstruction

    def _log_dice(self, stage: str) -> None:
        for name, dice in zip(MASKS, self.mask_dice.compute(), strict=True):
            self.log(f"{stage}/dice_{name}", dice, rank_zero_only=False)
