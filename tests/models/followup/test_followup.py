import pytest
import torch
from torch import nn

from medzoo.models import DDIM, DDPM, DPMSolverPP2M, FollowupDiffusion, sigmoid_schedule
from medzoo.models.followup.diffusion import reconstruction_error


class Half(nn.Module):
    """An autoencoder without weights: latents are half the image at every second pixel."""

    latent_channels = 3

    def encode(self, image):
        mean = image[..., ::2, ::2] / 2
        return mean, torch.ones_like(mean)

    def sample(self, mean, sigma):
        return mean

    def decode(self, z):
        image = 2 * z.repeat_interleave(2, -1).repeat_interleave(2, -2)
        return torch.cat([image[:, :1], 8 * (image[:, 1:] - 0.5)], dim=1)


class Still(nn.Module):
    """Says that nothing changes: x0 = 0, so the velocity is x alpha^-1 sigma ... solved for x0 = 0."""

    def __init__(self, schedule, amount=0.0):
        super().__init__()
        self.schedule, self.amount = schedule, amount

    def forward(self, x, t, context, clinical, flag, drop):
        alpha, sigma = (level(t).view(-1, 1, 1, 1) for level in (self.schedule.alpha, self.schedule.sigma))
        target = self.amount * flag.view(-1, 1, 1, 1).float()
        return (alpha * x - target) / sigma  # the velocity whose clean estimate is `target`


@pytest.fixture
def patient():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(6, 3, 8, 8, generator=generator) * 0.5
    image[:, 1:] = (image[:, 1:] > 0.25).float()
    return {
        "image": image,
        "slices": torch.tensor([1, 2, 3]),
        "context": torch.tensor([[0, 1, 2], [1, 2, 3], [2, 3, 4]]),
        "spacing_z": 5.0,
        "clinical": torch.full((7,), 0.5),
    }


def diffusion(amount=0.0):
    schedule = sigmoid_schedule()
    return FollowupDiffusion(Half(), Still(schedule, amount), schedule)


def forecast(model, patient, flags, sampler=None, **options):
    generator = torch.Generator().manual_seed(1)
    return model.forecast(**patient, flags=flags, sampler=sampler or DPMSolverPP2M(5), generator=generator, **options)


def test_no_change_gives_the_baseline_back_at_full_resolution(patient):
    said = forecast(diffusion(), patient, torch.zeros(2, dtype=torch.long))
    before = patient["image"][patient["slices"]]
    for sample in range(2):
        assert torch.allclose(said.ct[sample], before[:, 0], atol=1e-5)
        assert torch.equal(said.iph[sample] > 0.5, before[:, 1] > 0.5)
        assert torch.equal(said.ivh[sample] > 0.5, before[:, 2] > 0.5)


def test_a_known_change_is_added_to_the_scan(patient):
    model = diffusion(amount=0.1)
    said = forecast(model, patient, torch.tensor([0, 1]))
    before = patient["image"][patient["slices"], 0]
    assert torch.allclose(said.ct[0], before, atol=1e-5)
    assert torch.allclose(said.ct[1], (before + 2 * 0.1).clamp(0, 1), atol=1e-4), "twice the change of the latent"


@pytest.mark.parametrize("sampler", [DPMSolverPP2M(4), DDIM(4), DDIM(4, eta=1.0), DDPM(4)])
def test_how_much_goes_through_at_once_makes_no_difference(patient, sampler):
    noisy = diffusion()
    noisy.net.amount = 0.3
    flags = torch.tensor([0, 1, 1, 0, 1])
    whole = forecast(noisy, patient, flags, sampler, images_at_once=100)
    parts = forecast(noisy, patient, flags, sampler, images_at_once=3)
    if isinstance(sampler, DDPM) or getattr(sampler, "eta", 0):
        assert whole.ct.shape == parts.ct.shape  # fresh noise comes in another order
    else:
        assert torch.allclose(whole.ct, parts.ct, atol=1e-5)


class Echo(nn.Module):
    """A denoiser whose clean estimate is its first noise, so that samples show the noise they began with."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule, self.first = schedule, None

    def forward(self, x, t, context, clinical, flag, drop):
        self.first = x.clone() if self.first is None else self.first
        alpha, sigma = (level(t).view(-1, 1, 1, 1) for level in (self.schedule.alpha, self.schedule.sigma))
        return (alpha * x - 0.05 * self.first) / sigma


@pytest.mark.parametrize(("length", "agree"), [(0.0, False), (float("inf"), True)])
def test_slices_share_their_noise_when_asked(patient, length, agree):
    schedule = sigmoid_schedule()
    model = FollowupDiffusion(Half(), Echo(schedule), schedule)
    forecast(model, patient, torch.zeros(3, dtype=torch.long), noise_length_mm=length)
    noise = model.net.first.unflatten(0, (3, 3))
    assert torch.equal(noise[:, 0], noise[:, 1]) is agree
    assert not torch.equal(noise[0], noise[1]), "samples differ"


def test_the_autoencoder_is_frozen_and_stays_in_evaluation_mode():
    class WithDropout(Half):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

    model = FollowupDiffusion(WithDropout(), nn.Linear(1, 1), sigmoid_schedule()).train()
    assert not model.autoencoder.training
    assert not any(weight.requires_grad for weight in model.autoencoder.parameters())
    assert model.net.training


def test_only_voxels_that_were_decoded_wrongly_are_corrected():
    image, decoded = torch.zeros(1, 3, 1, 4), torch.tensor([-2.0, 0.5, -0.5, 3.0]).expand(1, 3, 1, 4)
    image[0, 1, 0] = torch.tensor([0.0, 0.0, 1.0, 1.0])
    said = decoded - reconstruction_error(image, decoded, margin=0.25)
    assert said[0, 1, 0].tolist() == [-2.0, -0.25, 0.25, 3.0]
    grown = decoded + 2 - reconstruction_error(image, decoded, margin=0.25)
    assert (grown[0, 1, 0] > 0).tolist() == [False, True, True, True], "a corrected voxel may still join the bleed"


def test_an_edge_that_is_drawn_too_narrow_is_moved_everywhere():
    image, decoded = torch.zeros(1, 3, 1, 5), torch.tensor([-3.0, -1.5, -0.5, 0.5, 2.0]).expand(1, 3, 1, 5)
    image[0, 1, 0, 2:] = 1  # three voxels bleed, two are decoded
    said = decoded - reconstruction_error(image, decoded)
    assert said[0, 1, 0].tolist() == [-2.0, -0.5, 0.5, 1.5, 3.0], "the threshold was -1, halfway between the voxels"
    assert said[0, 2, 0].max() <= 0, "no blood at baseline: no threshold, and what was decoded wrongly is corrected"


@pytest.mark.parametrize("gamma", [None, 1.0, 5.0])
def test_loss_is_the_weighted_error_of_the_clean_estimate(gamma):
    model = diffusion(amount=0.3)
    model.gamma = gamma
    generator = torch.Generator().manual_seed(0)
    context, followup, noise = (torch.randn(4, n, 4, 4, generator=generator) for n in (9, 3, 3))
    t, flag = torch.tensor([5, 300, 700, 999]), torch.tensor([1, 1, 0, 1])
    loss = model.loss(context, followup, t, noise, torch.zeros(4, 7), flag, torch.zeros(4, dtype=torch.bool))
    change = followup - context[:, 3:6]
    for index in range(4):
        error = (change[index] - 0.3 * flag[index]).square().mean().item()  # the network always says 0.3 for flag 1
        weight = 1.0 if gamma is None else min(model.schedule.snr(t[index]).item(), gamma)
        assert loss[index].item() == pytest.approx(weight * error, rel=2e-3)


def test_errors_near_the_bleed_count_more():
    model = diffusion(amount=0.3)
    model.lesion_weight, model.lesion_margin, model.gamma = 4.0, 1, None
    generator = torch.Generator().manual_seed(0)
    context, followup, noise = (torch.randn(1, n, 6, 6, generator=generator) for n in (9, 3, 3))
    iph = torch.zeros(1, 12, 12, dtype=torch.bool)
    iph[0, 5, 2] = True  # pixel (2, 1) of the latent, near are rows 1 to 3 and columns 0 to 2
    rest = torch.tensor([600]), noise, torch.zeros(1, 7), torch.ones(1).long(), torch.zeros(1).bool()
    error = (followup - context[:, 3:6] - 0.3).square()[0].mean(0)
    weight = torch.ones(6, 6)
    weight[1:4, 0:3] = 5
    expected = (error * weight).sum() / weight.sum()
    assert model.loss(context, followup, *rest, iph).item() == pytest.approx(expected.item(), rel=1e-3)
    assert model.loss(context, followup, *rest).item() == pytest.approx(error.mean().item(), rel=1e-3)


class Spread(Half):
    """As `Half`, with latents that have a spread; decoded a little too bright."""

    def encode(self, image):
        mean, sigma = super().encode(image)
        return mean, 0.1 * sigma

    def decode(self, z):
        return super().decode(z) + 0.05


def still(**options):
    schedule = sigmoid_schedule()
    return FollowupDiffusion(Spread(), Still(schedule), schedule, **options)


def test_a_latent_is_the_mean_or_drawn_from_its_distribution():
    image, repeat = torch.rand(4, 3, 64, 64), lambda: torch.Generator().manual_seed(3)
    mean, drawn = still().encode(image), still(sample_latents=True).encode(image, repeat())
    torch.testing.assert_close(mean, image[..., ::2, ::2] / 2)
    torch.testing.assert_close((drawn - mean).std(), torch.tensor(0.1), atol=0.003, rtol=0)
    assert torch.equal(still(sample_latents=True).encode(image, repeat()), drawn)
    assert not torch.equal(still(sample_latents=True).encode(image), drawn)


def test_without_correction_a_forecast_is_what_is_decoded(patient):
    flags, before = torch.zeros(1, dtype=torch.long), patient["image"][patient["slices"]]
    plain, corrected = (forecast(still(correct_baseline=choice), patient, flags) for choice in (False, True))
    decoded = Spread().decode(Spread().encode(before)[0])
    torch.testing.assert_close(plain.ct[0], decoded[:, 0].clamp(0, 1), atol=1e-4, rtol=0)
    torch.testing.assert_close(plain.iph[0], decoded[:, 1].sigmoid(), atol=1e-4, rtol=0)
    torch.testing.assert_close(corrected.ct[0], before[:, 0], atol=1e-4, rtol=0)
