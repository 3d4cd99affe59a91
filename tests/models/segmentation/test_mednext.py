import pytest
import torch
from monai.networks.nets.mednext import create_mednext

from medzoo.models.segmentation.mednext import MedNeXt

PUBLISHED = {"S": 5.6, "B": 10.5, "M": 17.6, "L": 61.8}  # million parameters, kernel 3 (arXiv:2303.09975, table 2)


@pytest.mark.parametrize("variant", PUBLISHED)
def test_it_has_the_published_size(variant):
    with torch.device("meta"):
        net = MedNeXt(3, 1, 14, variant=variant, deep_supervision=False)
    assert sum(weight.numel() for weight in net.parameters()) / 1e6 == pytest.approx(PUBLISHED[variant], rel=0.05)


def test_it_is_monais_where_nothing_is_padded():
    torch.manual_seed(0)
    image, net, other = torch.rand(2, 1, 32, 16, 16), MedNeXt(3, 1, 2), create_mednext("S", 3, 1, 2, 3, True)
    other.load_state_dict(net.net.state_dict())
    for ours, theirs in zip(net(image), other(image), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_other_sizes_fit_and_heads_halve():
    net = MedNeXt(3, 1, 3)
    shapes = [tuple(each.shape[2:]) for each in net(torch.rand(1, 1, 9, 20, 33))]
    assert shapes == [(9, 20, 33), (5, 10, 17), (3, 5, 9), (2, 3, 5), (1, 2, 3)]
    assert [tuple(each.shape) for each in net.eval()(torch.rand(1, 1, 9, 20, 33))] == [(1, 3, 9, 20, 33)]
