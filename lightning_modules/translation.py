"""CycleGAN between two image domains, such as two scanners, judged by a segmentation trained on one of them.

Zhu et al. 2017 (arXiv:1703.10593): least-squares adversarial losses, L1 cycle and identity losses, a pool of earlier
images, Adam at 2e-4 with beta1 0.5, and a learning rate that falls to 0 in the second half. Written from the paper.
Differences: batches hold several slices, and the test segments B, translated to A, with a network trained on A.
"""

from collections.abc import Mapping
from typing import Unpack

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from monai.losses import PatchAdversarialLoss
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from medzoo.evaluation.measures.synthesis import kernel_distance
from medzoo.lightning_modules.contracts import Batch
from medzoo.lightning_modules.metrics import KeptRows
from medzoo.lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.segmentation import SegmentationModule
from medzoo.lightning_modules.step import StepSettings
from medzoo.models.translation import ImagePool

__all__ = ["TranslationModule", "constant_then_linear"]

LEAST_SQUARES = PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True)


class TranslationModule(OptimizedModule):
    """Trains on `{"image": (B, C, h, w) of domain A, "other": the same of domain B}` in [0, 1].

    Logs `train/loss` of the generators, `train/discriminator`; `val/cycle`, the L1 error of both cycles;
    `val/kid` and `val/raw_kid`, 1000 times the kernel distance (of 8 x 8 averages) between A and B translated to A, and
    between A and B. The test takes whole cases of B and returns the label maps of `downstream` on the translations.

    Args:
        to_b: From A to B, both (B, C, H, W) in [-1, 1].
        to_a: From B to A.
        discriminator_a: From images to a list of maps; the last one scores how much each patch looks like A.
        discriminator_b: The same for B.
        optimizer: Builds the optimiser of the generators, and that of the discriminators.
        scheduler: Their learning-rate schedule, in epochs.
        downstream: A segmentation of A.
        pretrained: Earlier stage that provides its weights; None to keep it as built.
        cycle_weight: Weight of the cycle loss.
        identity_weight: Weight of the identity loss, relative to `cycle_weight`.
        pool: Size of the pool of translated images shown to each discriminator.
        **step: Of `OptimizedModule`.
    """

    dry_steps = ("training_step",)  # a training batch holds slices, the test takes whole cases

    def __init__(
        self,
        to_b: nn.Module,
        to_a: nn.Module,
        discriminator_a: nn.Module,
        discriminator_b: nn.Module,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        downstream: SegmentationModule,
        pretrained: str | None = None,
        cycle_weight: float = 10.0,
        identity_weight: float = 0.5,
        pool: int = 50,
        **step: Unpack[StepSettings],
    ) -> None:
        super().__init__(optimizer, scheduler, **step)
        self.automatic_optimization = False
        self.to_b, self.to_a, self.discriminator_a, self.discriminator_b = to_b, to_a, discriminator_a, discriminator_b
        self.downstream, self.pretrained = downstream.requires_grad_(False), pretrained
        self.cycle_weight, self.identity_weight = cycle_weight, identity_weight
        self.pool_a, self.pool_b = ImagePool(pool), ImagePool(pool)
        self.features = {name: KeptRows() for name in ("a", "b", "translated")}
        self.kept = nn.ModuleList(self.features.values())  # moves them to the device of the module

    @property
    def metric_names(self) -> list[str]:
        """What may be monitored."""
        return ["train/loss", "val/cycle", "val/kid"]

    def receive(self, stages: Mapping[str, L.LightningModule]) -> None:
        """Take over the segmentation of the stage `pretrained`.

        Raises:
            ValueError: If there is no such stage.
        """
        if self.pretrained is None:
            return
        if self.pretrained not in stages:
            raise ValueError(
                f"pretrained={self.pretrained}: no such stage before this one; there are {', '.join(stages)}"
            )
        self.downstream.load_state_dict(stages[self.pretrained].state_dict())

    @property
    def networks(self) -> list[nn.Module]:
        """Both generators and both discriminators."""
        return [self.to_b, self.to_a, self.discriminator_a, self.discriminator_b]

    def forward(self, image: Tensor) -> Tensor:
        """Translate images (B, C, H, W), or volumes (B, C, Z, H, W) slice by slice, from B to A; in [0, 1]."""
        if image.ndim == 4:
            return (self.to_a(2 * image - 1) + 1) / 2
        slices = [(self.to_a(2 * part - 1) + 1) / 2 for part in image.movedim(2, 1).flatten(0, 1).split(16)]
        return torch.cat(slices).unflatten(0, (len(image), -1)).movedim(1, 2)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """A step of the generators, then one of the discriminators."""
        a, b = 2 * batch["image"] - 1, 2 * batch["other"] - 1
        with self.learning(0):
            loss, fake_a, fake_b = self._generators(a, b)
            self.descend(0, loss)
        if self.takes_steps:  # a rehearsal leaves the pools as they are
            fake_a, fake_b = self.pool_a(fake_a), self.pool_b(fake_b)
        with self.learning(1):
            pairs = (self.discriminator_a, a, fake_a), (self.discriminator_b, b, fake_b)
            loss_d = torch.stack([_discriminator_loss(net, real, fake.detach()) for net, real, fake in pairs]).sum()
            self.descend(1, loss_d)
        numbers = {"train/loss": loss, "train/discriminator": loss_d}
        self.log_dict(numbers, on_step=False, on_epoch=True, batch_size=len(a), sync_dist=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Step the schedules."""
        self.step_schedules()

    def on_validation_epoch_start(self) -> None:
        """Reset the features."""
        for kept in self.features.values():
            kept.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Cycle loss, and features for the kernel distances."""
        a, b = 2 * batch["image"] - 1, 2 * batch["other"] - 1
        fake_a, fake_b = self.to_a(b), self.to_b(a)
        cycle = F.l1_loss(self.to_a(fake_b), a) + F.l1_loss(self.to_b(fake_a), b)
        self.log_evaluation("val", {"cycle": cycle / 4}, len(a))  # the mean of both ways, of images in [0, 1]
        for name, images in (("a", a), ("b", b), ("translated", fake_a)):
            self.features[name].update(F.adaptive_avg_pool2d(images.float(), 8).flatten(1))

    def on_validation_epoch_end(self) -> None:
        """Kernel distances between the domains."""
        found = {name: kept.compute().double().cpu().numpy() for name, kept in self.features.items()}
        distances = {"kid": ("translated", "a"), "raw_kid": ("b", "a")}
        numbers = {
            f"val/{name}": 1000 * kernel_distance(*(found[each] for each in pair)) for name, pair in distances.items()
        }
        self.log_dict(numbers, prog_bar=True, rank_zero_only=False)

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """What `downstream` predicts on a translated case, and `translated`, the case."""
        translated = self(batch["image"])
        return {**self.downstream.predict_step({**batch, "image": translated}, batch_idx), "translated": translated}

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """As `test_step`."""
        return self.test_step(batch, batch_idx)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimiser for both generators, one for both discriminators."""
        pairs = [(self.to_a, self.to_b), (self.discriminator_a, self.discriminator_b)]
        made = [self.made(self._optimizer, [w for net in pair for w in net.parameters()]) for pair in pairs]
        return made, [] if self._scheduler is None else [self._scheduler(each) for each in made]

    def _generators(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss of both generators, B translated to A, and A translated to B."""
        fake_a, fake_b = self.to_a(b), self.to_b(a)
        pairs = (self.discriminator_a, fake_a), (self.discriminator_b, fake_b)
        fooled = [_least_squares(net(fake), True, for_discriminator=False) for net, fake in pairs]
        cycle = F.l1_loss(self.to_a(fake_b), a) + F.l1_loss(self.to_b(fake_a), b)
        identity = F.l1_loss(self.to_a(a), a) + F.l1_loss(self.to_b(b), b)
        return torch.stack(fooled).sum() + self.cycle_weight * (cycle + self.identity_weight * identity), fake_a, fake_b


def constant_then_linear(optimizer: Optimizer, epochs: int) -> LambdaLR:
    """The full learning rate for half of the epochs, then a linear decay to 0, as in CycleGAN."""
    return LambdaLR(optimizer, lambda epoch: min(1.0, 2 * (epochs - epoch) / max(epochs, 1)))


def _discriminator_loss(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Half of the discriminator's loss; the paper halves it to slow the discriminator down."""
    pairs = (real, True), (fake, False)
    losses = [_least_squares(discriminator(images), is_real, for_discriminator=True) for images, is_real in pairs]
    return torch.stack(losses).mean()


def _least_squares(maps: list[Tensor], is_real: bool, *, for_discriminator: bool) -> Tensor:
    """Least-squares loss of the last map of a discriminator."""
    return torch.as_tensor(LEAST_SQUARES(maps[-1].float(), is_real, for_discriminator=for_discriminator))
