import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from medzoo.models.diffusion import DiffusionUKAN, KANLinear
from medzoo.models.diffusion.kan import cubic_splines


@pytest.mark.parametrize("grid", [3, 5, 8])
def test_splines_are_those_of_scipy(grid):
    x = torch.linspace(-3, 3, 601)
    step = 2 / grid
    knots = -1 + step * np.arange(-3, grid + 4)
    for k in range(grid + 3):
        expected = BSpline(knots, np.eye(grid + 3)[k], 3, extrapolate=False)(x.numpy())
        # scipy's base interval ends where ours goes on; a spline by itself has its own four intervals
        alone = BSpline.basis_element(knots[k : k + 5], extrapolate=False)(x.numpy())
        said = cubic_splines(x, grid)[:, k].numpy()
        assert np.allclose(said, np.nan_to_num(alone), atol=1e-6)
        inside = ~np.isnan(expected)
        assert np.allclose(said[inside], expected[inside], atol=1e-6)
    inside = x.abs() <= 1
    assert torch.allclose(cubic_splines(x, grid)[inside].sum(-1), torch.ones(int(inside.sum())), atol=1e-5)


def test_a_layer_is_the_sum_of_its_functions():
    torch.manual_seed(0)
    layer, x = KANLinear(3, 2), torch.randn(4, 5, 3)
    said = layer(x)
    for out in range(2):
        expected = torch.zeros(4, 5)
        for i in range(3):
            weights = layer.spline_weight[out, i] * layer.spline_scale[out, i]
            expected += layer.base_weight[out, i] * x[..., i] * x[..., i].sigmoid()
            expected += (cubic_splines(x[..., i], 5) * weights).sum(-1)
        assert torch.allclose(said[..., out], expected, atol=1e-6)
    assert sum(p.numel() for p in KANLinear(7, 11).parameters()) == 10 * 7 * 11


def test_splines_stay_exact_under_autocast():
    layer, x = KANLinear(16, 16), torch.linspace(-0.999, 0.999, 16)[None]
    with torch.autocast("cpu", torch.bfloat16):
        said = layer(x)
    assert (said.float() - layer(x)).abs().max() < 0.02


def test_ukan_has_the_size_of_the_original():
    net = DiffusionUKAN(3)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(26.8, abs=0.05)
    assert sum(p.numel() for p in net.middle.parameters()) / 1e6 == pytest.approx(9.5, abs=0.05)


def test_ukan_depends_on_image_and_time_and_all_of_it_learns():
    torch.manual_seed(0)
    net = DiffusionUKAN(1, 8, (1, 2), (16, 24), norm_num_groups=4, dropout=0.0)
    for name, parameter in net.named_parameters():
        if "second" in name or "tail" in name:
            torch.nn.init.normal_(parameter, std=0.1)  # they start at almost nothing
    x, t = torch.randn(2, 1, 16, 24), torch.tensor([3, 700])
    said = net(x, t)
    assert said.shape == x.shape
    assert not torch.allclose(said, net(x, t.flip(0)), atol=1e-4)
    said.square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or p.grad.abs().sum() == 0] == []
    with pytest.raises(ValueError, match=r"\(12, 16\) do not fit: sides must be multiples of 8"):
        net(torch.randn(1, 1, 12, 16), t[:1])
