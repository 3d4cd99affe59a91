"""Forecasts of whole patients: flags, sampled follow-ups, calibrated growth, and what-if questions.

HemExp, arXiv 2606.15304. Where the original takes the expansion flag from an outside classifier, a risk model on the
clinical variables and the signs of the scan is fitted to the training patients and kept in the checkpoint. A further
fitted part moves the growth of sampled bleeds to what patients of the validation split showed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor

from medzoo.evaluation.regression.growth import (
    GROUPS,
    calibrated_growth,
    fit_calibration,
    fit_growth,
    log_growth,
    unlogged,
)
from medzoo.evaluation.regression.risk import EXPANDED, fit_risk, risk_of
from medzoo.evaluation.scores.followup_baselines import expansion_of, fit_baselines
from medzoo.lightning_modules.contracts import Batch, FollowupData
from medzoo.lightning_modules.diffusion.variables import ClinicalVariables
from medzoo.lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.step import StepSettings
from medzoo.models.diffusion import Sampler
from medzoo.models.fitted import GrowthModel, RiskModel, VolumeBaselines
from medzoo.models.followup import FollowupDiffusion, Forecast, resized

__all__ = ["ForecastModule"]


class ForecastModule(OptimizedModule):
    """What `LatentDiffusionModule` does once it is trained.

    Args:
        diffusion: The autoencoder, the U-Net and the noise schedule.
        sampler: Turns noise into latents at test and prediction.
        optimizer: Builds the optimiser.
        scheduler: Builds the learning-rate schedule.
        clinical_names: The K clinical variables.
        clinical_ranges: Minimum and maximum of each, which a batch scales to 0 and 1.
        measured: Clinical variables measured on the scan, which no what-if question may change.
        signs: The S signs of the scan in a batch, for the risk model and the growth; none, for the clinical variables
            alone.
        calibrate_growth: Move the growth of sampled bleeds to the growth that was seen.
        scheduler_interval: Whether the schedule counts epochs or steps.
        samples: Follow-ups sampled for each patient.
        expansion: Source of the probability of expansion in forecasts: `risk`, the risk model; a probability in [0, 1];
            or a column of `clinical.csv`.
        guidance: Scale of classifier-free guidance on the clinical variables; 1 for none.
        noise_length_mm: Correlation of the noise along z: 0 independent slices, inf one noise for all.
        counterfactuals: By variable, the two values between which the test measures the effect on the volume.
        effect_samples: Samples for each counterfactual volume, half of them stable and half expanding.
        images_at_once: Slices that go through a network together when forecasting.
        seed: Seed of forecasts; the same patient gets the same noise in every run.
        **step: Of `OptimizedModule`.

    Raises:
        ValueError: If `effect_samples` is below 2, or a counterfactual is unknown, measured or out of range.
    """

    def __init__(
        self,
        diffusion: FollowupDiffusion,
        sampler: Sampler,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        clinical_names: Sequence[str],
        clinical_ranges: Sequence[Sequence[float]],
        measured: Sequence[str] = ("IPH_baseline_ml",),
        signs: Sequence[str] = (),
        calibrate_growth: bool = False,
        scheduler_interval: Literal["epoch", "step"] = "step",
        samples: int = 16,
        expansion: str | float = "risk",
        guidance: float = 1.0,
        noise_length_mm: float = float("inf"),
        counterfactuals: Mapping[str, Sequence[float]] | None = None,
        effect_samples: int = 8,
        images_at_once: int = 256,
        seed: int = 0,
        **step: Unpack[StepSettings],
    ) -> None:
        if effect_samples < 2:
            raise ValueError(f"effect_samples={effect_samples} must be at least 2: one stable, one expanding")
        super().__init__(optimizer, scheduler, scheduler_interval, **step)
        self.diffusion, self.sampler = diffusion, sampler
        self.variables = ClinicalVariables(clinical_names, clinical_ranges, measured)
        self.signs, self.calibrate_growth = list(signs), calibrate_growth
        self.samples, self.expansion, self.guidance = samples, expansion, guidance
        self.noise_length_mm, self.images_at_once, self.seed = noise_length_mm, images_at_once, seed
        self.counterfactuals, self.effect_samples = self.variables.changeable(counterfactuals), effect_samples
        self.perturb: dict[str, list[float]] = {}
        self.risk_model = RiskModel(len(self.variables) + len(self.signs), EXPANDED)
        self.growth_model, self.baselines = GrowthModel(), VolumeBaselines()

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """As `predict_step`, and what the variables of `counterfactuals` do.

        Returns:
            Besides, `effects`: by variable and value, the outlook of the patient, and where there are any, `outlook`,
            that of the patient as they are. An outlook is the `probability` of expansion and the mean IPH volume in mL
            for each flag, `stable` and `expanding`.
        """
        prediction = self.predict_step(batch, batch_idx)
        clinical = batch["clinical"][0]
        flag = (torch.arange(self.effect_samples) % 2).long()
        prediction["effects"] = {
            name: {value: self._outlook(batch, self.variables.changed(clinical, name, value), flag) for value in values}
            for name, values in self.counterfactuals.items()
        }
        if self.counterfactuals:
            prediction["outlook"] = self._outlook(batch, clinical, flag)
        return prediction

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Sampled follow-ups of one patient.

        Returns:
            `id`, the `probability` of expansion used for the samples, `flag` (N,), `weight` (N,), which sums to 1,
            `forecast` (on the slices `batch["slices"]`), `sampled_ml` (N,), the IPH volumes before calibration, and
            `counterfactuals`: for each variable of `perturb`, the forecasts under its values with the same noise, as
            (value, probability, weight, flag, forecast).
        """
        clinical = batch["clinical"][0]
        return {
            "id": batch["id"],
            **self._world(batch, clinical),
            "counterfactuals": {
                name: [
                    {"value": value, **self._world(batch, self.variables.changed(clinical, name, value))}
                    for value in values
                ]
                for name, values in self.perturb.items()
            },
        }

    def forecast(self, batch: Batch, clinical: Tensor, flag: Tensor) -> Forecast:
        """Follow-ups of a patient for given clinical values (K,) and flags (N,), as the network samples them."""
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

    def risk(self, features: Tensor) -> float:
        """Probability of expansion by the risk model, of clinical values and signs (K + S,) with NaN where unknown."""
        part = self.risk_model
        weight, fill = (value.cpu().double().numpy() for value in (part.weight, part.fill))
        return float(risk_of(features.cpu().double().numpy()[None], weight, float(part.bias), fill)[0])

    def finalize(self, datamodule: FollowupData) -> None:
        """Fit the risk model, the growth, and the baselines that the test compares with, to the training patients.

        How far the network's growth is trusted over the regression's is fitted to the validation patients.

        Args:
            datamodule: With `clinical` and `patient_dataloader`, such as `FollowupDataModule`.

        Raises:
            ValueError: If no training patient expands, or all do.
        """
        train = datamodule.clinical("train")
        features = self._features(train)
        weight, bias, fill = fit_risk(features, train["label"])
        self.risk_model.take(weight=weight, bias=bias, fill=fill)
        self.baselines.take(**fit_baselines(train["clinical"], train["baseline_ml"], train["followup_ml"]))
        expanded = expansion_of(train)
        if not 0 < expanded.sum() < len(expanded):
            return
        numbers = fit_growth(features, log_growth(train["baseline_ml"], train["followup_ml"]), expanded)
        self.growth_model.take(**numbers, **(self._trust(datamodule, numbers) if self.calibrate_growth else {}))

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
            ValueError: If a variable is unknown or measured on the scan, or a value out of range.
        """
        self.expansion = self.expansion if expansion is None else expansion
        self.samples = self.samples if samples is None else samples
        if isinstance(self.expansion, (int, float)) and not 0 <= self.expansion <= 1:
            raise ValueError(f"expansion={self.expansion}: a probability lies between 0 and 1")
        if self.samples < 1:
            raise ValueError(f"samples={self.samples} must be at least 1")
        self.perturb = self.variables.changeable(perturb)

    def _features(self, rows: Mapping[str, np.ndarray]) -> np.ndarray:
        """Clinical values and signs (N, K + S) of patients."""
        return np.concatenate([rows["clinical"], rows["signs"]], axis=1) if self.signs else rows["clinical"]

    def _known(self, batch: Batch, clinical: Tensor) -> Tensor:
        """Clinical values (K,) of a patient with the signs of the scan (K + S,)."""
        return torch.cat([clinical, batch["signs"][0].to(clinical)]) if self.signs else clinical

    def _trust(self, datamodule: FollowupData, numbers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compare the network's growth with that of validation patients, given the flag that turned out right."""
        rows = datamodule.clinical("val")
        expanded, flags = expansion_of(rows), max(1, self.samples // 4)
        sampled = {
            batch["id"][0]: self._sampled_growth(batch, torch.full((flags,), int(flag))).mean()
            for batch, flag in zip(datamodule.patient_dataloader("val"), expanded, strict=True)
        }
        growth = log_growth(rows["baseline_ml"], rows["followup_ml"])
        mean = np.array([sampled[name] for name in rows["id"]])
        return fit_calibration(numbers, self._features(rows), mean, growth, expanded)

    def _sampled_growth(self, batch: Batch, flag: Tensor) -> np.ndarray:
        """Log growth (N,) of a patient's follow-ups as the network samples them."""
        before, sampled = _volumes_ml(batch, self.forecast(batch, batch["clinical"][0], flag))
        return log_growth(before.numpy(), sampled.numpy())

    def _calibrated(self, batch: Batch, clinical: Tensor, flag: Tensor) -> tuple[Forecast, np.ndarray]:
        """Follow-ups with calibrated bleeds, and the IPH volumes (N,) in mL before that."""
        forecast = self.forecast(batch, clinical, flag)
        before, sampled = (volume.numpy() for volume in _volumes_ml(batch, forecast))
        if not self.growth_model.share.numel():
            return forecast, sampled
        numbers = {name: value.cpu().numpy() for name, value in self.growth_model.named_buffers()}
        known = self._known(batch, clinical).double().cpu().numpy()
        growth = calibrated_growth(numbers, known, log_growth(before, sampled), flag.numpy())
        wanted = unlogged(before, growth)
        voxels = torch.from_numpy(wanted / _voxel_ml(batch)).round() - _elsewhere(batch)
        bleed = batch["image"][batch["slices"], 1].to(forecast.iph.device) > 0.5
        return replace(forecast, iph=resized(forecast.iph, voxels, bleed)), sampled

    def _world(self, batch: Batch, clinical: Tensor) -> dict[str, Any]:
        """The forecast for given clinical values (K,), always with the same noise."""
        probability, flag, weight = self._flags(batch, clinical, self.samples)
        forecast, sampled = self._calibrated(batch, clinical, flag)
        return {
            "probability": probability,
            "flag": flag,
            "weight": weight,
            "forecast": forecast,
            "sampled_ml": torch.from_numpy(sampled),
        }

    def _outlook(self, batch: Batch, clinical: Tensor, flag: Tensor) -> dict[str, float]:
        """Probability of expansion, and the mean IPH volume in mL of a stable and an expanding bleed."""
        _, volumes = _volumes_ml(batch, self._calibrated(batch, clinical, flag)[0])
        means = {name: float(volumes[flag == group].mean()) for group, name in enumerate(GROUPS)}
        return {"probability": self._probability(batch, clinical), **means}

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
            return self.risk(self._known(batch, clinical))
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


def _voxel_ml(batch: Batch) -> float:
    return float(batch["spacing"].double().prod()) / 1000


def _elsewhere(batch: Batch) -> Tensor:
    """Voxels of the baseline's bleed on slices that are not forecast."""
    return (batch["image"][:, 1].sum() - batch["image"][batch["slices"], 1].sum()).double().cpu()


def _volumes_ml(batch: Batch, forecast: Forecast) -> tuple[Tensor, Tensor]:
    """IPH volume in mL at baseline (), and of each sample (N,)."""
    after = (forecast.iph > 0.5).sum(dim=(1, 2, 3)).double().cpu() + _elsewhere(batch)
    return batch["image"][:, 1].double().sum().cpu() * _voxel_ml(batch), after * _voxel_ml(batch)
