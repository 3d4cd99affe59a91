import math

import pytest
import torch

from medzoo.models import CLUB, DensityRatio
from medzoo.models.losses import gaussian_error, kl_to_normal

DIMS = 2


def pairs(rho, count, seed):
    """Correlated Gaussians, whose mutual information is -1/2 log(1 - rho²) in each dimension."""
    generator = torch.Generator().manual_seed(seed)
    first, noise = torch.randn(2, count, DIMS, generator=generator)
    return first, rho * first + math.sqrt(1 - rho**2) * noise


def truth(rho):
    return -0.5 * DIMS * math.log(1 - rho**2)


def learn(estimator, rho, steps=1500):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(estimator.parameters(), lr=2e-3)
    for step in range(steps):
        optimizer.zero_grad()
        estimator.loss(*pairs(rho, 512, step)).backward()
        optimizer.step()
    return estimator


@pytest.mark.parametrize("kind", [DensityRatio, CLUB])
@pytest.mark.parametrize("rho", [0.5, 0.8])
def test_estimators_find_the_information_of_correlated_gaussians(kind, rho):
    torch.manual_seed(1)
    estimator = learn(kind(first_features=DIMS, second_features=DIMS, hidden=64), rho)
    said = estimator.estimate(*pairs(rho, 20_000, 10**6)).item()
    # Where the forecast is right CLUB is above the truth by as much again as its pairs are unlike (its section 3.1).
    true = DIMS * rho**2 / (1 - rho**2) if kind is CLUB else truth(rho)
    assert said == pytest.approx(true, rel=0.15)
    assert said > 0.85 * truth(rho)
    nothing = estimator.estimate(pairs(0, 20_000, 7)[0], pairs(0, 20_000, 8)[0]).item()
    assert nothing < 0.1 * truth(rho)


def test_without_a_common_cause_there_is_nothing_to_find():
    torch.manual_seed(1)
    estimator = learn(DensityRatio(first_features=DIMS, second_features=DIMS), 0.0, steps=600)
    assert abs(estimator.estimate(*pairs(0.0, 20_000, 10**6)).item()) < 0.02


def test_penalty_is_cut_at_zero_and_reaches_the_second_part_alone():
    torch.manual_seed(0)
    estimator = DensityRatio(first_features=2, second_features=2)
    first, second = torch.randn(64, 2), torch.randn(64, 2, requires_grad=True)
    logits = estimator.logits(first, second)
    assert estimator(first, second).item() == pytest.approx(sum(max(x, 0) for x in logits.tolist()) / 64, rel=1e-5)
    estimator.cut = False
    assert estimator(first, second).item() == pytest.approx(sum(logits.tolist()) / 64, rel=1e-4, abs=1e-6)
    estimator.cut = True
    estimator(first, second).backward()
    low = logits < 0
    assert (second.grad[low] == 0).all(), "no gradient through a ratio below 1"
    assert low.any()


def test_pairs_of_two_images_are_never_of_one():
    estimator = DensityRatio(first_features=1, second_features=1)
    seen = []
    estimator.logits = lambda first, second: seen.append((first, second)) or first[:, 0]
    values = torch.arange(3.0)[:, None]
    for _ in range(20):
        estimator.loss(values, values)
    assert all((first != second).all() for first, second in seen[1::2])


@pytest.mark.parametrize(("hidden", "width"), [(7, 7), (None, 5)])
def test_a_discriminator_is_as_wide_as_told_or_as_both_parts(hidden, width):
    estimator = DensityRatio(first_features=2, second_features=3, hidden=hidden, layers=2)
    assert [layer.weight.shape for layer in estimator.net[::2]] == [(width, 5), (width, width), (1, width)]


def test_one_image_has_no_other_to_be_told_from():
    estimator = DensityRatio(first_features=1, second_features=1)
    assert estimator.loss(torch.ones(1, 1), torch.ones(1, 1)).item() == 0


def test_club_is_its_double_sum_over_pairs():
    torch.manual_seed(0)
    estimator = CLUB(first_features=3, second_features=2)
    first, second = torch.randn(6, 3), torch.randn(6, 2)
    mean, log_variance = estimator._forecast(first)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    true = normal.log_prob(second).sum(1).mean()
    crossed = torch.stack([normal.log_prob(other.expand(6, 2)).sum(1) for other in second]).mean()
    assert estimator(first, second).item() == pytest.approx((true - crossed).item(), rel=1e-4)


@pytest.mark.parametrize("prior", [1.0, 0.025])
def test_kl_is_that_of_torch(prior):
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    ours = torch.distributions.Normal(mean, (log_variance / 2).exp())
    other = torch.distributions.Normal(torch.zeros(3), torch.full((3,), prior**0.5))
    expected = torch.distributions.kl_divergence(ours, other).sum(1)
    assert torch.allclose(kl_to_normal(mean, log_variance, prior), expected, rtol=1e-4)


def test_kl_of_maps_by_their_spread_is_that_of_torch():
    mean, sigma = torch.randn(3, 4, 2, 2), torch.rand(3, 4, 2, 2) + 0.1
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mean, sigma), normal(0.0, 1.0)).sum((1, 2, 3))
    torch.testing.assert_close(kl_to_normal(mean, 2 * sigma.log(), variance=sigma.square()), expected)


def test_error_is_the_likelihood_of_torch_and_counts_the_mask_alone():
    said, image, mask = torch.rand(4, 1, 5, 6), torch.rand(4, 1, 5, 6), torch.rand(4, 1, 5, 6) > 0.5
    normal = torch.distributions.Normal(said, 0.3)
    expected = -(normal.log_prob(image) - normal.log_prob(said)).flatten(1).sum(1)
    assert torch.allclose(gaussian_error(said, image, 0.3), expected, rtol=1e-4)
    slow = [sum(((said - image)[k][mask[k]] ** 2).tolist()) / (2 * 0.3**2) for k in range(4)]
    assert gaussian_error(said, image, 0.3, mask).tolist() == pytest.approx(slow, rel=1e-4)
    assert gaussian_error(said, image, 0.3, torch.zeros_like(mask)).tolist() == [0, 0, 0, 0]
