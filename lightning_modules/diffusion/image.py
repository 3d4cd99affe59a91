"""Unconditional diffusion of images: learns the distribution of a class and samples more of it.

Ho et al. 2020 (arXiv:2006.11239), with the velocity objective (arXiv:2202.00512) and min-SNR weights
(arXiv:2303.09556); the original of the hematoma pipeline (github.com/DeepMedX/sICH_HE) predicts the noise with a summed
error.
"""

from collections.abc import Callable, Sequence
from typing import Literal, Unpack

import torch
from torch import Tensor, nn

from medzoo.lightning_modules.contracts import Batch
from medzoo.lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.step import StepSettings
from medzoo.models.diffusion import NoiseSchedule, Sampler

__all__ = ["ImageDiffusionModule"]


class ImageDiffusionModule(OptimizedModule):
    """Trains `net` on `{"image": (B, C, H, W)}` in [-1, 1]. Logs `train/loss`, `val/loss` and `test/loss`.

    Args:
        net: Predicts the velocity from noisy images (B, C, H, W) and times (B,).
        schedule: Noise schedule.
        sampler: Turns noise into images.
        optimizer: Builds the optimiser.
        scheduler: Builds the learning-rate schedule.
        image_shape: (C, H, W).
        scheduler_interval: Whether the schedule counts epochs or steps.
        gamma: Cap of the min-SNR weight.
        images_at_once: Images sampled together.
        **step: Of `OptimizedModule`.
    """

    dry_steps = ("training_step",)  # it samples images from noise: there is nothing to predict on

    def __init__(
        self,
        net: nn.Module,
        schedule: NoiseSchedule,
        sampler: Sampler,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        image_shape: Sequence[int],
        scheduler_interval: Literal["epoch", "step"] = "step",
        gamma: float = 5.0,
        images_at_once: int = 64,
        **step: Unpack[StepSettings],
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval, **step)
        self.net, self.schedule, self.sampler, self.gamma = net, schedule, sampler, gamma
        self.image_shape, self.images_at_once = tuple(image_shape), images_at_once

    @property
    def metric_names(self) -> list[str]:
        """What may be monitored."""
        return ["train/loss", "val/loss"]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss at random times."""
        image = batch["image"]
        t = torch.randint(self.schedule.timesteps, (len(image),), device=self.device)
        return self.log_training({"loss": self._loss(image, t, torch.randn_like(image))}, len(image))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss at times and with noise that are the same in every epoch."""
        self._evaluate("val", batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """As validation."""
        self._evaluate("test", batch, batch_idx)

    @torch.no_grad()
    def generate(self, count: int, seed: int) -> Tensor:
        """`count` new images (count, C, H, W) in [0, 1], on the CPU; the same seed gives the same images."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn((count, *self.image_shape), generator=generator)
        parts = [
            self.sampler(
                lambda x, t: self.net(x, t).float(), part.to(self.device), self.schedule, draw=_drawer(generator)
            )
            for part in noise.split(self.images_at_once)
        ]
        return ((torch.cat(parts) + 1) / 2).clamp(0, 1).cpu()

    def _loss(self, image: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        prediction = self.net(self.schedule.add_noise(image, noise, t), t).float()
        error = (prediction - self.schedule.velocity(image, noise, t)).square().mean(dim=(1, 2, 3))
        return (self.schedule.min_snr_weight(t, self.gamma) * error).mean()

    def _evaluate(self, stage: str, batch: Batch, index: int) -> None:
        image, generator = batch["image"], torch.Generator().manual_seed(self.place(index))
        t = ((torch.arange(len(image)) + 0.5) / len(image) * self.schedule.timesteps).long()
        noise = torch.randn(image.shape, generator=generator)
        loss = self._loss(image, t.to(self.device), noise.to(image))
        self.log_evaluation(stage, {"loss": loss}, len(image), prog_bar=True)


def _drawer(generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    return lambda like: torch.randn(like.shape, generator=generator).to(like)
