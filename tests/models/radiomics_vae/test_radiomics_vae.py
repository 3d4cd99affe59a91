import pytest
import torch

from medzoo.models import RadiomicsVAE, SalientVAE

PAPER = {
    "channels": [2, 4, 8, 16, 32, 64],
    "strides": [1, [1, 2, 2], 2, 2, 2, 2],
    "kernels": [[1, 3, 3], 3, 3, 3, 3, 3],
}


def test_the_published_number_of_parameters_at_the_published_size():
    net = RadiomicsVAE(spatial_dims=3, in_channels=1, image_size=[64, 128, 192], output="sigmoid", **PAPER)
    assert sum(weight.numel() for weight in net.parameters()) == 1_110_240  # arXiv:2308.11389, figure 5


@pytest.mark.parametrize("size", [[28, 28], [29, 35], [13, 8], [27, 29, 33], [28, 28, 28]])
@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_any_size_comes_back_and_every_weight_learns(size, norm):
    shape = {"spatial_dims": len(size), "image_size": size, "channels": [2, 4, 8], "strides": [1, 2, 2]}
    net = RadiomicsVAE(in_channels=2, latent_features=3, condition_features=5, kernels=[3, 3, 3], norm=norm, **shape)
    mean, log_variance = net.encode(torch.randn(2, 2, *size))
    said = net.decode(torch.randn(2, 5), mean + log_variance.exp())
    assert said.shape == (2, 2, *size)
    said.square().sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_two_encoders_share_no_weight():
    net = SalientVAE(spatial_dims=2, in_channels=1, image_size=[16, 16], common_features=3, salient_features=2)
    image = torch.randn(2, 1, 16, 16)
    common, salient = net.common(image)[0], net.salient(image)[0]
    assert (common.shape, salient.shape) == ((2, 3), (2, 2))
    assert net.decode(common, salient).shape == image.shape
    assert not set(net.common.parameters()) & set(net.salient.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": [8]}, "does not have"),
        ({"image_size": [4, 4], "strides": [1, 2, 2, 2]}, "one pixel"),
        ({"strides": [2, 2, 2, 2]}, "full size"),
        ({"channels": [4, 8]}, "give equally many"),
        ({"kernels": [[3, 3, 3], 3, 3, 3]}, "each of 2 axes"),
    ],
)
def test_sizes_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        RadiomicsVAE(**{"spatial_dims": 2, "in_channels": 1, "image_size": [28, 28], **change})
