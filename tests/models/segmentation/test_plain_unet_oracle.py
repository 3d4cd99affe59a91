"""`PlainUNet` beside the network of nnU-Net's authors, with the same weights."""

import re

import pytest
import torch
from torch import nn

from medzoo.models import PlainUNet

unet = pytest.importorskip("dynamic_network_architectures.architectures.unet")

PLANS = {
    "2d": (2, [4, 8, 8], [(1, 1), (2, 2), (2, 1)], [(3, 3), (3, 3), (3, 3)]),
    "3d": (3, [4, 6, 8], [(1, 1, 1), (1, 2, 2), (2, 2, 2)], [(1, 3, 3), (3, 3, 3), (3, 3, 3)]),
}


def theirs(plan, *, deep_supervision):
    dims, features, strides, kernels = plan
    conv, norm = {2: (nn.Conv2d, nn.InstanceNorm2d), 3: (nn.Conv3d, nn.InstanceNorm3d)}[dims]
    return unet.PlainConvUNet(
        input_channels=2,
        n_stages=len(features),
        features_per_stage=features,
        conv_op=conv,
        kernel_sizes=kernels,
        strides=strides,
        n_conv_per_stage=2,
        num_classes=3,
        n_conv_per_stage_decoder=2,
        conv_bias=True,
        norm_op=norm,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=deep_supervision,
    )


def our_name(name, last):
    """Ours of one of their weights; none for the second name that they give to the same weight."""
    if found := re.fullmatch(r"(en|de)coder\.stages\.(\d+)\.(?:0\.)?convs\.(\d)\.all_modules\.(\d)\.(\w+)", name):
        side, stage, conv, part, kind = found.groups()
        level = int(stage) if side == "en" else last - int(stage)  # their decoder counts from the lowest stage up
        return f"{side}coder.{level}.{3 * int(conv) + int(part)}.{kind}"
    if found := re.fullmatch(r"decoder\.(transpconvs|seg_layers)\.(\d+)\.(\w+)", name):
        return f"{'up' if found[1] == 'transpconvs' else 'heads'}.{last - int(found[2])}.{found[3]}"
    return None


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("deep_supervision", [True, False])
def test_the_unet_is_that_of_nnunet(plan, deep_supervision):
    torch.manual_seed(0)
    dims, features, strides, kernels = plan
    oracle = theirs(plan, deep_supervision=deep_supervision)
    net = PlainUNet(dims, 2, 3, features, strides, kernels, deep_supervision=deep_supervision)
    for weight in oracle.parameters():
        nn.init.normal_(weight, std=0.3)
    named = {our_name(name, len(features) - 2): weight for name, weight in oracle.state_dict().items()}
    state = {name: weight for name, weight in named.items() if name in net.state_dict()}
    net.load_state_dict(state)  # strict: the same weights of the same shapes
    image = torch.randn(2, 2, *(16,) * dims)
    expected = oracle(image)
    found = net(image)
    assert len(found) == (len(features) - 1 if deep_supervision else 1)
    for ours, other in zip(found, expected if deep_supervision else [expected], strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-4)
