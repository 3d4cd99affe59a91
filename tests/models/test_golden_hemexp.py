"""HemExp's networks, fed weights under the names of its code, and its diffusion give what that code gives."""

from functools import partial
from itertools import pairwise

import pytest
import torch

from medzoo.models import (
    DDIM,
    ConditionalUNet,
    FollowupDiffusion,
    MultiHeadAutoencoderKL,
    cosine_schedule,
    sigmoid_schedule,
)
from medzoo.models.autoencoder import upstream_autoencoder_state
from medzoo.models.diffusion import guided, upstream_unet_state
from tests.models.golden import check, kind_of, numbers

WIDTHS = [32, 32, 64, 128]  # of the stem and three levels
EMBEDDING, HEADS, TOKENS = 128, (4, 32), 4
X, CONTEXT = numbers("input", 0, 3, 4, 16, 16), numbers("input", 20001, 3, 12, 16, 16)
CONDITIONS = CONTEXT, numbers("share", 20002, 3, 7), torch.tensor([0, 1, 1])


def layer(name, *weight, norm=False):
    """A layer's parameters, under the published name."""
    if norm:
        return {f"{name}.g": (1, weight[0], 1, 1)}
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def block(at, before, after):
    shapes = layer(f"{at}.mlp.1", 2 * after, EMBEDDING)
    for number, width in ((1, before), (2, after)):
        shapes |= layer(f"{at}.block{number}.proj", after, width, 3, 3)
        shapes |= layer(f"{at}.block{number}.norm", after, norm=True)
    return shapes | (layer(f"{at}.res_conv", after, before, 1, 1) if before != after else {})


def attention(at, width, *, full):
    heads, size = HEADS
    shapes = {f"{at}.mem_kv": (2, heads, TOKENS, size) if full else (2, heads, size, TOKENS)}
    shapes |= layer(f"{at}.norm", width, norm=True) | {f"{at}.to_qkv.weight": (3 * heads * size, width, 1, 1)}
    if full:
        return shapes | layer(f"{at}.to_out", width, heads * size, 1, 1)
    return shapes | layer(f"{at}.to_out.0", width, heads * size, 1, 1) | layer(f"{at}.to_out.1", width, norm=True)


def level(at, before, after, width, resample, *, full):
    """Two blocks, attention and a change of resolution."""
    blocks = block(f"{at}.0", before, width) | block(f"{at}.1", after, width)
    return blocks | attention(f"{at}.2", width, full=full) | resample


def published_unet(*, memory=True):
    """The state of the published U-Net, made by the formula."""
    shapes = {"null_clin_emb": (EMBEDDING,)} | layer("init_conv", 32, 16, 7, 7)
    shapes |= layer("time_mlp.1", EMBEDDING, 32) | layer("time_mlp.3", EMBEDDING, EMBEDDING)
    shapes |= layer("clinical_vars_mlp.0", EMBEDDING, 7) | layer("clinical_vars_mlp.2", EMBEDDING, EMBEDDING)
    shapes |= {"flag_embed.weight": (2, EMBEDDING)}
    pairs = [*pairwise(WIDTHS)]
    for index, (narrow, wide) in enumerate(pairs):
        at, last = f"downs.{index}", index == 2
        smaller = layer(f"{at}.3", wide, narrow, 3, 3) if last else layer(f"{at}.3.1", wide, 4 * narrow, 1, 1)
        shapes |= level(at, narrow, narrow, narrow, smaller, full=last)
    for index, (narrow, wide) in enumerate(reversed(pairs)):
        at, deepest, last = f"ups.{index}", index == 0, index == 2
        larger = layer(f"{at}.3" if last else f"{at}.3.1", narrow, wide, 3, 3)
        shapes |= level(at, wide + narrow, wide + narrow, wide, larger, full=deepest)
    shapes |= block("mid_block1", 128, 128) | attention("mid_attn", 128, full=True) | block("mid_block2", 128, 128)
    shapes |= block("final_res_block", 64, 32) | layer("final_image_conv", 4, 32, 1, 1)
    state = {
        name: numbers(kind_of(name, shape), seed, *shape) for seed, (name, shape) in enumerate(shapes.items(), start=1)
    }
    return {name: value for name, value in state.items() if memory or not name.endswith("mem_kv")}


def unet(*, memory):
    net = ConditionalUNet(4, 4, 12, dim=32, dim_mults=(1, 2, 4), memory_tokens=TOKENS if memory else 0).double().eval()
    net.load_state_dict(upstream_unet_state(published_unet(memory=memory)))
    return net


@pytest.mark.parametrize(
    ("name", "memory", "tolerance"),  # of our norm, which adds 1e-6
    [("hemexp_unet", True, 1e-5), ("hemexp_unet_without_memory_tokens", False, 2e-5)],
)
def test_the_unet_gives_the_published_velocity_with_the_published_weights(name, memory, tolerance, float64):
    net, t = unet(memory=memory), torch.tensor([0, 500, 999])
    with torch.no_grad():
        said = {word: net(X, t, *CONDITIONS, torch.full((3,), word == "dropped")) for word in ("velocity", "dropped")}
    check(name, said, tolerance)


def test_an_unknown_value_counts_as_0_with_the_published_weights(float64):
    net, t = unet(memory=True), torch.tensor([0, 500, 999])
    clinical = CONDITIONS[1].clone()
    clinical[0, 2] = 0
    zero = net(X, t, CONTEXT, clinical, CONDITIONS[2])
    clinical[0, 2] = float("nan")
    torch.testing.assert_close(net(X, t, CONTEXT, clinical, CONDITIONS[2]), zero)


def test_memory_tokens_start_as_noise_learn_and_are_off_unless_asked_for():
    net = ConditionalUNet(4, 4, 12, dim=8, dim_mults=(1, 2), heads=2, dim_head=4, memory_tokens=3)
    torch.nn.init.normal_(net.head.weight)
    sizes = torch.zeros(1), torch.randn(1, 12, 8, 8), torch.rand(1, 7), torch.ones(1).long()
    net(torch.randn(1, 4, 8, 8), *sizes).square().sum().backward()
    memory = {name: weight for name, weight in net.named_parameters() if name.endswith(".memory")}
    assert len(memory) == 5
    assert all(weight.grad.abs().sum() > 0 for weight in memory.values())
    assert not any("memory" in name for name in ConditionalUNet(4, 4, 12, dim=8, dim_mults=(1, 2)).state_dict())


def published_autoencoder(net):
    """MONAI's names are the same; its last convolution and the heads stand elsewhere."""
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items() if ".heads." not in name}
    shapes = {name.replace(".features.", ".conv."): shape for name, shape in shapes.items()}
    shapes |= {f"{head}_head.{kind}": shape for head in ("ct", "iph", "ivh") for kind, shape in HEAD.items()}
    return {
        name: numbers(kind_of(name, shape), seed, *shape) for seed, (name, shape) in enumerate(shapes.items(), start=1)
    }


HEAD = {"weight": (1, 256, 1, 1), "bias": (1,)}


def test_the_autoencoder_encodes_and_decodes_as_published_with_the_published_weights(float64):
    net = MultiHeadAutoencoderKL(channels=(16, 32, 64), norm_num_groups=8, middle_attention=True).double().eval()
    net.load_state_dict(upstream_autoencoder_state(published_autoencoder(net)))
    image, latent = numbers("share", 0, 2, 3, 16, 16), numbers("input", 20001, 2, 4, 4, 4)
    with torch.no_grad():
        mean, sigma = net.encode(image)
        check("hemexp_vae", {"encode mean": mean, "encode sigma": sigma, "decode latent": net.decode(latent)}, 1e-8)


def velocity(x, t, *, net, drop=False):
    return net(x, t, *CONDITIONS, torch.full((len(x),), drop))


def walk(eta, denoise, schedule):
    seeds = iter(range(20101, 20200))
    fresh = lambda like: numbers("input", next(seeds), *like.shape)  # noqa: E731
    return DDIM(10, eta=eta, spacing="trailing")(denoise, numbers("input", 20100, 3, 4, 16, 16), schedule, fresh)


def test_schedules_loss_guidance_and_sampler_are_those_of_the_published_code(float64):
    net, schedule, every = unet(memory=False), sigmoid_schedule(1000), torch.arange(1000)
    times = torch.tensor([0, 1, 10, 100, 500, 900, 998, 999])
    x0, noise = (numbers("input", seed, 8, 4, 4, 4) for seed in (20010, 20011))
    walkers = {
        "simple": lambda x, t: 0.3 * x + 0.1 * torch.sin(t.to(x.dtype)).view(-1, 1, 1, 1),
        "unet": partial(velocity, net=net),
    }
    alpha, sigma = (level(times).view(-1, 1, 1, 1) for level in (schedule.alpha, schedule.sigma))
    with torch.no_grad():
        said = {
            "sigmoid_schedule": schedule.alphas_cumprod,
            "cosine_schedule": cosine_schedule(1000).alphas_cumprod,
            "min_snr_weight": schedule.min_snr_weight(every),
            "min_snr_weight_5": schedule.min_snr_weight(every, 5.0),
            "add_noise": schedule.add_noise(x0, noise, times),
            "velocity": schedule.velocity(x0, noise, times),
            "x0_from_velocity": alpha * x0 - sigma * noise,
            "training_loss": training_loss(net, schedule, times),
        }
        for scale in (1.0, 2.5, 4.0):
            both = partial(velocity, net=net), partial(velocity, net=net, drop=True)
            said[f"guidance {scale}"] = guided(*both, scale)(X, torch.tensor([0, 500, 999]))
        for eta in (0.0, 0.5):
            said |= {f"ddim {name} {eta}": walk(eta, denoise, schedule) for name, denoise in walkers.items()}
    check("hemexp_diffusion", said, 1e-4)


def training_loss(net, schedule, times):
    autoencoder = MultiHeadAutoencoderKL(channels=(8,), norm_num_groups=8)  # plays no part
    latents = [numbers("input", 20020 + index, 8, channels, 16, 16) for index, channels in enumerate((12, 4, 4))]
    clinical, flag = numbers("share", 20023, 8, 7), torch.tensor([0, 1, 1, 0, 1, 0, 0, 1])
    part = FollowupDiffusion(autoencoder, net, schedule, gamma=1.0)
    context, followup, noise = latents
    return part.loss(context, followup, times, noise, clinical, flag, torch.zeros(8, dtype=torch.bool)).mean()
