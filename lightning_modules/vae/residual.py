"""Variational autoencoder of images, and a score of each image from its latent.

The HLHS paper (J Ultrasound Med 2026) learns features of the four-chamber view without labels and combines them
into one score; it does not say how. Here the score is fitted between training and test (`finalize`), together with the
nomogram, if one is configured.
"""

from collections.abc import Mapping
from typing import Any, Literal, Unpack

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.functional.image import structural_similarity_index_measure as ssim

from medzoo.evaluation.regression.image_score import (
    Aggregate,
    along_score,
    by_case,
    fit_score,
    image_scores,
    out_of_fold,
)
from medzoo.lightning_modules.contracts import Batch, CaseData, Cases
from medzoo.lightning_modules.nomogram.fit import CaseTable, NomogramSettings, case_folds, fit_nomogram
from medzoo.lightning_modules.nomogram.images import EncodedImages, encode_images
from medzoo.lightning_modules.nomogram.reading import ReadsNomogram
from medzoo.lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.step import StepSettings
from medzoo.models.fitted import NomogramPart
from medzoo.models.protocols import VectorAutoencoder, wrong_network
from medzoo.models.residual_vae.score import ImageScore, ScoreKind

__all__ = ["ResidualVAEModule"]

SEEN = (
    "score=reconstruction: errors are smaller on images that the autoencoder has learnt, so no equation of them would "
    "hold for new cases; set datamodule.learn_from=normal and a datamodule.val_share such as 0.25: it then learns from "
    "normal training cases alone, and the nomogram is fitted to all other development cases"
)
UNSEEN = (
    "fitted to the development cases that the autoencoder has not learnt from: all with the outcome, and those of "
    "validation without it. Probabilities and thresholds are brought to the share among all development cases (King "
    "and Zeng 2001); the development's Brier score is that at the share among the cases of the fit"
)


class ResidualVAEModule(OptimizedModule, ReadsNomogram):
    """Trains `net` to reconstruct `{"image": (B, C, H, W)}` in [0, 1]: grey values, then masks if there are any.

    Logs `train/loss` and its terms; `loss`, `error`, `kl` and `ssim` of the grey channel under `val/` and `test/`, for
    the decoded mean latent, with the full weight of the KL.

    Args:
        net: With `encode`, `sample` and `decode`, such as `ResidualVAE`.
        criterion: From logits, image, mean, sigma and step to terms with `loss`, such as `ImageVAELoss`.
        optimizer: Builds the optimiser.
        scheduler: Its learning-rate schedule.
        scheduler_interval: Whether the schedule counts epochs or steps.
        score: Kind of the image score. A nomogram with `reconstruction` needs `learn_from=normal` of the datamodule.
        nomogram: Settings of the nomogram of predictors and image score; None for the autoencoder alone.
        **step: Of `OptimizedModule`.
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
        nomogram: NomogramSettings | None = None,
        **step: Unpack[StepSettings],
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval, **step)
        if not isinstance(net, VectorAutoencoder):
            raise wrong_network(net, VectorAutoencoder, "ResidualVAE")
        self.net, self.criterion = net, criterion
        self.score = ImageScore(score, net.latent_features)
        self.settings = nomogram
        self.nomogram = NomogramPart() if nomogram else None

    @property
    def metric_names(self) -> list[str]:
        """What may be monitored."""
        return ["train/loss", "val/loss", "val/error", "val/kl", "val/ssim"]

    @property
    def nomogram_notes(self) -> tuple[str, ...]:  # type: ignore[override]
        """Which cases the nomogram was fitted to, where they are not all of training and validation."""
        if self.nomogram is not None and self.nomogram.shift.numel():
            return (UNSEEN,)
        return (SEEN,) if self.score.kind == "reconstruction" else ()

    @property
    def nomogram_method(self) -> dict[str, str]:
        """The steps before the regression."""
        assert self.settings is not None
        size = " x ".join(map(str, self.net.sizes[0]))
        told = f"{self.score.kind} score, {self.settings.aggregate} of a case's images"
        folds = "" if self.score.kind == "reconstruction" else ", out of fold in development"
        apart = self.nomogram is not None and self.nomogram.shift.numel()
        learnt = "of normal cases that take no further part" if apart else "without labels"
        return {
            "preparation": f"images of {size} pixels, intensities in [0, 1]",
            "model": f"variational autoencoder {learnt}; {told}{folds}; ",
        }

    def on_fit_start(self) -> None:
        """Refuse a score that would be fitted to images that the autoencoder has learnt."""
        data = getattr(self.trainer, "datamodule", None)
        if self.nomogram is not None and self.score.kind == "reconstruction" and _learns_from(data) == "all":
            raise ValueError(SEEN)

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruction (B, C, H, W) in [0, 1] through the mean latent."""
        return self.decode(self.latent(image))

    def latent(self, image: Tensor) -> Tensor:
        """Mean latent (B, L) of images."""
        return self.net.encode(image)[0]

    def decode(self, latent: Tensor) -> Tensor:
        """Images (B, C, H, W) in [0, 1] of latents (B, L)."""
        return self.net.decode(latent).sigmoid()

    def image_score(self, image: Tensor) -> Tensor:
        """Score (B,) of images, differentiable."""
        latent = self.latent(image)
        if self.score.kind != "reconstruction":
            return self.score(latent, latent[:, 0])
        return self.score(latent, squared_error(self.decode(latent), image))

    def finalize(self, datamodule: CaseData) -> None:
        """Fit the image score and the nomogram to the cases of training and validation.

        The scores of these cases are out of fold, by case; the stored score is fitted to all of them. Without a
        nomogram, only the score is fitted. Nothing is fitted unless there are cases of both classes. If the autoencoder
        has learnt from normal training cases, these are left out: it codes them better than new ones.

        Args:
            datamodule: With `cases`, `case_of` and `ordered_dataloader`, such as `FetalHeartDataModule`.

        Raises:
            ValueError: If no regression can be fitted to these cases.
        """
        cases = datamodule.cases("train", "val") if hasattr(datamodule, "cases") else None
        if cases is None or cases.positive is None or cases.positive.all() or not cases.positive.any():
            return
        kind, settings, share = self.score.kind, self.settings or NomogramSettings(), None
        if _learns_from(datamodule) == "normal":
            share = float(cases.positive.mean())
            cases = cases[np.flatnonzero(cases.positive | (np.array(cases.split) == "val"))]
        assert cases.positive is not None
        images = encode_images(self, datamodule, ("train", "val")).of(cases.names)
        label = dict(zip(cases.names, cases.positive, strict=True))
        positive = np.array([label[name] for name in images.case])
        self.score.take(**fit_score(kind, images.latent, positive, images.case, settings.seed))
        if self.nomogram is None:
            return
        if kind == "reconstruction" and share is None:
            raise ValueError(SEEN)
        fold = case_folds(positive, images.case, settings)
        held = out_of_fold(kind, images.latent, images.error, positive, images.case, fold, settings.seed)
        home = dict(zip(images.case, fold, strict=True))
        table = self._table(datamodule, cases, images, held)
        of_cases = np.array([home[name] for name in cases.names])
        fit_nomogram(self.nomogram, settings, table, of_cases, datamodule, along_score(images.latent, held, 9), share)

    def case_table(self, datamodule: CaseData, *splits: str) -> CaseTable:
        """The cases of some splits with their image scores, by the fitted score.

        Args:
            datamodule: As for `finalize`.
            *splits: Names.
        """
        images = encode_images(self, datamodule, splits)
        numbers = {name: value.cpu().numpy() for name, value in self.score.named_buffers()}
        scores = image_scores(self.score.kind, numbers, images.latent, images.error)
        cases = datamodule.cases(*splits)
        assert cases is not None
        return self._table(datamodule, cases, images, scores)

    def predicted_table(self, datamodule: CaseData, collected: Mapping[str, Any]) -> CaseTable | None:
        """The predicted cases with their image scores; None if there is no table of them."""
        cases, ids = datamodule.cases("predict"), collected["id"]
        if cases is None or self.nomogram is None:
            return None
        owner = np.array([datamodule.case_of(name) for name in ids])
        images = EncodedImages(ids, owner, np.empty((len(ids), 0)), np.empty(len(ids)), np.empty(0))
        return self._table(datamodule, cases, images, collected["score"])

    def _table(self, datamodule: CaseData, cases: Cases, images: EncodedImages, scores: np.ndarray) -> CaseTable:
        assert self.settings is not None
        settings = self.settings
        own = by_case(scores, images.case, cases.names, settings.aggregate, settings.top)
        ways: tuple[Aggregate, ...] = ("mean", "max")
        rest: dict[str, np.ndarray] = {
            how: by_case(scores, images.case, cases.names, how) for how in ways if how != settings.aggregate
        }
        x = np.column_stack([*(cases.values[name] for name in datamodule.predictors), own])
        others = {name: cases.values[name] for name in datamodule.candidates if name in cases.values}
        images = images.scored(scores)
        known = cases.names, cases.positive, cases.split
        return CaseTable(*known, x, others, cases.readers, cases.probability, images, rest)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        image = batch["image"]
        logits, mean, sigma = self.net(image)
        terms = self.criterion(logits, image, mean, sigma, self.global_step)
        return self.log_training(terms, len(batch["id"]))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and errors of the reconstruction."""
        self._evaluate("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """As validation; returns ids, images and reconstructions."""
        return {"id": batch["id"], "image": batch["image"], "reconstruction": self._evaluate("test", batch)}

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """`{"id": ..., "score": (B,)}`; NaN if no score has been fitted, for want of labels."""
        score = self.image_score(batch["image"])
        known = bool(self.score.fitted) or self.score.kind == "reconstruction"
        return {"id": batch["id"], "score": score if known else torch.full_like(score, torch.nan)}

    def _evaluate(self, stage: str, batch: Batch) -> Tensor:
        image = batch["image"]
        mean, sigma = self.net.encode(image)
        logits = self.net.decode(mean)
        terms = self.criterion(logits, image, mean, sigma, 2**62)  # beyond any warm-up
        reconstruction = logits.float().sigmoid()
        numbers = {name: terms[name] for name in ("loss", "error", "kl")}
        numbers["ssim"] = ssim(reconstruction[:, :1], image[:, :1].float(), data_range=1.0)
        self.log_evaluation(stage, numbers, len(batch["id"]), prog_bar=stage == "val")
        return reconstruction


def _learns_from(datamodule: object) -> str:
    """Which training cases the autoencoder learns from: `all` or `normal`."""
    return str(getattr(datamodule, "learn_from", "all"))


def squared_error(reconstruction: Tensor, image: Tensor) -> Tensor:
    """(B,) mean squared error of the grey channel."""
    return (reconstruction[:, 0] - image[:, 0]).square().flatten(1).mean(1)
