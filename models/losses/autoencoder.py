"""Losses of the hemorrhage-aware autoencoder of HemExp: reconstruction and KL, perceptual, adversarial.

HemExp (arXiv:2606.15304; github.com/orhunutkuaydin/HemExp, MIT). Differences: the same closed form of the KL
for all data, and a Dice of 1 where mask and prediction are both empty.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from monai.losses import DiceLoss, PatchAdversarialLoss, PerceptualLoss
from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn
from torch.func import functional_call

from medzoo.models.losses.variational import kl_to_normal

__all__ = ["HemorrhageAutoencoderLoss", "PatchAdversarialTerm", "PerceptualTerm"]


class HemorrhageAutoencoderLoss(nn.Module):
    """CT error + masks + KL, in float32 also under mixed precision; the perceptual term starts after its warm-up.

    ct + mask_weight * (iph_weight * (Dice + BCE)(IPH) + ivh_weight * (Dice + BCE)(IVH)) + kl_weight * KL
    + the terms of `perceptual`, if given.

    Dice is the soft Dice over all slices of a batch, with 1 added to numerator and denominator,
    1 - (2 I + 1) / (A + B + 1). A Dice for each slice would let the many slices without IVH outweigh the few with it:
    training then took several times as long to find its first voxel.

    Args:
        mask_weight: Weight of both masks.
        iph_weight: Weight of IPH among them.
        ivh_weight: Weight of IVH among them.
        kl_weight: Weight of the KL.
        perceptual: A perceptual term, none by default.
    """

    def __init__(
        self,
        *,
        mask_weight: float = 0.002,
        iph_weight: float = 1.0,
        ivh_weight: float = 2.0,
        kl_weight: float = 1e-8,
        perceptual: "PerceptualTerm | None" = None,
    ) -> None:
        super().__init__()
        self.mask_weight = mask_weight
        self.iph_weight = iph_weight
        self.ivh_weight = ivh_weight
        self.kl_weight = kl_weight
        self.perceptual = perceptual
        self.dice = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0, batch=True)

    def forward(
        self, reconstruction: Tensor, target: Tensor, mean: Tensor, sigma: Tensor, step: int = 0
    ) -> dict[str, Tensor]:
        """Terms of a batch.

        Args:
            reconstruction: (B, 3, H, W) CT and logits of IPH and IVH.
            target: (B, 3, H, W) CT in [0, 1] and masks of 0 and 1.
            mean: (B, C, h, w) of the latent.
            sigma: (B, C, h, w) of the latent.
            step: Training step, for the warm-up.

        Returns:
            Scalars `ct`, `iph`, `ivh`, `kl` and, once it has started, `perceptual`, all unweighted; and `loss`, their
            weighted sum.
        """
        reconstruction, target, mean, sigma = (each.float() for each in (reconstruction, target, mean, sigma))
        terms = {
            "ct": F.mse_loss(reconstruction[:, :1], target[:, :1]),
            "iph": self._mask_loss(reconstruction[:, 1:2], target[:, 1:2]),
            "ivh": self._mask_loss(reconstruction[:, 2:3], target[:, 2:3]),
            "kl": kl_to_normal(mean, 2 * sigma.log(), variance=sigma.square()).mean(),
        }
        masks = self.iph_weight * terms["iph"] + self.ivh_weight * terms["ivh"]
        loss = terms["ct"] + self.mask_weight * masks + self.kl_weight * terms["kl"]
        if self.perceptual is not None and step >= self.perceptual.start_step:
            terms["perceptual"] = self.perceptual(reconstruction[:, :1], target[:, :1])
            loss = loss + self.perceptual.weight * terms["perceptual"]
        return {**terms, "loss": loss}

    def _mask_loss(self, logits: Tensor, mask: Tensor) -> Tensor:
        return self.dice(logits, mask) + F.binary_cross_entropy_with_logits(logits, mask)


class PerceptualTerm(nn.Module):
    """Distance between the features of a network trained on photographs (LPIPS; Zhang et al. 2018, arXiv:1801.03924).

    Its weights are frozen and not part of checkpoints; they are downloaded from their publisher.

    Args:
        network: Network of MONAI's `PerceptualLoss`.
        weight: Weight in the total.
        start_step: First training step with this term.

    Raises:
        ValueError: If the package `lpips` or the network's weights are not available.
    """

    def __init__(
        self, network: Literal["squeeze", "alex", "vgg"] = "squeeze", *, weight: float = 0.001, start_step: int = 2500
    ) -> None:
        super().__init__()
        self.weight = weight
        self.start_step = start_step
        try:
            loss = PerceptualLoss(spatial_dims=2, network_type=network)
        except Exception as error:  # a missing package, no network, a server that refuses: each its own type
            reason = " ".join(str(error).split())
            raise ValueError(
                f"no perceptual loss: pip install lpips and go online once, or set perceptual=null ({reason})"
            ) from error
        self._frozen = [loss.requires_grad_(False).eval()]  # a list keeps it out of parameters and checkpoints

    def forward(self, reconstruction: Tensor, target: Tensor) -> Tensor:
        """Mean distance of (B, 1, H, W) images in [0, 1]."""
        self._frozen[0].to(reconstruction.device)
        grey = [2 * image.float().expand(-1, 3, -1, -1) - 1 for image in (reconstruction, target)]  # LPIPS: [-1, 1]
        return self._frozen[0](*grey)


class PatchAdversarialTerm(nn.Module):
    """Least-squares GAN (Mao et al. 2017, arXiv:1611.04076) on patches of the CT (Isola et al. 2017, arXiv:1611.07004).

    Args:
        channels: Width of the discriminator's first layer.
        num_layers: Layers of the discriminator.
        weight: Weight of the generator's term in the total.
        start_step: First training step with this term.
    """

    def __init__(
        self, *, channels: int = 128, num_layers: int = 3, weight: float = 0.005, start_step: int = 5000
    ) -> None:
        super().__init__()
        self.weight = weight
        self.start_step = start_step
        self.discriminator = PatchDiscriminator(
            spatial_dims=2, channels=channels, in_channels=1, out_channels=1, num_layers_d=num_layers
        )
        self.criterion = PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True)

    def generator_loss(self, reconstruction: Tensor, step: int) -> Tensor:
        """The weighted adversarial loss of the generator; the discriminator gets no gradient.

        Args:
            reconstruction: (B, 1, H, W) CT in [0, 1].
            step: Training step; before `start_step` the loss is zero.

        Returns:
            A float32 scalar.
        """
        if step < self.start_step:
            return reconstruction.new_zeros(())
        frozen = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
        score = functional_call(self.discriminator, frozen, (reconstruction.float(),))[-1]
        return self.weight * self.criterion(score, target_is_real=True, for_discriminator=False)

    def discriminator_loss(self, reconstruction: Tensor, target: Tensor, step: int) -> Tensor:
        """The discriminator's loss on reconstructed and real CTs, weighted as in the original.

        Args:
            reconstruction: (B, 1, H, W) CT; no gradient reaches it.
            target: (B, 1, H, W) real CT.
            step: Training step; before `start_step` the loss and its gradients are zero.

        Returns:
            A float32 scalar that depends on every parameter of the discriminator.
        """
        if step < self.start_step:
            return torch.stack([0 * weight.sum() for weight in self.discriminator.parameters()]).sum()
        fake = self.discriminator(reconstruction.detach().float())[-1]
        real = self.discriminator(target.float())[-1]
        told_fake = self.criterion(fake, target_is_real=False, for_discriminator=True)
        told_real = self.criterion(real, target_is_real=True, for_discriminator=True)
        return self.weight * 0.5 * (told_fake + told_real)
