"""Latent diffusion of the change from a baseline scan to its follow-up: the objective, and sampling whole volumes.

HemExp, arXiv 2606.15304; github.com/orhunutkuaydin/HemExp (MIT). Differences: the noise of slices is correlated, the
baseline is encoded once for all samples, samples of all slices are denoised together, and the autoencoder's error on
the baseline is subtracted, so that unchanged tissue stays sharp. `sample_latents` and `correct_baseline` switch to the
original's way.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medzoo.models.diffusion import NoiseSchedule, Sampler, guided, slice_correlated_noise
from medzoo.models.diffusion.samplers import Denoise, Draw
from medzoo.models.protocols import ImageAutoencoder, wrong_network

__all__ = ["FollowupDiffusion", "Forecast"]


@dataclass(frozen=True)
class Forecast:
    """Sampled follow-ups of one patient, on the slices that are forecast.

    Attributes:
        ct: (N, S, H, W) in [0, 1].
        iph: (N, S, H, W) probability of a voxel to be IPH, in [0, 1].
        ivh: The same for IVH.
    """

    ct: Tensor
    iph: Tensor
    ivh: Tensor


class FollowupDiffusion(nn.Module):
    """An autoencoder, and a diffusion between the latents of two scans of a patient.

    Args:
        autoencoder: A trained autoencoder; frozen here.
        net: Predicts the velocity from (x, t, context, clinical, flag, drop_clinical), as `ConditionalUNet`.
        schedule: Noise schedule.
        gamma: Cap of the min-SNR weight (arXiv 2303.09556). None weights the error of the clean estimate equally at all
            times: the noisy end, which decides how much a bleed grows, then trains in far fewer steps.
        lesion_weight: Extra weight of the error near a bleed at baseline. The weight depends on the condition only, so
            the optimal distribution is unchanged; training only reaches it sooner.
        lesion_margin: Distance that counts as near, in pixels of the latent.
        sample_latents: Sample a scan's latent, as the original does, instead of using the mean.
        correct_baseline: Subtract the autoencoder's error on the baseline from decoded images; the original does not.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        autoencoder: nn.Module,
        net: nn.Module,
        schedule: NoiseSchedule,
        *,
        gamma: float | None = 1.0,
        lesion_weight: float = 0.0,
        lesion_margin: int = 2,
        sample_latents: bool = False,
        correct_baseline: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(autoencoder, ImageAutoencoder):
            raise wrong_network(autoencoder, ImageAutoencoder, "MultiHeadAutoencoderKL", "autoencoder")
        autoencoder.requires_grad_(False)
        self.autoencoder, self.net, self.schedule, self.gamma = autoencoder, net, schedule, gamma
        self.lesion_weight, self.lesion_margin = lesion_weight, lesion_margin
        self.sample_latents, self.correct_baseline = sample_latents, correct_baseline
        channels = autoencoder.latent_channels
        self.register_buffer("latent_mean", torch.zeros(channels))
        self.register_buffer("latent_std", torch.ones(channels))

    def train(self, mode: bool = True) -> "FollowupDiffusion":
        """Set the mode of everything but the autoencoder, which stays in evaluation mode."""
        super().train(mode)
        self.autoencoder.eval()
        return self

    @torch.no_grad()
    def encode(self, image: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents (B, c, h, w) of slices (B, 3, H, W), normalised by channel.

        Args:
            image: CT, IPH and IVH.
            generator: CPU generator of the noise for `sample_latents`.
        """
        latent, sigma = self.autoencoder.encode(image.contiguous(memory_format=torch.channels_last))
        if self.sample_latents:
            latent = latent + sigma * torch.randn(latent.shape, generator=generator).to(latent)
        return (latent.float() - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def decode(self, latent: Tensor) -> Tensor:
        """CT, and logits of IPH and IVH, (B, 3, H, W), of normalised latents (B, c, h, w)."""
        latent = latent * self.latent_std[:, None, None] + self.latent_mean[:, None, None]
        latent = latent.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        return self.autoencoder.decode(latent).float()

    def loss(
        self,
        context: Tensor,
        followup: Tensor,
        t: Tensor,
        noise: Tensor,
        clinical: Tensor,
        flag: Tensor,
        drop: Tensor,
        iph: Tensor | None = None,
    ) -> Tensor:
        """Weighted squared error of the velocity.

        Args:
            context: (B, 3 c, h, w) latents of three baseline slices; the middle one is to be forecast.
            followup: (B, c, h, w) latent of that slice at follow-up.
            t: (B,) times.
            noise: (B, c, h, w).
            clinical: (B, K), NaN where unknown.
            flag: (B,) 0, 1 or -1.
            drop: (B,) bool, True to ignore the clinical variables.
            iph: (B, H, W) bool, baseline bleed of the slice to forecast; needed for `lesion_weight`.

        Returns:
            (B,) losses.
        """
        change = followup - context.unflatten(1, (3, -1))[:, 1]
        velocity = self.net(self.schedule.add_noise(change, noise, t), t, context, clinical, flag, drop)
        error = (velocity.float() - self.schedule.velocity(change, noise, t)).square()
        if self.lesion_weight and iph is not None:
            error = error * self._lesion_weights(iph, change.shape[-2:])
        error = error.mean(dim=(1, 2, 3))
        weight = self.schedule.sigma(t) ** 2 if self.gamma is None else self.schedule.min_snr_weight(t, self.gamma)
        return weight * error

    def _lesion_weights(self, iph: Tensor, size: torch.Size) -> Tensor:
        """(B, 1, h, w), on average 1, and `1 + lesion_weight` times as large near a bleed as elsewhere."""
        bleed, reach = F.adaptive_max_pool2d(iph[:, None].float(), list(size)), self.lesion_margin
        weight = 1 + self.lesion_weight * F.max_pool2d(bleed, 2 * reach + 1, stride=1, padding=reach)
        return weight / weight.mean()

    @torch.no_grad()
    def forecast(
        self,
        image: Tensor,
        slices: Tensor,
        context: Tensor,
        spacing_z: float,
        clinical: Tensor,
        flags: Tensor,
        sampler: Sampler,
        *,
        generator: torch.Generator,
        noise_length_mm: float = float("inf"),
        guidance: float = 1.0,
        images_at_once: int = 256,
    ) -> Forecast:
        """Sample follow-ups of one patient.

        Args:
            image: (Z, 3, H, W) baseline: CT in [0, 1], IPH, IVH.
            slices: (S,) indices of slices to forecast.
            context: (S, 3) indices of each of them with its context.
            spacing_z: Distance of slices in mm.
            clinical: (K,), NaN where unknown.
            flags: (N,) one flag for each sample: 0 stable, 1 expansion, -1 unknown.
            sampler: Turns noise into latents.
            generator: CPU generator of all noise, so that the same seed gives the same forecast on any device.
            noise_length_mm: Correlation length of the noise along z: 0 independent slices, inf shared noise.
            guidance: Scale of classifier-free guidance on the clinical variables.
            images_at_once: Slices in one forward pass.

        Returns:
            N samples of S slices.
        """
        needed, place = context.unique(return_inverse=True)
        latents = torch.cat([self.encode(part, generator) for part in image[needed].split(images_at_once)])
        around = latents[place].flatten(1, 2)  # (S, 3 c, h, w)
        before = latents[place[:, 1]]
        shape = (len(flags), *before.shape)
        noise = slice_correlated_noise((slices * spacing_z).tolist(), shape, noise_length_mm, generator).to(before)
        error = before.new_zeros(())
        if self.correct_baseline:
            decoded = torch.cat([self.decode(part) for part in before.split(images_at_once)])
            error = reconstruction_error(image[slices], decoded)
        group = max(1, images_at_once // len(slices))  # samples denoised together, with all their slices
        volumes = []
        for start in range(0, len(flags), group):
            flag, x = flags[start : start + group], noise[start : start + group].flatten(0, 1)
            count = len(flag)
            denoise = self._denoiser(around, clinical, flag, guidance)
            change = sampler(
                denoise, x, self.schedule, draw=_drawer(slices, spacing_z, noise_length_mm, count, generator)
            )
            after = before.repeat(count, 1, 1, 1) + change
            decoded = torch.cat([self.decode(part) for part in after.split(images_at_once)])
            volumes.append(decoded.unflatten(0, (count, -1)) - error)
        ct, iph, ivh = torch.cat(volumes).unbind(2)
        return Forecast(ct.clamp(0, 1), iph.sigmoid(), ivh.sigmoid())

    def _denoiser(self, around: Tensor, clinical: Tensor, flag: Tensor, guidance: float) -> Denoise:
        """The velocity of `len(flag)` samples of all slices, with guidance."""
        count, slices = len(flag), len(around)
        repeated = around.repeat(count, 1, 1, 1)
        everyone = clinical.expand(count * slices, -1)
        flags = flag.to(around.device).repeat_interleave(slices)
        keep = torch.zeros(count * slices, dtype=torch.bool, device=around.device)
        return guided(
            lambda x, t: self.net(x, t, repeated, everyone, flags, keep).float(),
            lambda x, t: self.net(x, t, repeated, everyone, flags, ~keep).float(),
            guidance,
        )


def reconstruction_error(image: Tensor, decoded: Tensor, margin: float = 0.5) -> Tensor:
    """The correction to subtract from decoded images so that an unchanged latent reproduces the image.

    For the CT it is the whole error. For a mask's logits it is the threshold that gives the true number of bleeding
    voxels, since an autoencoder may draw every edge slightly too wide or too narrow; voxels that are still wrong are
    moved to the right side by `margin`. All others keep their logits, so that a bleed can grow over its blurred edge.

    Args:
        image: (S, 3, H, W) CT and masks.
        decoded: (S, 3, H, W) CT and logits.
        margin: Logit of a corrected voxel.

    Returns:
        (S, 3, H, W).
    """
    true, logits = image[:, 1:] > 0.5, decoded[:, 1:]
    each = [_threshold(logits[:, mask], true[:, mask]) for mask in range(true.shape[1])]
    threshold = torch.stack(each)[:, None, None]
    side = 2 * true.to(logits) - 1
    wrong = (logits - threshold) * side <= 0
    masks = torch.where(wrong, logits - margin * side, threshold)
    return torch.cat([decoded[:, :1] - image[:, :1], masks], dim=1)


def _threshold(logits: Tensor, true: Tensor, most: float = 2.0) -> Tensor:
    """The logit exceeded by as many voxels as are true, within [-most, most]; 0 if none or all are true."""
    count = int(true.sum())
    if count in (0, true.numel()):
        return logits.new_zeros(())
    falling = logits.flatten().sort(descending=True).values
    return falling[count - 1 : count + 1].mean().clamp(-most, most)


def _drawer(slices: Tensor, spacing_z: float, length_mm: float, count: int, generator: torch.Generator) -> Draw:
    """Noise for stochastic samplers, correlated like the initial noise."""
    positions = (slices * spacing_z).tolist()

    def draw(like: Tensor) -> Tensor:
        shape = (count, len(positions), *like.shape[1:])
        return slice_correlated_noise(positions, shape, length_mm, generator).flatten(0, 1).to(like)

    return draw
