"""The segmentation networks give what the published code gives."""

import pytest
import torch

from medzoo.models import UNETRPP, GenesisUNet, NNFormer, PlainUNet, UMamba
from medzoo.models.segmentation import upstream_genesis_state
from tests.models.golden import check, fill, numbers

PLAN = {"features": [8, 16, 24, 32]}
THICK = PLAN | {
    "strides": [(1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2)],
    "kernels": [(1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)],
}
FLAT = PLAN | {"strides": [(1, 1), (2, 2), (2, 2), (2, 2)], "kernels": [(3, 3)] * 4}
SYNAPSE = {"image_size": (32, 32, 32), "patch_size": (2, 4, 4), "depth": 2, "convs": 1, "shared": True}
LUNG = {"image_size": (16, 32, 32), "patch_size": (1, 4, 4), "depth": 1, "convs": 2, "shared": False}


def umamba(axes, kind):
    sizes, patch = (THICK, (8, 16, 16)) if axes == 3 else (FLAT, (32, 32))
    net = UMamba(axes, 1, 3, **sizes, mamba=kind, released_for=patch)
    layers = ["encoder.stem", "encoder.mamba_layers", "encoder"] if kind == "enc" else ["encoder", "mamba_layer"]
    return fill(net, " ".join([*layers, "decoder.stages", "decoder"])), (2, 1, *patch)


def plain():
    net = PlainUNet(3, 1, 3, **THICK)
    ways = " ".join(f"{part}.{stage}" for part in ("decoder", "up", "heads") for stage in (2, 1, 0))
    return fill(net, f"encoder {ways}"), (2, 1, 8, 32, 32)


def unetrpp(image_size, depth, **form):
    net = UNETRPP(
        3, 1, 3, image_size=image_size, features=(16, 32, 64, 128), depth=depth, dropout=0.0, released=True, **form
    )

    def stage(at):
        return [name for block in range(depth) for name in (f"{at}.{block}.scale", f"{at}.{block}")]

    order = ["down", *(name for index in range(4) for name in stage(f"encoder.{index}")), "skip"]
    for index in (2, 1, 0):
        order += [f"up.{index}", *stage(f"decoder.{index}")]
    return fill(net, " ".join([*order, "last_up last heads"])), (1, 1, *image_size)


def nnformer(depth, size, classes, **form):
    net = NNFormer(3, 1, classes, depth=depth, **form)

    def block(at, *, projects):
        joined = [f"{at}.attention.query.{kind}+{at}.attention.key_value.{kind}" for kind in ("weight", "bias")]
        return [f"{at}.norm1", f"{at}.attention.bias", *(joined if projects else []), f"{at}.attention", at]

    order = ["embed.0 embed.3 embed.2 embed.5 embed.6 embed.9 embed"]
    for stage in range(4):
        for index in range(depth):
            order += block(f"encoder.{stage}.blocks.{index}", projects=True)
        order += [f"down.{stage}.2 down.{stage}"] if stage < 3 else []
    order.append("norms")
    for stage in range(3):
        for index in range(depth):
            order += block(f"decoder.{stage}.blocks.{index}", projects=index > 0)
        order.append(f"up.{stage}")
    return fill(net, " ".join([*order, "heads"])), size


NNFORMER_SYNAPSE = {
    "dim": 24,
    "patch_size": (2, 4, 4),
    "heads": (2, 4, 6, 12),
    "windows": [(4, 4, 4), (4, 4, 4), (2, 2, 2), (1, 1, 1)],
}
NNFORMER_ACDC = {
    "dim": 12,
    "patch_size": (1, 4, 4),
    "heads": (1, 2, 3, 6),
    "windows": [(7, 4, 4), (7, 4, 4), (7, 4, 4), (3, 2, 2)],
    "deep_supervision": False,
}
NETWORKS = {
    "umamba_enc_3d": lambda: umamba(3, "enc"),
    "umamba_bot_3d": lambda: umamba(3, "bot"),
    "umamba_enc_2d": lambda: umamba(2, "enc"),
    "umamba_bot_2d": lambda: umamba(2, "bot"),
    "nnunet_plain_3d": plain,
    "unetrpp_synapse": lambda: unetrpp(**SYNAPSE),
    "unetrpp_lung": lambda: unetrpp(**LUNG),
    "nnformer_synapse": lambda: nnformer(2, (2, 1, 16, 32, 32), 3, **NNFORMER_SYNAPSE),
    "nnformer_acdc": lambda: nnformer(1, (1, 1, 14, 64, 64), 2, **NNFORMER_ACDC),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_the_published_code(name, float64):
    net, size = NETWORKS[name]()
    with torch.no_grad():
        logits = net(numbers("input", 0, *size))
    check(name, {f"logits {level}": each for level, each in enumerate(logits)}, 1e-8)


def test_the_strides_of_the_acdc_form_follow_from_its_patch_and_can_be_said(float64):
    published = nnformer(1, (1, 1, 14, 64, 64), 2, **NNFORMER_ACDC)[0]
    said = nnformer(1, (1, 1, 14, 64, 64), 2, strides=[(1, 2, 2), (2, 2, 2), (2, 2, 2)], **NNFORMER_ACDC)[0]
    x = numbers("input", 0, 1, 1, 14, 64, 64)
    assert torch.equal(said(x)[0], published(x)[0])
    other = NNFormer(3, 1, 2, strides=[(2, 2, 2)] * 3, depth=1, **NNFORMER_ACDC)
    assert [other.down[0][2].kernel_size, published.down[0][2].kernel_size] == [(3, 3, 3), (1, 3, 3)]
    with pytest.raises(ValueError, match="strides has 2 entries: expected 3"):
        NNFormer(3, 1, 2, strides=[(2, 2, 2)] * 2, **NNFORMER_ACDC)


def genesis(**form):
    order = "encoder up.2 decoder.2 up.1 decoder.1 up.0 decoder.0 heads"
    return fill(GenesisUNet(3, 1, 1, **form), order)


def genesis_outputs(net):
    """What the network gives, and the features that it makes of the pattern on the way."""
    seen = {}
    for name, stage in {"deepest features": net.encoder[-1], "last features": net.decoder[0]}.items():
        stage.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output}))
    with torch.no_grad():
        (logits,) = net(numbers("share", 0, 1, 1, 16, 16, 16))
    return {"output": logits.sigmoid()} | seen


def test_the_unet_of_models_genesis_is_the_published_one(float64):
    net = genesis()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    check("genesis_unet", genesis_outputs(net), 1e-8)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items()), "prediction learns nothing"
    others = genesis_outputs(genesis(batch_statistics=False))
    with pytest.raises(AssertionError, match="genesis_unet, output: off"):
        check("genesis_unet", others, 1e-8)


def published_names():
    for way, widths in {"down": (64, 128, 256, 512), "up": (256, 128, 64)}.items():
        for width in widths:
            if way == "up":
                yield from (f"up_tr{width}.up_conv.{kind}" for kind in ("weight", "bias"))
            for place in (0, 1):
                yield from (f"{way}_tr{width}.ops.{place}.conv1.{kind}" for kind in ("weight", "bias"))
                kinds = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
                yield from (f"{way}_tr{width}.ops.{place}.bn1.{kind}" for kind in kinds)
    yield from (f"out_tr.final_conv.{kind}" for kind in ("weight", "bias"))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_of_models_genesis_load(prefix, float64):
    net, wanted = GenesisUNet(3, 1, 1).double().eval(), genesis().state_dict()
    ordered = [f"encoder.{level}" for level in range(4)]
    ordered += [f"{part}.{level}" for level in (2, 1, 0) for part in ("up", "decoder")] + ["heads"]
    values = [value for start in ordered for name, value in wanted.items() if name.startswith(f"{start}.")]
    theirs = dict(zip((prefix + name for name in published_names()), values, strict=True))
    net.load_state_dict(upstream_genesis_state(theirs))
    check("genesis_unet", genesis_outputs(net), 1e-8)


@pytest.mark.parametrize("name", ["down_tr64.ops.2.conv1.weight", "up_tr1024.up_conv.bias", "encoder.0.0.weight"])
def test_a_name_that_is_none_of_models_genesis_is_told(name):
    with pytest.raises(ValueError, match=f"{name} is no parameter of the U-Net of Models Genesis"):
        upstream_genesis_state({name: torch.zeros(1)})
