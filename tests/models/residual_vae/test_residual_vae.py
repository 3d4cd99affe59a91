"""The residual autoencoder, its loss and the scores of its latent."""

import numpy as np
import pytest
import torch

from medzoo.evaluation.regression.image_score import fit_score, image_scores
from medzoo.models import ImageVAELoss, ResidualVAE
from medzoo.models.residual_vae import ImageScore


@pytest.mark.parametrize(("size", "channels"), [((29, 35), 1), ((28, 28), 1), ((32, 32), 5)])
def test_any_size_comes_back_and_every_weight_learns(size, channels):
    net = ResidualVAE(image_size=size, in_channels=channels, channels=(8, 16, 16), num_res_blocks=2, latent_features=8)
    image = torch.rand(2, channels, *size)
    logits, mean, sigma = net(image)
    assert logits.shape == image.shape
    assert mean.shape == sigma.shape == (2, 8)
    assert (sigma > 0).all()
    ImageVAELoss()(logits, image.round(), mean, sigma, 2000)["loss"].backward()
    assert not [name for name, weight in net.named_parameters() if weight.grad is None]


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match="levels"):
        ResidualVAE(image_size=(8, 8), channels=(8,) * 5)
    with pytest.raises(ValueError, match="groups=8"):
        ResidualVAE(image_size=(32, 32), channels=(12,))
    with pytest.raises(ValueError, match="this network takes"):
        ResidualVAE(image_size=(32, 32), channels=(8,)).encode(torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match="none may be negative"):
        ImageVAELoss(beta=-1.0)


def test_the_loss_is_the_sum_that_it_says_and_warms_up():
    torch.manual_seed(0)
    logits, image = torch.randn(3, 2, 4, 6), torch.rand(3, 2, 4, 6).round()
    mean, sigma = torch.randn(3, 5), torch.rand(3, 5) + 0.1
    loss = ImageVAELoss(beta=0.5, warmup_steps=10, mask_weight=0.2)
    error = (logits[:, 0].sigmoid() - image[:, 0]).square().mean()
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(mean, sigma), normal(0.0, 1.0)).sum(1).mean()
    mask = torch.nn.functional.softplus(torch.where(image[:, 1] == 1, -logits[:, 1], logits[:, 1])).mean()
    for step, share in ((0, 0.0), (4, 0.4), (99, 1.0)):
        terms = loss(logits, image, mean, sigma, step)
        assert terms["loss"] == pytest.approx(float(error + share * 0.5 * kl / 24 + 0.2 * mask), rel=1e-5)


@pytest.mark.parametrize("kind", ["probe", "mahalanobis", "reconstruction"])
def test_the_module_scores_as_the_evaluation_does(kind):
    rng = np.random.default_rng(0)
    latent, error = rng.normal(size=(40, 4)), rng.uniform(size=40)
    positive, case = np.arange(40) % 4 == 0, np.array([f"c{k // 2}" for k in range(40)])
    positive = np.repeat(positive[::2], 2)
    numbers = fit_score(kind, latent, positive, case)
    score = ImageScore(kind, 4)
    score.take(**numbers)
    said = score(torch.from_numpy(latent).float(), torch.from_numpy(error).float())
    assert said.numpy() == pytest.approx(image_scores(kind, numbers, latent, error), rel=1e-4, abs=1e-5)
