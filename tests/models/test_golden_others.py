"""U-KAN, MISA and its losses give what the published code gives."""

import torch

from medzoo.models import DiffusionUKAN, MISAFusion
from medzoo.models.diffusion.kan import KANLinear, cubic_splines
from medzoo.models.losses.subspaces import central_moment_discrepancy, subspace_difference
from tests.models.golden import check, fill, numbers

UKAN = """time head down.0 down.1 shrink.0 down.2 down.3 shrink.1 down.4 down.5 shrink down
    up.0 up.1 up.2 grow.0 up.3 up.4 up.5 grow.1 up.6 up.7 up.8 grow up tail middle.embed1 middle.embed2
    middle.kan1.after middle.kan2.after middle.kan3.after middle.kan1.before middle.kan1.time middle.kan1
    middle.kan2.before middle.kan2.time middle.kan2 middle.kan3.before middle.kan3.time middle.kan3 middle"""


def test_a_kan_layer_is_the_published_one(float64):
    x, net = numbers("wide", 0, 40, 7), fill(KANLinear(7, 5), "base_weight spline_weight spline_scale")
    check("ukan_kanlinear", {"output": net(x), "splines": cubic_splines(x, 5)}, 1e-8)


def test_the_denoiser_of_ukan_is_the_published_one(float64):
    net = fill(DiffusionUKAN(3), UKAN)
    with torch.no_grad():
        check("ukan_denoiser", {"noise": net(numbers("input", 0, 2, 3, 32, 32), torch.tensor([3, 870]))}, 1e-5)


def test_misa_is_the_published_one(float64):
    net = MISAFusion(modalities=["t", "v", "a"], dim=16, num_classes=2, hidden=32, difference=1.0)
    fill(net, "project private shared rebuild head transformer")
    tokens = numbers("input", 0, 12, 3, 16)
    with torch.no_grad():
        fused = net(tokens, None, torch.ones(12, 3, dtype=torch.bool))
    check("misa_fusion", {"output": fused.output, **fused.terms}, 1e-8)


def test_losses_of_misa_are_the_published_ones(float64):
    said, b = {}, numbers("share", 20002, 20, 16)
    for loss in (central_moment_discrepancy, subspace_difference):
        a = numbers("share", 20001, 20, 16).requires_grad_()
        said[loss.__name__] = loss(a, b)
        said[f"{loss.__name__} gradient"] = torch.autograd.grad(said[loss.__name__], a)[0]
    check("misa_losses", said, 1e-6)
