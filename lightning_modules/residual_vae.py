"""Variational autoencoder of images and the score of an image that is read from it.

The HLHS paper (J Ultrasound Med 2026) learns features of the four-chamber view without labels and makes one score of
them; how, it does not say. The score here is fitted after training, by what `set_score` is given.
"""

from typing import Any, Literal

from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

from lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from models.residual_vae.score import ImageScore, ScoreKind

__all__ = ["ResidualVAEModule"]

Batch = dict[str, Any]


class ResidualVAEModule(OptimizedModule):
    """Trains `net` to give back `{"image": (B, C, H, W)}` in [0, 1]: grey, then masks if there are any.

    Logs `train/loss` and its terms; `loss`, `error`, `kl` and `ssim` of the grey channel under `val/` and `test/`, of
    the decoded mean latent, the KL with its full weight.

    Args:
        net: With `encode`, `sample` and `decode`, such as `ResidualVAE`.
        criterion: From logits, image, mean, sigma and step to terms with `loss`, such as `ImageVAELoss`.
        optimizer: Builds the optimiser.
        scheduler: Its learning-rate schedule.
        scheduler_interval: Whether the schedule counts epochs or steps.
        score: Kind of the image score.
    """

    def __init__(
        self,
        net: nn.Module,
        criterion: nn.Module,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        scheduler_interval: Literal["epoch", "step"] = "step",
        score: ScoreKind = "probe",
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval)
        self.net, self.criterion = net, criterion
        self.score = ImageScore(score, int(net.latent))  # type: ignore[arg-type]

    @property
    def metric_names(self) -> list[str]:
        """What may be monitored."""
        return ["train/loss", "val/loss", "val/error", "val/kl", "val/ssim"]

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruction (B, C, H, W) in [0, 1] through the mean latent."""
        return self.decode(self.latent(image))

    def latent(self, image: Tensor) -> Tensor:
        """Mean latent (B, L) of images."""
        return self.net.encode(image)[0]  # type: ignore[operator]

    def decode(self, latent: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of latents (B, L)."""
        return self.net.decode(latent).sigmoid()  # type: ignore[operator]

    def image_score(self, image: Tensor) -> Tensor:
        """Score (B,) of images, differentiable."""
        latent = self.latent(image)
        if self.score.kind != "reconstruction":
            return self.score(latent, latent[:, 0])
        return self.score(latent, squared_error(self.decode(latent), image))

    def set_score(self, **numbers: Any) -> None:
        """Take over what was fitted to latents (`ImageScore.take`); it becomes part of the checkpoint."""
        self.score.take(**numbers)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        image, size = batch["image"], len(batch["id"])
        logits, mean, sigma = self.net(image)
        terms = self.criterion(logits, image, mean, sigma, self.global_step)
        self.log_dict({f"train/{name}_step": term for name, term in terms.items()}, on_epoch=False, batch_size=size)
        self.log(
            "train/loss", terms["loss"], on_step=False, on_epoch=True, batch_size=size, prog_bar=True, sync_dist=True
        )
        return terms["loss"]

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and errors of the reconstruction."""
        self._evaluate("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """As validation; returns ids, images and reconstructions."""
        return {"id": batch["id"], "image": batch["image"], "reconstruction": self._evaluate("test", batch)}

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """`{"id": ..., "score": (B,)}`."""
        return {"id": batch["id"], "score": self.image_score(batch["image"])}

    def _evaluate(self, stage: str, batch: Batch) -> Tensor:
        image, size = batch["image"], len(batch["id"])
        mean, sigma = self.net.encode(image)  # type: ignore[operator]
        logits = self.net.decode(mean)  # type: ignore[operator]
        terms = self.criterion(logits, image, mean, sigma, 2**62)  # beyond any warm-up
        said = logits.float().sigmoid()
        numbers = {f"{stage}/{name}": terms[name] for name in ("loss", "error", "kl")}
        numbers[f"{stage}/ssim"] = ssim(said[:, :1], image[:, :1].float(), data_range=1.0)
        self.log_dict(numbers, on_epoch=True, prog_bar=stage == "val", batch_size=size, sync_dist=True)
        return said


def squared_error(said: Tensor, image: Tensor) -> Tensor:
    """(B,) mean squared error of the grey channel."""
    return (said[:, 0] - image[:, 0]).square().flatten(1).mean(1)
