"""Deep radiomics that complement hand-crafted ones: a VAE whose decoder also gets the hand-crafted features.

Vétil et al. 2023, "Non-redundant combination of hand-crafted and deep learning radiomics" (arXiv:2308.11389); no
code was released. It is trained without labels; logistic regressions use them afterwards. `supervision`
adds a head as a later student reimplementation has it (github.com/ilyeslamssalak/PETvsCLIN, no licence, none of
its code is used).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medzoo.lightning_modules.contracts import Batch, RadiomicsData
from medzoo.lightning_modules.loss_terms import Terms
from medzoo.lightning_modules.optimization import OptimizerPartial, SchedulerPartial
from medzoo.lightning_modules.vae.two_part import Pair, TwoPartVAEModule
from medzoo.models.losses import draw, gaussian_error, kl_to_normal
from medzoo.models.losses.classification import Task
from medzoo.models.protocols import RadiomicsNetwork, wrong_network

__all__ = ["NonRedundantVAEModule"]


class NonRedundantVAEModule(TwoPartVAEModule):
    """Trains `net` on batches with `image` (B, C, *spatial), `hcr` (B, F), `label` (B,) and, where asked, `mask`.

    The objective is, in nats for each image, reconstruction error + KL + mi_weight * MI(HCR, DLR). Hand-crafted
    radiomics (HCR) are standardised by mean and standard deviation of the training images, which are part of
    the state; missing features become 0. Deep radiomics (DLR) are the mean of the latent.

    Args:
        net: From image to mean and log variance (`encode`), and back from radiomics and latent (`decode`).
        optimizer: As of `TwoPartVAEModule`.
        scheduler: As of `TwoPartVAEModule`.
        masked: Encode and reconstruct only what lies inside the mask, as in the paper.
        supervision: Weight of the cross entropy of a linear head on both parts; 0 for no head.
        **options: Of `TwoPartVAEModule`, such as `sigma`, `mi`, `mi_optimizer`, `mi_weight` and `mi_every`.
    """

    part_names = ("HCR", "DLR")
    hcr_mean: Tensor
    hcr_scale: Tensor

    def __init__(
        self,
        net: nn.Module,
        optimizer: OptimizerPartial,
        scheduler: SchedulerPartial | None = None,
        *,
        task: Task,
        num_classes: int,
        masked: bool = False,
        supervision: float = 0.0,
        **options: Any,
    ) -> None:
        if not isinstance(net, RadiomicsNetwork):
            raise wrong_network(net, RadiomicsNetwork, "RadiomicsVAE")
        hcr, dlr = net.condition_features, net.latent_features
        if hcr < 1:
            raise ValueError("the data have no hand-crafted radiomics: set datamodule/radiomics=hand_crafted")
        options |= {"task": task, "num_classes": num_classes}
        super().__init__(net, optimizer, scheduler, widths=(hcr, dlr), **options)
        self.masked, self.supervision = masked, supervision
        self.head = nn.Linear(hcr + dlr, num_classes) if supervision else None
        self.register_buffer("hcr_mean", torch.zeros(hcr))
        self.register_buffer("hcr_scale", torch.ones(hcr))

    def on_fit_start(self) -> None:
        """Get mean and scale of the radiomics from the training images."""
        datamodule: RadiomicsData = self.datamodule
        scaler = datamodule.hcr_scaler()
        self.hcr_mean.copy_(torch.from_numpy(scaler.mean))
        self.hcr_scale.copy_(torch.from_numpy(scaler.scale))

    def encode(self, batch: Batch) -> tuple[Pair, Pair]:
        """Standardised radiomics, which are not sampled, and mean and log variance of the latent."""
        image, hcr = batch["image"], batch["hcr"]
        if self.masked:
            image = image * self._mask(batch)
        standard = ((hcr - self.hcr_mean) / self.hcr_scale).nan_to_num()
        return (standard, standard), self.net.encode(image)

    def draw(self, batch: Batch, code: tuple[Pair, Pair]) -> Pair:
        """The radiomics as they are, and a sample of the latent."""
        return code[0][0], draw(*code[1])

    def terms(self, batch: Batch, code: tuple[Pair, Pair], parts: Pair) -> Terms:
        """`error`, `kl`, `head` if there is one, and `loss`, their sum; also `mse`."""
        image, mask = batch["image"], self._mask(batch) if self.masked else None
        error = gaussian_error(self.reconstruct(batch, parts), image, self.sigma, mask)
        pixels = mask.expand_as(image).flatten(1).sum(1) if mask is not None else image[0].numel()
        terms = {"error": error.mean(), "kl": kl_to_normal(*code[1]).mean()}
        if self.head is not None:
            logits = self.head(torch.cat(parts, 1)).float()
            terms["head"] = self.supervision * F.cross_entropy(logits, batch["label"])
        loss = torch.stack([*terms.values()]).sum()
        mse = error.sum() * 2 * self.sigma**2 / (pixels * torch.ones_like(error)).sum().clamp_min(1)
        return {**terms, "mse": mse, "loss": loss}

    def _mask(self, batch: Batch) -> Tensor:
        if "mask" not in batch:
            raise ValueError("masked=true needs masks with the images: set datamodule.give_mask=true")
        return batch["mask"]
