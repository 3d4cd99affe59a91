"""The multi-head autoencoder and its losses."""

import math

import pytest
import torch
import torch.nn.functional as F

from medzoo.models.autoencoder import MultiHeadAutoencoderKL
from medzoo.models.losses import autoencoder as losses
from medzoo.models.losses.autoencoder import (
    HemorrhageAutoencoderLoss,
    PatchAdversarialTerm,
    PerceptualTerm,
)


def small(**options):
    torch.manual_seed(0)
    return MultiHeadAutoencoderKL(
        channels=(8, 16, 16), num_res_blocks=1, norm_num_groups=4, decoder_features=12, **options
    )


def triple(size=16):
    image = torch.rand(2, 3, size, size)
    image[:, 1:] = (image[:, 1:] > 0.7).float()
    return image


@pytest.mark.parametrize("middle_attention", [False, True])
def test_shapes_and_gradients(middle_attention):
    net, image = small(middle_attention=middle_attention), torch.rand(2, 3, 16, 24)
    reconstruction, mean, sigma = net(image)
    assert net.downsampling == 4
    assert net.latent_channels == 4
    assert reconstruction.shape == image.shape
    assert mean.shape == sigma.shape == (2, 4, 4, 6)
    assert (sigma > 0).all()
    (reconstruction.square().sum() + sigma.sum()).backward()
    assert not [name for name, weight in net.named_parameters() if weight.grad is None]


def test_paper_size():
    with torch.device("meta"):
        net = MultiHeadAutoencoderKL()
        assert net.encode(torch.zeros(1, 3, 384, 384))[0].shape == (1, 4, 96, 96)
        assert net.decode(torch.zeros(1, 4, 96, 96)).shape == (1, 3, 384, 384)
        assert sum(weight.numel() for weight in net.parameters()) == 7_193_923
        attentive = MultiHeadAutoencoderKL(middle_attention=True)
        assert sum(weight.numel() for weight in attentive.parameters()) == 12_446_019


def test_folded_heads_equal_features_followed_by_heads():
    net = small().double()
    folded, x = net.backbone.decoder.blocks[-1], torch.randn(2, 8, 5, 7, dtype=torch.float64)
    plain = folded.heads(folded.features(x))
    torch.testing.assert_close(folded(x), plain)
    weights = list(folded.parameters())
    for ours, theirs in zip(
        torch.autograd.grad(folded(x).square().sum(), weights),
        torch.autograd.grad(plain.square().sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_samples_follow_mean_and_sigma():
    net = small()
    mean, sigma = torch.full((100_000,), 2.0), torch.full((100_000,), 0.5)
    drawn = net.sample(mean, sigma)
    assert drawn.mean().item() == pytest.approx(2.0, abs=0.01)
    assert drawn.std().item() == pytest.approx(0.5, rel=0.02)


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"size \(16, 18\) does not fit: H and W must be multiples of 4"):
        small().encode(torch.rand(1, 3, 16, 18))
    with pytest.raises(ValueError, match="norm_num_groups=5 does not divide"):
        MultiHeadAutoencoderKL(channels=(8, 16), norm_num_groups=5)


def slow_mask_loss(logits, mask):
    """Dice over the batch and mean cross entropy, pixel by pixel."""
    p = [1 / (1 + math.exp(-value)) for value in logits.flatten().tolist()]
    truth = mask.flatten().tolist()
    overlap = sum(a * b for a, b in zip(p, truth, strict=True))
    entropy = [-math.log(a if b else 1 - a) for a, b in zip(p, truth, strict=True)]
    return 1 - (2 * overlap + 1) / (sum(p) + sum(truth) + 1) + sum(entropy) / len(entropy)


def test_loss_equals_a_slow_loop():
    target, reconstruction = triple(), torch.randn(2, 3, 16, 16)
    mean, sigma = torch.randn(2, 4, 4, 4), torch.rand(2, 4, 4, 4) + 0.5
    terms = HemorrhageAutoencoderLoss(kl_weight=1e-3)(reconstruction, target, mean, sigma)
    pairs = zip(reconstruction[:, 0].flatten().tolist(), target[:, 0].flatten().tolist(), strict=True)
    squares = [(a - b) ** 2 for a, b in pairs]
    slow = {
        "ct": sum(squares) / len(squares),
        "iph": slow_mask_loss(reconstruction[:, 1], target[:, 1]),
        "ivh": slow_mask_loss(reconstruction[:, 2], target[:, 2]),
        "kl": (0.5 * (mean**2 + sigma**2 - 1 - (sigma**2).log())).sum().item() / 2,
    }
    slow["loss"] = slow["ct"] + 0.002 * (slow["iph"] + 2 * slow["ivh"]) + 1e-3 * slow["kl"]
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(slow, rel=1e-4)


def test_an_empty_mask_costs_less_the_less_is_predicted_and_nothing_in_the_end():
    criterion, empty = HemorrhageAutoencoderLoss(), torch.zeros(1, 3, 16, 16)
    latent = torch.zeros(1, 4, 4, 4), torch.ones(1, 4, 4, 4)
    costs = [criterion(torch.full_like(empty, logit), empty, *latent)["iph"].item() for logit in (0, -4, -8, -30)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == pytest.approx(0, abs=1e-5)


def test_loss_is_computed_in_float32():
    image, latent = triple(), torch.rand(2, 4, 4, 4) + 0.5
    half = HemorrhageAutoencoderLoss()(image.bfloat16(), image, latent.bfloat16(), latent.bfloat16())
    assert all(term.dtype == torch.float32 for term in half.values())


class Constant(torch.nn.Module):
    """Stands in for LPIPS, whose weights must be fetched."""

    def __init__(self, **_):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, x, y):
        assert x.shape == y.shape == (2, 3, 16, 16)
        assert y.min() >= -1
        assert y.min() < -0.9  # images reach LPIPS scaled to [-1, 1]
        return self.weight * F.mse_loss(x, y)


def test_the_perceptual_term_joins_in_after_its_warm_up(monkeypatch):
    monkeypatch.setattr(losses, "PerceptualLoss", Constant)
    criterion = HemorrhageAutoencoderLoss(perceptual=PerceptualTerm(weight=0.5, start_step=10))
    assert not list(criterion.parameters())
    assert not criterion.state_dict()
    image, latent = triple(), (torch.zeros(2, 4, 4, 4), torch.ones(2, 4, 4, 4))
    reconstruction = torch.randn(2, 3, 16, 16, requires_grad=True)
    before, after = (criterion(reconstruction, image, *latent, step) for step in (9, 10))
    assert "perceptual" not in before
    distance = 4 * (reconstruction[:, 0] - image[:, 0]).square().mean()  # the scaling to [-1, 1] doubles differences
    torch.testing.assert_close(after["perceptual"], distance)
    torch.testing.assert_close(after["loss"] - before["loss"], 0.5 * distance)
    after["perceptual"].backward()
    assert reconstruction.grad[:, 0].abs().sum() > 0


def test_a_missing_perceptual_network_is_told_in_one_line(monkeypatch):
    def refuse(**_):
        raise OSError("no route\nto host")

    monkeypatch.setattr(losses, "PerceptualLoss", refuse)
    with pytest.raises(ValueError, match=r"no perceptual loss: pip install lpips .* \(no route to host\)$"):
        PerceptualTerm()


def test_adversarial_losses_equal_least_squares():
    term = PatchAdversarialTerm(channels=4, num_layers=2, weight=0.5, start_step=3).eval()
    real, fake = torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32, requires_grad=True)
    score_fake, score_real = (term.discriminator(image)[-1] for image in (fake, real))
    generator = term.generator_loss(fake, 3)
    torch.testing.assert_close(generator, 0.5 * ((score_fake - 1) ** 2).mean())
    discriminator = term.discriminator_loss(fake, real, 3)
    torch.testing.assert_close(discriminator, 0.25 * ((score_fake**2).mean() + ((score_real - 1) ** 2).mean()))
    generator.backward()
    assert fake.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in term.parameters())
    fake.grad = None
    discriminator.backward()
    assert fake.grad is None
    assert all(weight.grad is not None for weight in term.parameters())


def test_adversarial_losses_are_zero_before_their_start():
    term = PatchAdversarialTerm(channels=4, num_layers=2, start_step=3)
    real, fake = torch.rand(2, 2, 1, 32, 32)
    assert term.generator_loss(fake, 2) == 0
    loss = term.discriminator_loss(fake, real, 2)
    loss.backward()
    assert loss == 0
    assert all(weight.grad.abs().sum() == 0 for weight in term.parameters())
