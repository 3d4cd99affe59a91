import copy
import itertools
import math

import pytest
import torch

from medzoo.models.segmentation import UNETRPP, GenesisUNet, NNFormer, PlainUNet, UMamba, upstream_state
from medzoo.models.segmentation.padding import crop_logits, pad_to_multiple
from medzoo.models.segmentation.unetrpp import EfficientPairedAttention
from medzoo.models.segmentation.windows import WindowAttention, _merge, _partition

HEAD_CT = {  # the plan of head CT at 5 x 0.5 x 0.5 mm, patch 16 x 320 x 320
    "features": [32, 64, 128, 256, 320, 320, 320],
    "strides": [(1, 1, 1), *[(1, 2, 2)] * 3, *[(2, 2, 2)] * 2, (1, 2, 2)],
    "kernels": [*[(1, 3, 3)] * 3, *[(3, 3, 3)] * 4],
}


def small(name, axes=3, **options):
    torch.manual_seed(0)
    stages = {"features": [4, 8, 8], "strides": [(1,) * axes, (2,) * axes, (2,) * axes], "kernels": [(3,) * axes] * 3}
    tokens = {"features": (8, 8, 8, 8), "projections": (4, 4, 4, 4), "heads": 2, "depth": 1}
    windows = {"dim": 8, "heads": (1, 2, 2, 2), "windows": [(4,) * axes] * 4, "patch_size": (2,) * axes}
    return {
        "umamba": lambda: UMamba(axes, 1, 2, **stages, **options),
        "plain": lambda: PlainUNet(axes, 1, 2, **stages, **options),
        "nnformer": lambda: NNFormer(axes, 1, 2, **windows, **options),
        "unetrpp": lambda: UNETRPP(axes, 1, 2, image_size=(16,) * axes, patch_size=(2,) * axes, **tokens, **options),
    }[name]()


NETS = ("umamba", "plain", "nnformer", "unetrpp")


def millions(module):
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("size", [(16, 32), (23, 30), (16, 16, 32), (7, 19, 22)])
def test_any_size_fits_and_heads_come_at_their_own_resolution(name, size):
    net = small(name, len(size)).eval()
    logits = net(torch.randn(1, 1, *size))
    assert logits[0].shape == (1, 2, *size)
    assert len(logits) == {"umamba": 2, "plain": 2}.get(name, 3)
    for level, each in enumerate(logits[1:], start=1):
        ratios = [whole / side for whole, side in zip(size, each.shape[2:], strict=True)]
        assert all(0.75 * 2**level <= ratio <= 2**level for ratio in ratios), "rounded up"
    assert len(small(name, len(size), deep_supervision=False).eval()(torch.randn(1, 1, *size))) == 1


def test_images_are_padded_at_the_end_and_logits_cut_to_their_share():
    x = torch.arange(1.0, 36).view(1, 1, 5, 7)
    padded = pad_to_multiple(x, (4, 2))
    assert padded.shape == (1, 1, 8, 8)
    assert torch.equal(padded[..., :5, :7], x)
    assert padded.sum() == x.sum()
    assert pad_to_multiple(x, (5, 7)) is x
    full, half, odd = crop_logits([torch.rand(1, 2, 8, 8), torch.rand(1, 2, 4, 4), torch.rand(1, 2, 3, 2)], (5, 7))
    assert [each.shape[2:] for each in (full, half, odd)] == [(5, 7), (3, 4), (2, 2)], "rounded up"
    logits = torch.rand(1, 2, 4, 4)
    assert torch.equal(crop_logits([torch.rand(1, 2, 8, 8), logits], (5, 7))[1], logits[..., :3, :4])


@pytest.mark.parametrize("slices", [1, 2, 3, 5, 7])
def test_nnformer_takes_any_number_of_slices_that_its_patch_keeps(slices):
    net = NNFormer(3, 1, 2, dim=8, heads=(1, 2, 2, 2), windows=[(2, 2, 2)] * 4, patch_size=(1, 2, 2)).eval()
    assert net(torch.randn(1, 1, slices, 16, 16))[0].shape == (1, 2, slices, 16, 16)


@pytest.mark.parametrize("name", NETS)
def test_every_parameter_learns_and_a_trained_network_can_be_copied(name):
    net = small(name)
    torch.stack([each.square().mean() for each in net(torch.randn(2, 1, 16, 16, 32))]).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []
    copied, x = copy.deepcopy(net.eval()), torch.randn(1, 1, 16, 16, 32)
    assert torch.equal(copied(x)[0], net(x)[0])


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_finite_and_near(name, dtype):
    net, x = small(name).eval(), torch.randn(1, 1, 16, 16, 32)
    with torch.no_grad():
        exact = net(x)[0]
        with torch.autocast("cpu", dtype):
            near = net(x)[0]
    assert torch.isfinite(near).all()
    assert (near.float() - exact).abs().max() <= 0.05 * exact.abs().max()


def test_unetrpp_has_as_many_parameters_as_published():
    net = UNETRPP(3, 1, 14, image_size=(64, 128, 128), patch_size=(2, 4, 4), convs=1, dropout=0.15)
    assert millions(net) == pytest.approx(42.95, abs=0.005)  # issue 78 of its repository: 42.95 M for Synapse


@pytest.mark.parametrize(("shared", "count"), [(False, 121.2), (True, 88.9)])
def test_unetrpp_for_thick_slices_has_as_many_parameters_as_its_code(shared, count):
    """121.2 M in the code's form for lung; half of the projections are one where keys and values share them."""
    net = UNETRPP(3, 1, 3, image_size=(32, 192, 192), shared=shared)
    assert millions(net) == pytest.approx(count, abs=0.05)


def test_nnformer_for_thick_slices_has_as_many_parameters_as_its_code():
    assert millions(NNFormer(3, 1, 4, deep_supervision=False)) == 37.1602


def test_nnformer_has_nearly_as_many_parameters_as_published():
    windows = [(4, 4, 4), (4, 4, 4), (8, 8, 8), (4, 4, 4)]
    net = NNFormer(3, 1, 14, dim=192, patch_size=(2, 4, 4), heads=(6, 12, 24, 48), windows=windows)
    assert millions(net) == pytest.approx(150.5, rel=0.005)  # table 1 of the UNETR++ paper


def test_plain_unet_has_the_parameters_of_nnunet():
    """Two convolutions with bias and norm a stage, a transposed one and a head for each stage but the lowest."""
    features, volumes = HEAD_CT["features"], [math.prod(kernel) for kernel in HEAD_CT["kernels"]]
    expected = 0
    for before, after, volume in zip([1, *features[:-1]], features, volumes, strict=True):
        expected += volume * (before + after) * after + 6 * after
    for stage, stride in enumerate(HEAD_CT["strides"][1:]):
        here, below = features[stage], features[stage + 1]
        expected += math.prod(stride) * below * here + here + volumes[stage] * 3 * here * here + 6 * here + 2 * here + 2
    assert millions(PlainUNet(3, 1, 2, **HEAD_CT)) == expected / 1e6


def test_mamba_layers_add_what_the_sizes_say():
    """Per layer 9.9k, 32.6k, 116k, 438k and 675k; the last may take 320 channels as tokens of 4 x 5 x 5 pixels."""
    none, bot, enc = (millions(UMamba(3, 1, 2, **HEAD_CT, mamba=kind)) for kind in ("none", "bot", "enc"))
    assert bot - none == pytest.approx(0.675, abs=0.001)
    assert enc - none == pytest.approx(0.0099 + 0.0326 + 0.116 + 0.438 + 3 * 0.675, rel=0.002)
    released = UMamba(3, 1, 2, **HEAD_CT, released_for=(16, 320, 320))
    assert [layer.tokens for layer in released.encoder.mamba_layers] == [None] * 6 + [100]
    assert not any(layer.residual for layer in released.encoder.mamba_layers)


def test_released_umamba_is_locked_to_its_patch():
    net = small("umamba", released_for=(8, 4, 4))
    assert net(torch.randn(1, 1, 8, 4, 4))[0].shape == (1, 2, 8, 4, 4)
    with pytest.raises(ValueError, match=r"channels are tokens here, of 2 pixels.*with released_for=null"):
        net(torch.randn(1, 1, 8, 8, 8))


def test_released_weights_of_umamba_load():
    net = small("umamba", released_for=(8, 4, 4))
    state = net.state_dict()
    upstream = dict(state)
    upstream |= {
        f"decoder.encoder.{k.removeprefix('encoder.')}": v for k, v in state.items() if k.startswith("encoder.")
    }
    upstream |= {k.replace("conv1.conv", "conv1.all_modules.0"): v for k, v in state.items() if "conv1.conv" in k}
    assert len(upstream) > len(state)
    net.load_state_dict(upstream_state(upstream))
    for name in (
        "encoder.stem.0.conv3.weight",
        "encoder.stem.1.conv1.norm.weight",
        "encoder.mamba_layers.0.mamba.A_log",
    ):
        assert name in state
    assert {"decoder.upsample_layers.0.conv.weight", "decoder.seg_layers.1.bias"} <= set(state)


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (4, 4, 4), (3, 5, 6)])
def test_windows_can_be_cut_and_put_together(size):
    x, window, shift = torch.randn(2, *size, 3), [2] * len(size), [1] * len(size)
    parts = _partition(x, window, shift)
    assert parts.shape[2] == 2 ** len(size)
    assert torch.equal(_merge(parts, size, window, shift), x)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", [(5, 7), (4, 3, 6), (2, 4, 4)])
def test_window_attention_is_that_of_each_voxel_to_those_of_its_window(size, shifted):
    torch.manual_seed(0)
    window = (4, 4) if len(size) == 2 else (2, 4, 4)
    layer, (query, source) = WindowAttention(4, 2, window), torch.randn(2, 1, *size, 4)
    said = layer(query, source, shifted)
    window = [min(side, most) for side, most in zip(size, window, strict=True)]
    shift = [side // 2 if shifted and side < whole else 0 for side, whole in zip(window, size, strict=True)]
    voxels = list(itertools.product(*map(range, size)))

    def home(voxel):  # borders lie at shift, shift + window, ...; what lies before the first is a window by itself
        return tuple((at - by) // side for at, by, side in zip(voxel, shift, window, strict=True))

    for voxel in voxels:
        others = [other for other in voxels if home(other) == home(voxel)]
        q = layer.query(query[0][voxel]).view(2, 2)
        attended = []
        for head in range(2):
            scores, values = [], []
            for other in others:
                key, value = layer.key_value(source[0][other]).chunk(2)
                offset = [a - b + most - 1 for a, b, most in zip(voxel, other, layer.window, strict=True)]
                scores.append(q[head] @ key.view(2, 2)[head] / 2**0.5 + layer.bias[(head, *offset)])
                values.append(value.view(2, 2)[head])
            attended.append(torch.stack(scores).softmax(0) @ torch.stack(values))
        assert torch.allclose(layer.project(torch.cat(attended)), said[0][voxel], atol=1e-5)


def test_paired_attention_is_that_of_the_paper():
    """Equations 2 to 5 for each head, channel and token by itself."""
    torch.manual_seed(0)
    grid, dim, heads = (2, 3), 4, 2
    layer, x = EfficientPairedAttention(grid, dim, 3, heads, 0.0), torch.randn(1, 6, 4)
    torch.nn.init.uniform_(layer.channel_temperature, 0.5, 2)
    torch.nn.init.uniform_(layer.space_temperature, 0.5, 2)
    parts = layer.qkvv(x)[0].view(6, 4, heads, 2)
    space, channel = torch.zeros(6, dim), torch.zeros(6, dim)
    for head in range(heads):
        q, k, v_channel, v_space = (parts[:, which, head] for which in range(4))  # (N, d)
        few_k, few_v = layer.to_tokens(k.T).T, layer.to_tokens(v_space.T).T  # (tokens, d)
        q, k = q / q.norm(dim=0), k / k.norm(dim=0)
        for i in range(2):
            weights = torch.stack([q[:, i] @ k[:, j] for j in range(2)]) * layer.channel_temperature[head, 0]
            channel[:, 2 * head + i] = v_channel @ weights.softmax(0)
        for token in range(6):
            weights = torch.stack([q[token] @ few_k[j] for j in range(3)]) * layer.space_temperature[head, 0]
            space[token, 2 * head : 2 * head + 2] = weights.softmax(0) @ few_v
    expected = torch.cat([layer.space_out(space), layer.channel_out(channel)], dim=-1)
    assert torch.allclose(layer(x, grid)[0], expected, atol=1e-6)
    layer.released = True
    assert not torch.allclose(layer(x, grid)[0], expected, atol=1e-3)


def test_paired_attention_sees_an_even_image_alike_at_every_size():
    torch.manual_seed(0)
    layer, token = EfficientPairedAttention((4, 4), 4, 3, 2, 0.0).eval(), torch.randn(1, 1, 4)
    few, many = layer(token.expand(1, 16, 4), (4, 4)), layer(token.expand(1, 144, 4), (12, 12))
    assert torch.allclose(few[:, :1], few, atol=1e-6)
    assert torch.allclose(many, few[:, :1].expand_as(many), atol=1e-5)


def test_sizes_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match=r"image_size \(10, 16\) must hold multiples of \(8, 32\)"):
        UNETRPP(2, 1, 2, image_size=(10, 16), patch_size=(1, 4))
    with pytest.raises(ValueError, match="must be equally long: 2, 1, 2"):
        UMamba(2, 1, 2, [4, 8], [(1, 1)], [(3, 3)] * 2)


def test_the_unet_of_models_genesis_has_the_published_size():
    assert sum(weight.numel() for weight in GenesisUNet(3, 1, 1).parameters()) == pytest.approx(19.1e6, rel=0.01)


@pytest.mark.parametrize("batch_statistics", [True, False])
def test_batch_statistics_are_those_of_the_images_predicted_together(batch_statistics):
    torch.manual_seed(0)
    net = GenesisUNet(2, 1, 2, (4, 8), (1, 2), (3, 3), batch_statistics=batch_statistics)
    images = torch.rand(2, 1, 9, 11) * torch.tensor([1.0, 5.0])[:, None, None, None]
    net(images)
    net.eval()
    alone, together = net(images[:1])[0], net(images)[0][:1]
    assert torch.allclose(alone, together, atol=1e-5) is not batch_statistics
    (one,) = net(images[:1, :, :2, :2])
    assert one.shape == (1, 2, 2, 2), "one value a channel at the lowest resolution"
    assert one.isfinite().all()


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (((4, 8), (1, 2, 2), (3, 3)), "must be equally long: 2, 3, 2"),
        (((4, 8), (2, 2), (3, 3)), r"strides\[0\] is 2: nothing is pooled before the first stage"),
    ],
)
def test_sizes_that_do_not_fit_the_unet_of_models_genesis_are_told(sizes, message):
    with pytest.raises(ValueError, match=message):
        GenesisUNet(2, 1, 2, *sizes)
