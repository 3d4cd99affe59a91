"""Loss of an image autoencoder: squared error of the grey channel, cross entropy of masks, KL with a warm-up.

beta-VAE (Higgins et al. 2017, ICLR) with the linear warm-up of Sønderby et al. 2016 (arXiv:1602.02282).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from medzoo.models.losses.variational import kl_to_normal

__all__ = ["ImageVAELoss"]


class ImageVAELoss(nn.Module):
    """error + mask_weight * mask + beta * w * KL / pixels, in float32; w rises from 0 to 1 over `warmup_steps`.

    `error` is the mean over pixels. The KL is divided by the number of pixels too, so its relative weight does not
    depend on the image size: beta is twice the variance of the decoder's pixel noise.

    Args:
        beta: Weight of the KL.
        warmup_steps: Steps until the KL has its full weight; 0 for no warm-up.
        mask_weight: Weight of the mask channels.

    Raises:
        ValueError: If one is negative.
    """

    def __init__(self, *, beta: float = 0.02, warmup_steps: int = 1000, mask_weight: float = 0.1) -> None:
        super().__init__()
        if min(beta, warmup_steps, mask_weight) < 0:
            raise ValueError(
                f"beta={beta}, warmup_steps={warmup_steps}, mask_weight={mask_weight}: none may be negative"
            )
        self.beta, self.warmup_steps, self.mask_weight = beta, warmup_steps, mask_weight

    def forward(self, logits: Tensor, target: Tensor, mean: Tensor, sigma: Tensor, step: int) -> dict[str, Tensor]:
        """Terms of a batch.

        Args:
            logits: (B, C, H, W).
            target: (B, C, H, W) in [0, 1]; channels after the first are masks.
            mean: (B, latent).
            sigma: (B, latent).
            step: Of training, for the warm-up.

        Returns:
            Scalars `error`, `kl` in nats per image and, with masks, `mask`, all unweighted; and `loss`.
        """
        logits, target, mean, sigma = (each.float() for each in (logits, target, mean, sigma))
        grey = logits[:, :1].sigmoid()
        kl = kl_to_normal(mean, 2 * sigma.log(), variance=sigma.square()).mean()
        terms = {"error": F.mse_loss(grey, target[:, :1]), "kl": kl}
        share = min(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        loss = terms["error"] + self.beta * share * terms["kl"] / grey[0].numel()
        if target.shape[1] > 1:
            terms["mask"] = F.binary_cross_entropy_with_logits(logits[:, 1:], target[:, 1:])
            loss = loss + self.mask_weight * terms["mask"]
        return {**terms, "loss": loss}
