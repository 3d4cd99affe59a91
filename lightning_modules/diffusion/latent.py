"""Second stage of HemExp: trains the diffusion of the follow-up, and forecasts patients with it.

HemExp, arXiv 2606.15304; github.com/orhunutkuaydin/HemExp (MIT). Where the original takes the expansion flag from an
outside classifier, a risk model on the clinical variables is fitted to the training split and kept in the checkpoint.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

import lightning as L
import torch
from torch import Tensor, nn

from medzoo.evaluation.regression.risk import EXPANDED, fit_risk, risk_of
from medzoo.evaluation.scores.followup_baselines import fit_baselines
from medzoo.lightning_modules.contracts import Batch, FollowupData
from medzoo.lightning_modules.diffusion.autoencoder import AutoencoderModule
from medzoo.lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.step import StepSettings
from medzoo.models.diffusion import Sampler
from medzoo.models.fitted import RiskModel, VolumeBaselines
from medzoo.models.followup import FollowupDiffusion, Forecast

__all__ = ["LatentDiffusionModule"]


class LatentDiffusionModule(OptimizedModule):
    """Trains `diffusion` on pairs of slices and forecasts whole patients (`datamodules/followup/batches.py`).

    Logs `train/loss` and `val/loss`. `test_step` and `predict_step` take one patient and give N sampled follow-ups.

    Args:
        diffusion: The autoencoder, the U-Net and the noise schedule.
        sampler: Turns noise into latents at test and prediction.
        optimizer: Builds the optimiser.
        scheduler: Builds the learning-rate schedule.
        clinical_names: The K clinical variables.
        clinical_ranges: Minimum and maximum of each, which a batch scales to 0 and 1.
        scheduler_interval: Whether the schedule counts epochs or steps.
        clinical_dropout: Probability of dropping a patient's clinical vector in training, for guidance.
        value_dropout: Probability of treating a clinical value as unknown in training.
        flag_dropout: Probability of treating the expansion flag as unknown in training.
        samples: Follow-ups sampled for each patient.
        expansion: Source of the probability of expansion in forecasts: `risk`, the risk model; a probability in [0, 1];
            or a column of `clinical.csv`.
        guidance: Scale of classifier-free guidance on the clinical variables; 1 for none.
        noise_length_mm: Correlation of the noise along z: 0 independent slices, inf one noise for all.
        counterfactuals: By variable, the two values between which the test measures the effect on the volume.
        effect_samples: Samples for each counterfactual volume.
        cache_latents: Encode the training scans once, into the datamodule's cache.
        images_at_once: Slices that go through a network together when forecasting.
        seed: Seed of forecasts; the same patient gets the same noise in every run.
        **step: Of `OptimizedModule`.
    """

    dry_steps = ("training_step",)  # a training batch holds slices, a forecast takes patients

    def __init__(
        self,
        diffusion: FollowupDiffusion,
        sampler: Sampler,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        clinical_names: Sequence[str],
        clinical_ranges: Sequence[Sequence[float]],
        scheduler_interval: Literal["epoch", "step"] = "step",
        clinical_dropout: float = 0.1,
        value_dropout: float = 0.05,
        flag_dropout: float = 0.0,
        samples: int = 16,
        expansion: str | float = "risk",
        guidance: float = 1.0,
        noise_length_mm: float = float("inf"),
        counterfactuals: Mapping[str, Sequence[float]] | None = None,
        effect_samples: int = 8,
        cache_latents: bool = True,
        images_at_once: int = 256,
        seed: int = 0,
        **step: Unpack[StepSettings],
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval, **step)
        self.diffusion, self.sampler = diffusion, sampler
        self.clinical_names = list(clinical_names)
        self.clinical_ranges = {
            name: tuple(limits) for name, limits in zip(clinical_names, clinical_ranges, strict=True)
        }
        self.clinical_dropout, self.value_dropout, self.flag_dropout = clinical_dropout, value_dropout, flag_dropout
        self.samples, self.expansion, self.guidance = samples, expansion, guidance
        self.noise_length_mm, self.images_at_once, self.seed = noise_length_mm, images_at_once, seed
        self.counterfactuals = {name: list(values) for name, values in (counterfactuals or {}).items()}
        self.effect_samples, self.cache_latents = effect_samples, cache_latents
        self.perturb: dict[str, list[float]] = {}
        for name, value in [(name, value) for name, values in self.counterfactuals.items() for value in values]:
            self.scaled(name, value)
        self.risk_model = RiskModel(len(self.clinical_names), EXPANDED)
        self.baselines = VolumeBaselines()

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
            for mine in (self.trainer.is_global_zero, not self.trainer.is_global_zero):
                if mine:  # the first process encodes, the others read its files
                    with self.trainer.precision_plugin.forward_context():
                        datamodule.cache_latents(
                            lambda image: self.diffusion.encode(image.to(self.device)), self._key()
                        )
                self.trainer.strategy.barrier()

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

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """As `predict_step`, and `effects`: by variable and value of `counterfactuals`, the mean IPH volume in mL."""
        prediction = self.predict_step(batch, batch_idx)
        prediction["effects"] = {
            name: {value: self._mean_volume(batch, {name: value}) for value in values}
            for name, values in self.counterfactuals.items()
        }
        return prediction

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Sampled follow-ups of one patient.

        Returns:
            `id`, the `probability` of expansion used for the samples, `flag` (N,), `weight` (N,), which sums to 1,
            `forecast` (on the slices `batch["slices"]`), and `counterfactuals`: for each variable of `perturb`, the
            forecasts under its values with the same noise, as (value, probability, weight, flag, forecast).
        """
        probability, flag, weight = self._flags(batch, batch["clinical"][0], self.samples)
        return {
            "id": batch["id"],
            "probability": probability,
            "flag": flag,
            "weight": weight,
            "forecast": self.forecast(batch, batch["clinical"][0], flag),
            "counterfactuals": {
                name: [self._under(batch, name, value) for value in values] for name, values in self.perturb.items()
            },
        }

    def forecast(self, batch: Batch, clinical: Tensor, flag: Tensor) -> Forecast:
        """Follow-ups of a patient for given clinical values (K,) and flags (N,)."""
        key = hashlib.sha256(f"{self.seed}/{batch['id'][0]}".encode()).digest()[:7]
        return self.diffusion.forecast(
            batch["image"].to(self.device),
            batch["slices"],
            batch["context"],
            float(batch["spacing"][2]),
            clinical.to(self.device),
            flag,
            self.sampler,
            generator=torch.Generator().manual_seed(int.from_bytes(key, "big")),
            noise_length_mm=self.noise_length_mm,
            guidance=self.guidance,
            images_at_once=self.images_at_once,
        )

    def risk(self, clinical: Tensor) -> float:
        """Probability of expansion by the risk model, of clinical values (K,) with NaN where unknown."""
        part = self.risk_model
        weight, fill = (value.cpu().double().numpy() for value in (part.weight, part.fill))
        return float(risk_of(clinical.cpu().double().numpy()[None], weight, float(part.bias), fill)[0])

    def finalize(self, datamodule: FollowupData) -> None:
        """Fit the risk model, and the baselines that the test compares with, to the training patients.

        Args:
            datamodule: With `clinical`, such as `FollowupDataModule`.

        Raises:
            ValueError: If no training patient expands, or all do.
        """
        train = datamodule.clinical("train")
        weight, bias, fill = fit_risk(train["clinical"], train["label"])
        self.risk_model.take(weight=weight, bias=bias, fill=fill)
        self.baselines.take(**fit_baselines(train["clinical"], train["baseline_ml"], train["followup_ml"]))

    def set_prediction(
        self,
        *,
        expansion: str | float | None = None,
        perturb: Mapping[str, Sequence[float]] | None = None,
        samples: int | None = None,
    ) -> None:
        """Change what the next prediction does.

        Args:
            expansion: As the argument of the class.
            perturb: For clinical variables, the values to forecast under.
            samples: Follow-ups for each patient.

        Raises:
            ValueError: If a variable is unknown, or a value out of range.
        """
        self.expansion = self.expansion if expansion is None else expansion
        self.samples = self.samples if samples is None else samples
        if isinstance(self.expansion, (int, float)) and not 0 <= self.expansion <= 1:
            raise ValueError(f"expansion={self.expansion}: a probability lies between 0 and 1")
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} must be at least 1")
        self.perturb = {name: list(values) for name, values in (perturb or {}).items()}
        for name, value in [(name, value) for name, values in self.perturb.items() for value in values]:
            self.scaled(name, value)

    def scaled(self, name: str, value: float) -> float:
        """A clinical value as a batch holds it.

        Raises:
            ValueError: If there is no such variable, or the value is out of its range.
        """
        if name not in self.clinical_ranges:
            raise ValueError(f"no clinical variable {name}; there are {', '.join(self.clinical_names)}")
        low, high = self.clinical_ranges[name]
        if not low <= value <= high:
            raise ValueError(f"{name}={value}: expected {low:g} to {high:g}")
        return (value - low) / (high - low)

    def _latents(self, batch: Batch, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Context (B, 3 c, h, w) and follow-up (B, c, h, w), from the cache or encoded now."""
        if "latent" in batch:
            return batch["latent"].to(self.device), batch["followup_latent"].to(self.device)
        slices = batch["image"].to(self.device).unflatten(1, (3, -1)).flatten(0, 1)
        context = self.diffusion.encode(slices, generator).unflatten(0, (-1, 3)).flatten(1, 2)
        return context, self.diffusion.encode(batch["followup"].to(self.device), generator)

    def _flags(self, batch: Batch, clinical: Tensor, count: int) -> tuple[float, Tensor, Tensor]:
        """Probability of expansion, flags of `count` samples, and their weights.

        As in the original, p of the samples carry flag 1, and the maps are combined as p * map1 + (1 - p) * map0. Here
        at least a quarter carries each flag where 0 < p < 1, and the weights put the share right again.
        """
        probability = self._probability(batch, clinical)
        if count == 1:
            return probability, torch.tensor([int(probability >= 0.5)]), torch.ones(1)
        least = 0 if probability in (0, 1) else max(1, count // 4)
        expanding = min(max(round(probability * count), least), count - least)
        flag = (torch.arange(count) < expanding).long()
        share = torch.where(flag == 1, probability / max(expanding, 1), (1 - probability) / max(count - expanding, 1))
        return probability, flag, share

    def _probability(self, batch: Batch, clinical: Tensor) -> float:
        if self.expansion == "risk":
            return self.risk(clinical)
        try:
            return float(self.expansion)
        except ValueError:
            pass
        table = batch.get("table", [{}])[0]
        try:
            value = float(table[self.expansion])
        except (KeyError, ValueError):
            raise ValueError(
                f"expansion={self.expansion}: clinical.csv gives patient {batch['id'][0]} no number under this name"
            ) from None
        if not 0 <= value <= 1:
            raise ValueError(
                f"expansion={self.expansion}: {value:g} of patient {batch['id'][0]} is not between 0 and 1"
            )
        return value

    def _changed(self, batch: Batch, values: Mapping[str, float]) -> Tensor:
        clinical = batch["clinical"][0].clone()
        for name, value in values.items():
            clinical[self.clinical_names.index(name)] = self.scaled(name, value)
        return clinical

    def _under(self, batch: Batch, name: str, value: float) -> dict[str, Any]:
        """The forecast with one variable changed and the same noise."""
        clinical = self._changed(batch, {name: value})
        probability, flag, weight = self._flags(batch, clinical, self.samples)
        forecast = self.forecast(batch, clinical, flag)
        return {"value": value, "probability": probability, "flag": flag, "weight": weight, "forecast": forecast}

    def _mean_volume(self, batch: Batch, values: Mapping[str, float]) -> float:
        """Expected IPH volume in mL with variables changed: half of the samples for each flag, weighted by the risk."""
        clinical = self._changed(batch, values)
        flag = (torch.arange(self.effect_samples) % 2).long()
        probability = self._probability(batch, clinical)
        weight = torch.where(flag == 1, probability, 1 - probability) * 2 / self.effect_samples
        iph = self.forecast(batch, clinical, flag).iph > 0.5
        elsewhere = batch["image"][:, 1].sum() - batch["image"][batch["slices"], 1].sum()
        voxels = iph.sum(dim=(1, 2, 3)).cpu() + elsewhere.cpu()
        return float((weight * voxels).sum() * batch["spacing"].prod() / 1000)

    def _key(self) -> str:
        """Hash of the encoder and its latent statistics."""
        digest = hashlib.sha256()
        for name, tensor in self.diffusion.state_dict().items():
            if name.startswith(("autoencoder.", "latent_")):
                digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]
