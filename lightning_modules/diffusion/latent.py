"""Second stage of HemExp: trains the diffusion of the follow-up; forecasts are made in `forecast.py`.

HemExp, arXiv 2606.15304; github.com/orhunutkuaydin/HemExp (MIT).
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from medzoo.lightning_modules.contracts import Batch, FollowupData
from medzoo.lightning_modules.diffusion.autoencoder import AutoencoderModule
from medzoo.lightning_modules.diffusion.forecast import ForecastModule

__all__ = ["LatentDiffusionModule"]


class LatentDiffusionModule(ForecastModule):
    """Trains `diffusion` on pairs of slices and forecasts whole patients (`datamodules/followup/batches.py`).

    Logs `train/loss` and `val/loss`. `test_step` and `predict_step` take one patient and give N sampled follow-ups.

    Args:
        *given: Networks, sampler, optimiser and scheduler, as `ForecastModule` takes them.
        clinical_dropout: Probability of dropping a patient's clinical vector in training, for guidance.
        value_dropout: Probability of treating a clinical value as unknown in training.
        flag_dropout: Probability of treating the expansion flag as unknown in training.
        cache_latents: Encode the training scans once, into the store.
        **settings: The rest of `ForecastModule`.
    """

    dry_steps = ("training_step",)  # a training batch holds slices, a forecast takes patients

    def __init__(
        self,
        *given: Any,
        clinical_dropout: float = 0.1,
        value_dropout: float = 0.05,
        flag_dropout: float = 0.0,
        cache_latents: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(*given, **settings)
        self.clinical_dropout, self.value_dropout, self.flag_dropout = clinical_dropout, value_dropout, flag_dropout
        self.cache_latents = cache_latents

    @property
    def metric_names(self) -> list[str]:
        """What may be monitored."""
        return ["train/loss", "val/loss"]

    @property
    def networks(self) -> list[nn.Module]:
        """The U-Net; the autoencoder is not trained."""
        return [self.diffusion.net]

    def receive(self, stages: Mapping[str, L.LightningModule]) -> None:
        """Copy the autoencoder and its latent statistics from the stage `autoencoder`.

        Raises:
            ValueError: If there is no such stage, or its latents have not been measured.
        """
        if "autoencoder" not in stages:
            raise ValueError("the diffusion needs an earlier stage named autoencoder, or stages.autoencoder.ckpt_path")
        stage = stages["autoencoder"]
        if not isinstance(stage, AutoencoderModule):
            raise ValueError(f"the stage autoencoder is a {type(stage).__name__}: expected an AutoencoderModule")
        if not bool(stage.latents_measured):
            raise ValueError("the autoencoder's latents have not been measured: take the checkpoint that was tested")
        self.diffusion.autoencoder.load_state_dict(stage.net.state_dict())
        self.diffusion.latent_mean.copy_(stage.latent_mean)
        self.diffusion.latent_std.copy_(stage.latent_std)

    def on_fit_start(self) -> None:
        """Encode the training scans once."""
        datamodule: FollowupData = self.datamodule
        if self.cache_latents:
            with self.trainer.precision_plugin.forward_context():  # processes share the scans
                datamodule.cache_latents(lambda image: self.diffusion.encode(image.to(self.device)), self._key())

    def prepared(self, batch: Batch) -> Batch:
        """A batch of images as it is once the training scans are encoded."""
        if not self.cache_latents:
            return batch
        context, followup = self._latents(batch)
        rest = {name: value for name, value in batch.items() if name not in ("image", "followup")}
        return {**rest, "latent": context, "followup_latent": followup}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss at random times."""
        context, followup = self._latents(batch)
        size = len(followup)
        t = torch.randint(self.diffusion.schedule.timesteps, (size,), device=self.device)
        chance = torch.rand(2, size, device=self.device)
        clinical, flag = batch["clinical"].to(self.device), batch["label"].to(self.device)
        unknown = torch.rand_like(clinical) < self.value_dropout
        loss = self.diffusion.loss(
            context,
            followup,
            t,
            torch.randn_like(followup),
            clinical.masked_fill(unknown, float("nan")),
            torch.where(chance[0] < self.flag_dropout, -1, flag),
            chance[1] < self.clinical_dropout,
            batch["iph"].to(self.device),
        ).mean()
        return self.log_training({"loss": loss}, size)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss at times and noise that are the same in every epoch."""
        place, size = self.place(batch_idx), len(batch["id"])
        generator = torch.Generator().manual_seed(place)
        context, followup = self._latents(batch, generator)
        t = (torch.arange(size) + 0.5 * (place % 2)) / size * self.diffusion.schedule.timesteps
        noise = torch.randn(followup.shape, generator=generator).to(followup)
        everyone = torch.zeros(size, dtype=torch.bool, device=self.device)
        clinical, flag = batch["clinical"].to(self.device), batch["label"].to(self.device)
        t, iph = t.long().to(self.device), batch["iph"].to(self.device)
        loss = self.diffusion.loss(context, followup, t, noise, clinical, flag, everyone, iph)
        self.log_evaluation("val", {"loss": loss.mean()}, size, prog_bar=True)

    def _latents(self, batch: Batch, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Context (B, 3 c, h, w) and follow-up (B, c, h, w), from the cache or encoded now."""
        if "latent" in batch:
            return batch["latent"].to(self.device), batch["followup_latent"].to(self.device)
        slices = batch["image"].to(self.device).unflatten(1, (3, -1)).flatten(0, 1)
        context = self.diffusion.encode(slices, generator).unflatten(0, (-1, 3)).flatten(1, 2)
        return context, self.diffusion.encode(batch["followup"].to(self.device), generator)

    def _key(self) -> str:
        """Hash of the encoder and its latent statistics."""
        digest = hashlib.sha256()
        for name, tensor in self.diffusion.state_dict().items():
            if name.startswith(("autoencoder.", "latent_")):
                digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]
