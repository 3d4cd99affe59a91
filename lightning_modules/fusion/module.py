"""Diagnosis and survival from any subset of modalities: encoders, a fusion, and the losses that all fusions share."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Unpack

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medzoo.lightning_modules.classification import classification_metrics
from medzoo.lightning_modules.contracts import Batch, CohortData
from medzoo.lightning_modules.fusion.fits import Evaluated, fit_clinical, fit_shrinkage, fit_survival
from medzoo.lightning_modules.held_out import fit_to_validation
from medzoo.lightning_modules.loss_terms import Terms
from medzoo.lightning_modules.metrics import ConcordanceIndex
from medzoo.lightning_modules.optimization import OptimizedModule, OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.step import StepSettings
from medzoo.models.fitted import BaselineSurvival, CohortBaselines, PatientThreshold
from medzoo.models.fusion import Fused, FusionNetwork, drop_modalities, rows_of
from medzoo.models.losses import CoxLoss

__all__ = ["FusionModule"]


class FusionModule(OptimizedModule):
    """Trains encoders and a fusion on batches with `present` (B, M) bool, `label` (B,), and a key for each modality.

    The loss is a weighted sum; terms of weight 0 are left out: cross entropy of the fused output and, with `time`
    (months) and `event` in the batch, Cox's loss; the same for every modality's own head, averaged; alignment of the
    tokens; reconstruction error of the decoders; and the fusion's own terms.

    Logs `train/loss`; `loss`, `auc`, `acc` and, with a survival loss, `c_index`, under `val/` and `test/`. Survival
    alone (`classification_weight=0`) needs no labels: `prob` is then that of surviving, and of not surviving, the last
    of the times at which a test looks.

    Args:
        encoders: By modality, from its entry in the batch to tokens (B, dim). Encoders of other modalities are ignored.
        fusion: From tokens and evidence to `Fused`.
        optimizer: Builds the optimiser from the parameters.
        scheduler: Builds a learning-rate schedule from the optimiser.
        scheduler_interval: Whether the schedule counts epochs or steps.
        modalities: M names, in the order of `present`.
        num_classes: K.
        dim: Width of a token.
        modality_dropout: Probability of hiding a present modality from the fusion in training.
        fusion_weight: Weight of the fused output's losses; 0 trains each modality by itself.
        unimodal_weight: Weight of the losses of the modalities' own heads.
        classification_weight: Weight of cross entropy; 0 to train survival alone.
        survival_weight: Weight of Cox's loss; 0 if no times are known.
        ties: See `CoxLoss`.
        alignment: From tokens and presence to a loss, such as `ContrastiveAlignment`.
        alignment_weight: Weight of that loss.
        decoders: By modality, from tokens back to the encoder's input; for explanations by latent shift.
        reconstruction_weight: Weight of their mean squared error, relative to the variance; it trains the encoders too.
        freeze_encoders: Train only the fusion, on the encoders and heads of the stage `unimodal`; `unimodal_weight` is
            ignored. Tokens are computed once, so augmentation has no effect.
        shrink: After training, shrink the fusion towards the summed evidence of the modalities' own heads, by the share
            that suits the validation patients best: where interactions cannot be learnt, nothing is lost.
        patient: Regular expression whose first group is the patient in an id: after training, the threshold of a
            patient's probability is chosen on the validation patients.
        **step: Of `OptimizedModule`.

    Raises:
        ValueError: If a modality has no encoder, `alignment_weight` is given without `alignment`, there is neither a
            classification nor a survival loss, or `shrink` without the former.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module | None],
        fusion: nn.Module,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        modalities: Sequence[str],
        num_classes: int,
        dim: int,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        modality_dropout: float = 0.3,
        fusion_weight: float = 1.0,
        unimodal_weight: float = 0.5,
        classification_weight: float = 1.0,
        survival_weight: float = 0.0,
        ties: Literal["breslow", "efron"] = "breslow",
        alignment: nn.Module | None = None,
        alignment_weight: float = 0.0,
        decoders: Mapping[str, nn.Module | None] | None = None,
        reconstruction_weight: float = 0.0,
        freeze_encoders: bool = False,
        shrink: bool = False,
        patient: str | None = None,
        **step: Unpack[StepSettings],
    ) -> None:
        super().__init__(optimizer, scheduler, scheduler_interval, **step)
        if alignment_weight and alignment is None:
            raise ValueError("alignment_weight is above 0: give lightning_module.alignment, or set it to 0")
        if not classification_weight and (shrink or not survival_weight):
            raise ValueError(
                "classification_weight=0 trains survival alone: give survival_weight, and set shrink=false"
            )
        self.net = FusionNetwork(
            encoders, fusion, modalities=modalities, dim=dim, num_classes=num_classes, shrink=shrink
        )
        self.modalities, self.num_classes = tuple(modalities), num_classes
        self.freeze_encoders = freeze_encoders
        if freeze_encoders:
            self.net.encoders.requires_grad_(False)
            self.net.heads.requires_grad_(False)
        self.modality_dropout = modality_dropout
        self.fusion_weight, self.unimodal_weight = fusion_weight, unimodal_weight
        self.classification_weight = classification_weight
        self.survival_weight, self.cox = survival_weight, CoxLoss(ties)
        self.survival = BaselineSurvival()
        self.alignment, self.alignment_weight = alignment if alignment_weight else None, alignment_weight
        given = (decoders or {}).items()
        self.decoders = nn.ModuleDict({name: each for name, each in given if each and name in modalities})
        self.reconstruction_weight = reconstruction_weight
        metrics = classification_metrics("binary" if num_classes == 2 else "multiclass", num_classes)
        self.val_metrics, self.test_metrics = metrics.clone(prefix="val/"), metrics.clone(prefix="test/")
        self._kept: dict[str, Tensor] = {}
        self.patients = PatientThreshold(patient) if patient else None
        self.baselines = CohortBaselines()
        self.val_concordance, self.test_concordance = ConcordanceIndex(), ConcordanceIndex()

    @property
    def metric_names(self) -> list[str]:
        """What may be monitored."""
        of_classes = self.val_metrics if self.classification_weight else ()
        return ["train/loss", "val/loss", *of_classes, *(["val/c_index"] if self.survival_weight else [])]

    @property
    def networks(self) -> list[nn.Module]:
        """Encoders, fusion and decoders: each is compiled by itself, since it gets the rows that have its modality."""
        return [*self.net.encoders.values(), self.net.fusion, *self.decoders.values()]

    @property
    def ddp_strategy(self) -> str:
        """As in the base class; which parameters a batch uses depends on its modalities."""
        return "ddp_find_unused_parameters_true"

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs (B, K + 1), weights (B, M) and tokens (B, M, dim)."""
        return self.net(batch, batch["present"])

    def receive(self, stages: Mapping[str, L.LightningModule]) -> None:
        """Copy encoders, heads and decoders from the stage `unimodal`, if there is one.

        Raises:
            ValueError: If the encoders are frozen and there is none.
        """
        if "unimodal" in stages:
            before = stages["unimodal"]
            if not isinstance(before, FusionModule):
                raise ValueError(f"the stage unimodal is a {type(before).__name__}: expected a FusionModule")
            self.net.encoders.load_state_dict(before.net.encoders.state_dict())
            self.net.heads.load_state_dict(before.net.heads.state_dict())
            if len(before.decoders) and len(self.decoders):
                self.decoders.load_state_dict(before.decoders.state_dict())
        elif self.freeze_encoders:
            raise ValueError("freeze_encoders=true needs an earlier stage named unimodal; add one, or set it to false")

    def finalize(self, datamodule: CohortData) -> None:
        """Fit shrinkage and patient threshold to validation, survival and the test's baselines to training patients.

        Args:
            datamodule: With `ordered_dataloader` and `table`, such as `LiverCohortDataModule`.
        """
        train, classes = datamodule.table("train"), self.num_classes
        common = np.bincount(train["label"], minlength=classes) / len(train["label"])
        self.baselines.take(common=common)
        if self.net.shrinkage is not None:
            self.net.shrinkage.take(share=1.0, prior=[*np.log(common), 0.0])  # a hazard has no prior
            fit_shrinkage(self.net.shrinkage, self._evaluated(datamodule, "val"))
        if self.survival_weight:
            fit_survival(self.survival, self._evaluated(datamodule, "train"))
        if self.classification_weight:
            fit_to_validation(self, datamodule, None, self.patients)
            if classes == 2 and "clinical" in self.modalities:
                fit_clinical(self.baselines, train, self.modalities.index("clinical"))

    @torch.no_grad()
    def _evaluated(self, datamodule: CohortData, split: str) -> Iterator[Evaluated]:
        for batch in datamodule.ordered_dataloader(split):
            moved = self.transfer_batch_to_device(batch, self.device, 0)
            tokens = self._encode(moved)
            evidence = self.net.evidence(tokens)
            yield Evaluated(moved, evidence, self.net.fuse(tokens, evidence, _present(moved)).output)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch, and keep what decides the course of a step as an array, so that no step waits for the device.

        It is `present_here` (B, M), the same as `present`. Tells of a batch without events.
        """
        if self.survival_weight and "time" in batch and not (batch["event"].bool() & batch["time"].isfinite()).any():
            warnings.warn(
                "a batch without events contributes nothing to the survival loss: use larger batches", stacklevel=2
            )
        return super().transfer_batch_to_device(batch, device, dataloader_idx) | {
            "present_here": batch["present"].cpu().numpy()
        }

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of a batch."""
        seen = drop_modalities(_present(batch), self.modality_dropout)
        *_, terms = self._terms(batch, seen)
        return self.log_training(terms, len(batch["id"]))

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss and metrics of a batch."""
        self._evaluate("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Batch:
        """As validation; returns what `predict_step` returns, the truth, and predictions by each modality alone.

        `unimodal` (B, M, K) are the probabilities of the modalities' own heads, without meaning for absent ones;
        `tokens` (B, M, dim) are 0 there.
        """
        fused, evidence, tokens = self._evaluate("test", batch)
        truth: Batch = {name: batch[name] for name in ("label", "time", "event") if name in batch}
        by_modality = {"unimodal": evidence[..., :-1].softmax(-1), "tokens": tokens}
        return {**self._prediction(batch, fused), **truth, **by_modality}

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """For a batch of B patients.

        Returns:
            `id`, `prob` (B, K), `risk` (B,), the logarithm of the hazard, `weights` (B, M) and `present` (B, M).
        """
        tokens = self._encode(batch)
        return self._prediction(batch, self.net.fuse(tokens, self.net.evidence(tokens), _present(batch)))

    def _prediction(self, batch: Batch, fused: Fused) -> Batch:
        prob, risk = fused.output[:, :-1].float().softmax(1), fused.output[:, -1].float()
        if not self.classification_weight and bool(self.survival.fitted):
            alive = self.survival(risk, self.survival.asked[-1:])
            prob = torch.cat([alive, 1 - alive], 1).to(risk)
        return {"id": batch["id"], "prob": prob, "risk": risk, "weights": fused.weights, "present": batch["present"]}

    def _encode(self, batch: Batch) -> Tensor:
        """Tokens (B, M, dim); those of frozen encoders are cached in training and validation."""
        if not self.freeze_encoders:
            return self.net.encode(batch, _present(batch))
        self.net.encoders.eval()
        if self._trainer is None or not (self.trainer.training or self.trainer.validating):
            with torch.no_grad():
                return self.net.encode(batch, _present(batch))
        if not all(name in self._kept for name in batch["id"]):
            with torch.no_grad():
                self._kept |= dict(zip(batch["id"], self.net.encode(batch, _present(batch)), strict=True))
        return torch.stack([self._kept[name] for name in batch["id"]])

    def _terms(self, batch: Batch, seen: Tensor) -> tuple[Fused, Tensor, Tensor, Terms]:
        """The fused output, evidence, tokens, and the terms of the loss with `loss`, their sum."""
        tokens, present = self._encode(batch), _present(batch)
        evidence = self.net.evidence(tokens)
        fused = self.net.fuse(tokens, evidence, seen)
        terms = {}
        if self.fusion_weight:
            terms["fusion"] = self.fusion_weight * self._task(fused.output, batch)
            terms |= fused.terms
        if self.unimodal_weight and not self.freeze_encoders:
            rows = [rows_of(mask, tokens) for mask in present.T]
            losses = [self._task(evidence[own, m], batch, own) for m, own in enumerate(rows) if len(own)]
            terms["unimodal"] = self.unimodal_weight * torch.stack(losses).mean()
        if self.alignment is not None:
            terms["alignment"] = self.alignment_weight * self.alignment(tokens, present)
        if self.reconstruction_weight:
            terms["reconstruction"] = self.reconstruction_weight * self._reconstruction(tokens, batch)
        return fused, evidence, tokens, {**terms, "loss": torch.stack([*terms.values()]).sum()}

    def _task(self, output: Tensor, batch: Batch, rows: Tensor | slice = slice(None)) -> Tensor:
        """Cross entropy and Cox's loss, those that have a weight, for the outputs of some rows of a batch."""
        loss = output.new_zeros((), dtype=torch.float32)
        if self.classification_weight:
            loss = self.classification_weight * F.cross_entropy(output[:, :-1].float(), batch["label"][rows])
        if self.survival_weight:
            if "time" not in batch:
                raise ValueError("the data have no survival times: set lightning_module.survival_weight=0")
            time, event = batch["time"][rows], batch["event"][rows]
            loss = loss + self.survival_weight * self.cox(output[:, -1].float(), time, event)
        return loss

    def _reconstruction(self, tokens: Tensor, batch: Batch) -> Tensor:
        """Mean over modalities of the decoder's error, relative to the variance among patients with the modality."""
        errors = [tokens.sum() * 0]
        for name, decoder in self.decoders.items():
            index = self.modalities.index(name)
            rows = rows_of(_present(batch)[:, index], tokens)
            if len(rows):
                truth = batch[name][rows]
                errors.append(F.mse_loss(decoder(tokens[rows, index]), truth) / truth.var().clamp_min(1e-6))
        return torch.stack(errors).sum() / max(len(errors) - 1, 1)

    def _evaluate(self, stage: str, batch: Batch) -> tuple[Fused, Tensor, Tensor]:
        fused, evidence, tokens, terms = self._terms(batch, _present(batch))
        metrics = self.val_metrics if stage == "val" else self.test_metrics
        order = self.val_concordance if stage == "val" else self.test_concordance
        prediction, size = self._prediction(batch, fused), len(batch["id"])
        prob = prediction["prob"]
        self.log_evaluation(stage, {"loss": terms["loss"]}, size)
        if self.classification_weight:
            metrics.update(prob[:, -1] if prob.shape[1] == 2 else prob, batch["label"])
            self.log_dict(metrics, on_epoch=True, prog_bar=stage == "val", batch_size=size)
        if self.survival_weight:
            order.update(prediction["risk"], batch["time"], batch["event"])
            self.log(f"{stage}/c_index", order, on_epoch=True, batch_size=size)
        return fused, evidence, tokens


def _present(batch: Batch) -> Tensor:
    """(B, M) bool, on the CPU if the batch came through `transfer_batch_to_device`."""
    return torch.from_numpy(batch["present_here"]) if "present_here" in batch else batch["present"]
