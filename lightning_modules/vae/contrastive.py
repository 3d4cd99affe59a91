"""Contrastive VAE and SepVAE: a latent for what a target group has beyond a background group.

Abid and Zou 2019, "Contrastive Variational Autoencoder Enhances Salient Features" (arXiv:1902.04601; code
github.com/abidlabs/contrastive_vae). Louiset et al. 2023, "SepVAE" (arXiv:2307.06206; code without a licence, none
of it is used). Both are this objective with different terms switched on. Unlike the first code, the discriminator
has its own optimiser; unlike the second, whose classifier has a weight of 1e-10 relative to a summed error, every
term is in nats per image, so that weights are comparable.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medzoo.lightning_modules.contracts import Batch
from medzoo.lightning_modules.loss_terms import Terms
from medzoo.lightning_modules.optimization import OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.vae.two_part import Pair, TwoPartVAEModule
from medzoo.models.losses import draw, gaussian_error, kl_to_normal
from medzoo.models.losses.classification import Task
from medzoo.models.protocols import SalientNetwork, wrong_network

__all__ = ["ContrastiveVAEModule"]

BACKGROUND_VARIANCE = 0.1
"""Variance of the salient latent of background images; fixed, as in SepVAE's code."""


class ContrastiveVAEModule(TwoPartVAEModule):
    """Trains `net` on batches with `image` (B, C, *spatial) and `label` (B,): one class is background.

    The decoder gets the common latent and the salient one, which is set to 0 for background images.

    Args:
        net: With `encode` and `decode`, such as `SalientVAE`.
        optimizer: As of `TwoPartVAEModule`.
        scheduler: As of `TwoPartVAEModule`.
        background: Index of the background class.
        common_kl: Weight of the KL of the common latent.
        salient_kl: Weight of the KL of the salient latent of target images and of the prior below.
        background_prior: Variance of a prior that pulls the salient means of background images to 0; None for no prior,
            as in the contrastive VAE, which does not encode them.
        classifier_weight: Weight of the cross entropy of a small network that separates target from background by the
            salient sample; 0 for no classifier.
        penalise: Images whose latents should be independent: `target` (Abid and Zou), or `all`, which also keeps the
            group out of the common latent.
        **options: Of `TwoPartVAEModule`.

    Raises:
        ValueError: If there is no such class, or a weight is below 0.
    """

    part_names = ("common", "salient")

    def __init__(
        self,
        net: nn.Module,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        task: Task,
        num_classes: int,
        background: int = 0,
        common_kl: float = 1.0,
        salient_kl: float = 1.0,
        background_prior: float | None = None,
        classifier_weight: float = 0.0,
        penalise: Literal["target", "all"] = "target",
        **options: Any,
    ) -> None:
        if not 0 <= background < num_classes:
            raise ValueError(f"background={background}: there are classes 0 to {num_classes - 1}")
        if min(common_kl, salient_kl, classifier_weight) < 0 or (background_prior or 1.0) <= 0:
            raise ValueError("weights must not be below 0, and background_prior must be positive")
        if not isinstance(net, SalientNetwork):
            raise wrong_network(net, SalientNetwork, "SalientVAE")
        common, salient = net.common_features, net.salient_features
        options |= {"task": task, "num_classes": num_classes}
        super().__init__(net, optimizer, scheduler, widths=(common, salient), **options)
        self.background, self.common_kl, self.salient_kl = background, common_kl, salient_kl
        self.background_prior, self.classifier_weight, self.penalise = background_prior, classifier_weight, penalise
        self.classifier = (
            nn.Sequential(nn.Linear(salient, salient), nn.ReLU(), nn.Linear(salient, 1)) if classifier_weight else None
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a batch, and keep its `target_rows` as an array, so that no step waits for the device."""
        rows = (batch["label"] != self.background).nonzero()[:, 0].cpu().numpy()
        return super().transfer_batch_to_device(batch, device, dataloader_idx) | {"target_rows": rows}

    def encode(self, batch: Batch) -> tuple[Pair, Pair]:
        """Mean and log variance of the common and of the salient latent."""
        return self.net.encode(batch["image"])

    def reconstruct(self, batch: Batch, parts: Pair) -> Tensor:
        """Reconstructions; those of background images use the common latent only."""
        return self.decode(parts[0], parts[1] * self._target(batch)[:, None])

    def terms(self, batch: Batch, code: tuple[Pair, Pair], parts: Pair) -> Terms:
        """`error`, `common`, `salient`, `background`, `classifier` if they are on, and `loss`, their sum.

        Also `mse`, and `kl`: the unweighted KL of the common latent plus that of the salient latent of target images.
        """
        target, (common, salient) = self._target(batch), code
        error = gaussian_error(self.reconstruct(batch, parts), batch["image"], self.sigma)
        of_common, of_salient = kl_to_normal(*common), kl_to_normal(*salient) * target
        terms = {"error": error.mean(), "common": self.common_kl * of_common.mean()}
        terms["salient"] = self.salient_kl * of_salient.mean()
        if self.background_prior is not None:
            near = salient[0].square().sum(1) * (1 - target) / (2 * self.background_prior)
            terms["background"] = self.salient_kl * near.mean()
        if self.classifier is not None:
            logits = self.classifier(parts[1])[:, 0].float()
            terms["classifier"] = self.classifier_weight * F.binary_cross_entropy_with_logits(logits, target)
        loss = torch.stack([*terms.values()]).sum()
        mse = error.mean() * 2 * self.sigma**2 / batch["image"][0].numel()
        return {**terms, "mse": mse, "kl": (of_common + of_salient).mean(), "loss": loss}

    def draw(self, batch: Batch, code: tuple[Pair, Pair]) -> Pair:
        """A sample of each latent; the salient one of background images has a fixed variance."""
        (common, (mean, log_variance)), target = code, self._target(batch)[:, None]
        fixed = torch.full_like(log_variance, BACKGROUND_VARIANCE).log()
        return draw(*common), draw(mean, target * log_variance + (1 - target) * fixed)

    def penalised(self, batch: Batch, parts: Pair) -> Pair:
        """Both latents of the images whose latents should be independent."""
        if self.penalise == "all":
            return parts
        if "target_rows" in batch:
            rows = torch.from_numpy(batch["target_rows"]).to(parts[0].device, non_blocking=True)
        else:
            rows = (batch["label"] != self.background).nonzero()[:, 0]
        return parts[0][rows], parts[1][rows]

    def _target(self, batch: Batch) -> Tensor:
        """(B,) ones and zeros."""
        return (batch["label"] != self.background).float()
