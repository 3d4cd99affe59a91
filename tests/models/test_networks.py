"""Every network that `models` exports, as every config of it builds it."""

import re

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import medzoo.models
from tests.conftest import ROOT
from tests.models.kinds import is_segmenter

CONFIGS = sorted((ROOT / "conf").glob("**/net/*.yaml"))
NAMES = {"timm": "resnet10t", "monai": "DenseNet121"}  # of the configs that take any name
EXTRA = {"monai": {"init_features": 8, "growth_rate": 4, "block_config": [1, 1], "bn_size": 2}}


def build(file, spatial_dims):
    text = file.read_text()
    for key, value in {"in_channels": 1, "num_classes": 3, "spatial_dims": spatial_dims, "hcr_features": 5}.items():
        text = text.replace(f"${{data:{key}}}", str(value))
    text = text.replace("${data:image_size}", "[28, 28]").replace("${data:patch_size}", "[8, 64, 64]")
    plan = {"features": [8, 16], "strides": [[1, 1, 1], [1, 2, 2]], "kernels": [[1, 3, 3], [3, 3, 3]]}
    for key, value in plan.items():
        text = text.replace(f"${{data:{key}}}", str(value))
    config = OmegaConf.create(text)
    if OmegaConf.is_missing(config, "name"):
        config.name = NAMES[file.stem]
    return instantiate({**config, **EXTRA.get(file.stem, {})})


SEGMENTERS = [file for file in CONFIGS if is_segmenter(OmegaConf.load(file)["_target_"])]
DENOISERS = [file for file in CONFIGS if file.stem == "diffusion_ukan"]
VAES = [file for file in CONFIGS if file.stem in ("radiomics_vae", "salient_vae")]
CLASSIFIERS = [file for file in CONFIGS if file not in SEGMENTERS + DENOISERS + VAES]
CASES = [
    (file, dims) for file in CLASSIFIERS for dims in (2, 3) if ("3d" in file.stem or file.stem == "monai") or dims == 2
]


def check_gradients(net, output):
    output.square().sum().backward()
    idle = [name for name, weight in net.named_parameters() if weight.grad is None]
    assert not idle, f"no gradient reaches {idle}"


@pytest.mark.parametrize(("file", "dims"), CASES, ids=lambda value: getattr(value, "stem", f"{value}d"))
def test_forward_and_backward_on_odd_sizes(file, dims):
    net = build(file, dims)
    shape = (29, 35) if dims == 2 else (27, 29, 33)
    logits = net(torch.randn(2, 1, *shape))
    assert logits.shape == (2, 3)
    check_gradients(net, logits)


@pytest.mark.parametrize("file", SEGMENTERS, ids=lambda file: file.stem)
def test_segmenters_take_odd_sizes(file):
    net = build(file, 3)
    logits = net(torch.randn(2, 1, 5, 37, 41))
    assert logits[0].shape == (2, 3, 5, 37, 41)
    check_gradients(net, torch.cat([each.flatten() for each in logits]))


@pytest.mark.parametrize("file", VAES, ids=lambda file: file.stem)
def test_vaes_give_an_image_of_the_size_of_their_data(file):
    net = build(file, 2)
    image = torch.randn(2, 1, 28, 28)
    if hasattr(net, "salient"):
        said = net.decode(*(sum(encoder(image)) for encoder in (net.common, net.salient)))
    else:
        said = net.decode(torch.randn(2, 5), sum(net.encode(image)))
    assert said.shape == image.shape
    check_gradients(net, said)


@pytest.mark.parametrize("file", DENOISERS, ids=lambda file: file.stem)
def test_denoisers_give_an_image(file):
    net = build(file, 2)
    said = net(torch.randn(2, 1, 32, 64), torch.tensor([1, 900]))
    assert said.shape == (2, 1, 32, 64)
    check_gradients(net, said)


def test_every_exported_network_has_a_config():
    exported = {name for name in medzoo.models.__all__ if name.endswith(("_network", "Net", "KL", "VAE"))}
    written = {
        name for file in (ROOT / "conf").rglob("*.yaml") for name in re.findall(r"models\.(\w+)", file.read_text())
    }
    assert exported <= written


@pytest.mark.parametrize(("name", "stride"), [("resnet18", 8), ("resnet50", 8), ("ghostnet_100", 16)])
def test_small_stem_keeps_the_resolution(name, stride):
    net = medzoo.models.timm_network(name, in_channels=1, num_classes=2, small_stem=True)
    assert net.forward_features(torch.zeros(1, 1, 32, 32)).shape[-1] == 32 // stride


def test_resnet18_has_the_published_number_of_parameters():
    # torchvision's ResNet-18 with 1000 classes has 11,689,512; take its head and stem out, put ours in.
    body = 11_689_512 - (512 * 1000 + 1000) - 3 * 64 * 49
    net = medzoo.models.timm_network("resnet18", in_channels=1, num_classes=2, small_stem=True)
    assert sum(weight.numel() for weight in net.parameters()) == body + 512 * 2 + 2 + 1 * 64 * 9


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: medzoo.models.timm_network("resnet81", in_channels=1, num_classes=2), "did you mean"),
        (
            lambda: medzoo.models.timm_network("vit_tiny_patch16_224", in_channels=1, num_classes=2, small_stem=True),
            "stem",
        ),
        (lambda: medzoo.models.monai_network("ResNet81", spatial_dims=3, in_channels=1, num_classes=2), "did you mean"),
        (
            lambda: medzoo.models.monai_network("UNet", spatial_dims=3, in_channels=1, num_classes=2, widen=1),
            "not take",
        ),
        (
            lambda: medzoo.models.monai_network("resnet18", spatial_dims=3, in_channels=1, num_classes=2, w=1),
            "does not take",
        ),
    ],
)
def test_mistakes_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_monai_vit_gives_plain_logits():
    net = medzoo.models.monai_network(
        "ViT",
        spatial_dims=3,
        in_channels=1,
        num_classes=3,
        img_size=[8, 8, 8],
        patch_size=[4, 4, 4],
        hidden_size=12,
        mlp_dim=24,
        num_layers=1,
        num_heads=3,
    )
    assert net(torch.randn(2, 1, 8, 8, 8)).shape == (2, 3)
    assert not any(isinstance(layer, torch.nn.Tanh) for layer in net.modules())
