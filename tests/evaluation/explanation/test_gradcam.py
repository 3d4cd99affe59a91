"""Grad-CAM against its closed form, MONAI's, a slow computation by hand, and blobs whose place is known."""

import copy
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from monai.visualize import GradCAM
from torch import nn

from medzoo.evaluation.explanation.gradcam import grad_cam
from medzoo.evaluation.explanation.one_modality import OneModality
from medzoo.evaluation.figures import explanation_figure
from medzoo.models import FusionNetwork, LateFusion, SliceEncoder, TileEncoder, monai_network, timm_network


class Pooled(nn.Module):
    """A convolution, global average pooling and a linear head."""

    def __init__(self, spatial_dims=2, features=5, classes=3):
        super().__init__()
        conv, self.axes = (nn.Conv2d, nn.Conv3d)[spatial_dims - 2], tuple(range(2, 2 + spatial_dims))
        self.features = nn.Sequential(conv(1, features, 3, stride=2, padding=1), nn.ReLU(inplace=True))
        self.head = nn.Linear(features, classes)

    def forward(self, image):
        return self.head(self.features(image).mean(self.axes))


def scaled(evidence):
    """(B, *spatial) with a maximum of 1, or zero."""
    largest = evidence.flatten(1).amax(1).reshape(-1, *[1] * (evidence.ndim - 1))
    return evidence / largest.where(largest > 0, 1)


def vit(size, patch=8, **options):
    torch.manual_seed(0)
    net = timm_network(
        "vit_tiny_patch16_224",
        in_channels=1,
        num_classes=3,
        img_size=size,
        patch_size=patch,
        embed_dim=24,
        depth=2,
        **options,
    )
    nn.init.normal_(net.head.weight)  # timm's small one would leave the gradient near rounding
    return net.eval()


@pytest.mark.parametrize("shape", [(18, 23), (9, 14, 11)])
def test_a_linear_head_over_pooling_gives_the_class_activation_map(shape):
    torch.manual_seed(1)
    net, image, target = Pooled(len(shape)), torch.randn(4, 1, *shape), torch.tensor([0, 2, 1, 1])
    features = net.features(image).detach()
    by_hand = torch.einsum("bc,bc...->b...", net.head.weight[target].detach(), features).relu()
    mode = ("bilinear", "trilinear")[len(shape) - 2]
    expected = scaled(F.interpolate(by_hand[:, None], shape, mode=mode)[:, 0])
    torch.testing.assert_close(grad_cam(net, image, target), expected)
    assert expected.flatten(1).amax(1).tolist() == [1] * 4


@pytest.mark.parametrize("shape", [(40, 52), (24, 32, 40)])
def test_convolutional_networks_agree_with_monai(shape):
    torch.manual_seed(2)
    options = {"widen_factor": 0.125, "conv1_t_stride": 1}
    net = monai_network("resnet10", spatial_dims=len(shape), in_channels=1, num_classes=3, **options).eval()
    image = torch.randn(2, 1, *shape)
    theirs = GradCAM(copy.deepcopy(net), "layer3", postprocessing=lambda evidence: evidence)
    expected = [scaled(theirs(image, class_idx=target)[:, 0].detach()) for target in range(3)]
    assert sum(maps.max() == 1 for maps in expected) >= 2
    for target, maps in enumerate(expected):
        torch.testing.assert_close(grad_cam(net, image, target, layer="layer3"), maps, atol=1e-5, rtol=1e-4)
    assert torch.equal(grad_cam(net, image, 0), grad_cam(net, image, 0, layer="layer4"))


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((24, 40), {}),
        ((32, 32), {"reg_tokens": 3}),
        ((32, 32), {"global_pool": "avg", "class_token": False}),
        ((29, 45), {"dynamic_img_size": True, "dynamic_img_pad": True}),
    ],
)
def test_tokens_of_a_transformer_agree_with_a_computation_by_hand(size, options):
    net, edge, target = vit(32 if "dynamic_img_pad" in options else size, **options), 8, 2
    image = torch.randn(2, 1, *size)
    for one in range(2):
        seen = []
        hook = net.blocks[-1].norm1.register_forward_hook(lambda part, inputs, output, seen=seen: seen.append(output))
        logit = net(image[one : one + 1])[0, target]
        hook.remove()
        (slope,) = torch.autograd.grad(logit, seen[0])
        rows, columns = -(-size[0] // edge), -(-size[1] // edge)
        prefix = net.num_prefix_tokens
        assert seen[0].shape[1] == prefix + rows * columns
        weight = [np.mean([slope[0, n, c].item() for n in range(prefix, slope.shape[1])]) for c in range(24)]
        grid = np.zeros((rows, columns))
        for row, column in itertools.product(range(rows), range(columns)):
            token = seen[0][0, prefix + row * columns + column].tolist()
            grid[row, column] = max(0, sum(w * value for w, value in zip(weight, token, strict=True)))
        padded = F.interpolate(torch.tensor(grid)[None, None], (rows * edge, columns * edge), mode="bilinear")
        expected = scaled(padded[:, 0, : size[0], : size[1]]).float()
        assert expected.max() == 1
        torch.testing.assert_close(grad_cam(net, image, target)[one : one + 1], expected, atol=1e-4, rtol=1e-3)


def blobs(count, size, seed):
    """Noise; every second image has a bright blob, whose centre is returned."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.3, (count, 1, *size)).astype(np.float32)
    centres = np.stack([rng.integers(4, edge - 4, count) for edge in size], 1)
    axes = np.meshgrid(*map(np.arange, size), indexing="ij")
    for one in range(1, count, 2):
        distance = sum((axis - centre) ** 2 for axis, centre in zip(axes, centres[one], strict=True))
        image[one, 0] += 2 * (distance <= 9)
    return torch.from_numpy(image), torch.arange(count) % 2, centres


def test_the_peak_lies_in_the_blob_that_makes_the_class():
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)),
    )
    image, label, _ = blobs(64, (24, 32), seed=1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(80):
        optimizer.zero_grad()
        F.cross_entropy(net(image), label).backward()
        optimizer.step()
    image, label, centres = blobs(60, (24, 32), seed=2)
    assert (net(image).argmax(1) == label).float().mean() > 0.95
    evidence = grad_cam(net, image, 1)[1::2].flatten(1).argmax(1)
    peaks = np.stack(np.unravel_index(evidence.numpy(), (24, 32)), 1)
    distance = np.linalg.norm(peaks - centres[1::2], axis=1)
    assert np.mean(distance <= 4) >= 0.95, np.sort(distance)


def test_a_volume_is_mapped_where_its_blob_is():
    net = nn.Sequential(nn.AvgPool3d(2), nn.Conv3d(1, 1, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(1, 2))
    nn.init.ones_(net[1].weight)
    net[4].weight.data = torch.tensor([[-1.0], [1.0]])
    image, _, centres = blobs(8, (12, 20, 16), seed=3)
    for one in range(1, 8, 2):
        evidence = grad_cam(net, image[one : one + 1], 1)[0]
        peak = np.unravel_index(evidence.argmax().item(), evidence.shape)
        assert np.linalg.norm(np.array(peak) - centres[one]) <= 4


def test_another_head_gives_another_map():
    for net in (vit((32, 32)), Pooled()):
        image = torch.randn(1, 1, 32, 32)
        before = grad_cam(net, image, 1)
        nn.init.normal_(net.head.weight, generator=torch.Generator().manual_seed(5))
        assert (grad_cam(net, image, 1) - before).abs().max() > 0.1


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("make", [lambda: vit((32, 32)), Pooled])
def test_the_network_is_left_as_it_was(context, make):
    net = make()
    modules = list(net.modules())
    net.train()
    modules[-2].eval()
    weights = list(net.parameters())
    weights[0].requires_grad_(False)
    weights[1].grad = torch.ones_like(weights[1])
    state = copy.deepcopy(net.state_dict())
    modes = [part.training for part in modules]
    with context():
        image, target = torch.ones(2, 1, 32, 32).cumsum(3), torch.tensor([0, 1])
        inside = grad_cam(net, image, target)
        assert torch.is_grad_enabled() == (context is torch.enable_grad)
        assert torch.is_inference_mode_enabled() == (context is torch.inference_mode)
    torch.testing.assert_close(inside, grad_cam(net, torch.ones(2, 1, 32, 32).cumsum(3), torch.tensor([0, 1])))
    assert [part.training for part in modules] == modes
    assert [weight.requires_grad for weight in weights] == [False] + [True] * (len(weights) - 1)
    assert torch.equal(weights[1].grad, torch.ones_like(weights[1]))
    assert all(weight.grad is None for weight in [weights[0], *weights[2:]])
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert not any(part._forward_hooks for part in modules)


def test_a_compiled_network_gives_the_same_map():
    net, image = Pooled(), torch.randn(1, 1, 16, 16)
    expected = grad_cam(net, image, 1)
    net.compile(backend="eager")
    net(image)
    torch.testing.assert_close(grad_cam(net, image, 1), expected)


def test_evidence_against_a_class_gives_an_empty_map():
    net = Pooled()
    net.head.weight.data.fill_(-1)
    assert grad_cam(net, torch.randn(2, 1, 16, 16), 0).tolist() == torch.zeros(2, 16, 16).tolist()


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("resnet18", {"small_stem": True}, (29, 35)),
        ("swin_tiny_patch4_window7_224", {"img_size": 64, "depths": (1, 1, 1, 1), "window_size": 2}, (64, 64)),
        ("deit_tiny_distilled_patch16_224", {"img_size": 32, "depth": 1}, (32, 32)),
    ],
)
def test_other_networks_of_timm(name, options, size):
    torch.manual_seed(1)
    net = timm_network(name, in_channels=1, num_classes=3, **options)
    evidence = grad_cam(net, torch.randn(2, 1, *size), torch.tensor([0, 1]))
    assert evidence.shape == (2, *size)
    assert evidence.min() == 0
    assert evidence.max() == 1


@pytest.mark.parametrize("size", [(8, 12, 16), (9, 14, 19)])
def test_transformers_of_monai(size):
    sizes = {"img_size": size, "patch_size": [4, 4, 4], "hidden_size": 12, "mlp_dim": 24, "num_heads": 3}
    net = monai_network("ViT", spatial_dims=3, in_channels=1, num_classes=3, num_layers=2, **sizes)
    evidence = grad_cam(net, torch.randn(2, 1, *size), 1)
    assert evidence.shape == (2, *size)
    assert evidence.flatten(1).amax(1).tolist() == [1, 1]
    assert not evidence[:, 8:].any(), "the network sees no incomplete patch"


@pytest.mark.parametrize(
    ("net", "layer", "message"),
    [
        (Pooled(), "featurs.1", r"layer='featurs.1': Pooled has no such module; did you mean features.1"),
        (Pooled(), "xyz", r"it has features, head"),
        (Pooled(), "head", r"returns \(1, 3\) has no map"),
        (nn.Sequential(nn.Flatten(), nn.Linear(256, 2)), None, r"no map larger than a pixel of \(16, 16\)"),
    ],
)
def test_mistakes_are_named(net, layer, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(net, torch.randn(1, 1, 16, 16), 0, layer=layer)


def test_a_layer_without_effect_is_named():
    net = Pooled()
    net.aside = nn.Identity()
    with pytest.raises(ValueError, match="do not depend on the layer"):
        grad_cam(net, torch.randn(1, 1, 16, 16), 0, layer="aside")


@pytest.mark.parametrize("shape", [(1, 8, 10), (3, 8, 10), (1, 6, 8, 10)])
def test_images_are_drawn_beside_their_maps(shape):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, *shape))
    maps = np.zeros((3, *shape[1:]))
    maps[(0, *([4] if len(shape) == 4 else []), 5, 6)] = 1
    images[(0, 0, *([4] if len(shape) == 4 else []))] = 7.0
    prob = [np.array(row) for row in ([0.17, 0.83], [0.9, 0.1], [0.4, 0.6])]
    figure = explanation_figure(images, maps, [1, 1, 1], [1, 0, 0], prob, ["NHE", "HE"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title for title in titles if title] == ["HE 0.83, true HE", "HE 0.10, true NHE", "HE 0.60, true NHE"]
    first, second = figure.axes[:2]
    assert len(first.images) == 1
    opacity = np.asarray(second.images[1].get_array())[..., 3]
    assert np.argwhere(opacity).tolist() == [[5, 6]], "opaque in proportion to the map"
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert said == ["no evidence"] * 2
    if len(shape) == 4:
        assert np.ptp(first.images[0].get_array()) == 0, "the slice with most of the map, here of one value"


def test_slices_have_weights_of_their_own():
    torch.manual_seed(5)
    net = SliceEncoder("resnet10t", in_channels=1, dim=3, neighbours=0, stem_width=8, channels=(4, 4, 8, 8)).eval()
    volume = torch.randn(2, 1, 4, 64, 96)
    maps = grad_cam(net, volume, 1)
    kept = []
    hook = net.net.layer4.register_forward_hook(lambda part, inputs, output: kept.append(output))
    logits = net(volume)
    hook.remove()
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), kept[0])
    by_hand = torch.zeros(2, 4, 2, 3)
    for one, each in itertools.product(range(2), range(4)):
        features, slope = kept[0][4 * one + each], gradient[4 * one + each]
        by_hand[one, each] = sum(slope[c].mean() * features[c] for c in range(len(slope))).relu()
    expected = scaled(F.interpolate(by_hand[:, None], (4, 64, 96), mode="trilinear")[:, 0].detach())
    torch.testing.assert_close(maps, expected, atol=1e-5, rtol=1e-4)


def fusion_of(encoders):
    sizes = {"modalities": [*encoders], "dim": 6, "num_classes": 2}
    return FusionNetwork(encoders, LateFusion(**sizes), **sizes).eval()


def test_one_modality_is_explained_with_the_others_held_fixed():
    torch.manual_seed(6)
    encoders = {"ct": Pooled(3, classes=6), "mr": Pooled(3, classes=6), "clinical": nn.Linear(5, 6)}
    net = fusion_of(encoders)
    inputs = {"ct": torch.randn(1, 1, 8, 9, 10), "mr": torch.randn(1, 1, 8, 9, 10), "clinical": torch.randn(1, 5)}
    present = torch.tensor([[True, True, False]])
    for name in ("ct", "mr"):
        with torch.inference_mode():
            alone = OneModality(net, inputs, present, name)
        torch.testing.assert_close(alone(inputs[name]), net(inputs, present)[0])
        maps = grad_cam(alone, inputs[name], 1)
        features = net.encoders[name].features(inputs[name]).detach().requires_grad_()
        tokens = alone.tokens.clone()
        tokens[:, alone.index] = net.encoders[name].head(features.mean((2, 3, 4)))
        output = net.fuse(tokens, net.evidence(tokens), present).output
        (slope,) = torch.autograd.grad(output[0, 1], features)
        by_hand = torch.einsum("bc,bc...->b...", slope.mean((2, 3, 4)), features.detach()).relu()
        expected = scaled(F.interpolate(by_hand[:, None], (8, 9, 10), mode="trilinear")[:, 0])
        torch.testing.assert_close(maps, expected, atol=1e-6, rtol=1e-4)


def test_a_bag_of_tiles_gets_a_map_for_each_tile():
    torch.manual_seed(7)
    encoder = TileEncoder("resnet10t", dim=6, stem_width=8, channels=(4, 4, 8, 8))
    net = fusion_of({"histology": encoder})
    tiles, present = torch.rand(1, 3, 3, 64, 64), torch.tensor([[True]])
    alone = OneModality(net, {"histology": tiles}, present, "histology", bag=True)
    torch.testing.assert_close(alone(tiles.transpose(1, 2)), net({"histology": tiles}, present)[0])
    for target in (0, 1):
        maps = grad_cam(alone, tiles.transpose(1, 2), target)
        assert maps.shape == (1, 3, 64, 64)
        assert maps.max() in (0, 1)
