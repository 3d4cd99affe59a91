"""The presets of SepVAE, the contrastive VAE and a student's HCR + DLR have the objectives of the published codes.

Codes, reconstructions and noise are made by the formula of `tests/models/golden.py`. Theirs are sums over the images
where ours are means, and have other factors beside, as the presets say.
"""

import pytest
import torch
from torch import nn

import medzoo.lightning_modules.vae.contrastive
import medzoo.lightning_modules.vae.nonredundant
from medzoo.models.losses import mutual_information
from medzoo.runtime.build import instantiate
from medzoo.runtime.plan import make_plan
from tests.conftest import compose
from tests.models.golden import check, numbers

LABELS = torch.arange(10) % 2
BETA, KAPPA = 0.0119, 50  # of the student
SIZES = {"features": 2, "hidden": 12, "pixels": 6, "images": 100}  # of the contrastive VAE


def module_of(folder, words, net, widths, monkeypatch, noise):
    """What a preset makes of a network whose samples have known noise."""
    config = [*make_plan(compose(folder, *words)).stages.values()][-1]["lightning_module"]
    config |= {"net": net, "scheduler": None, "task": "binary", "num_classes": 2}
    config["mi"] |= {"first_features": widths[0], "second_features": widths[1]}
    module = instantiate({key: value for key, value in config.items() if key != "net"}, "module", net=net).double()
    fresh = iter(noise)
    for file in (medzoo.lightning_modules.vae.contrastive, medzoo.lightning_modules.vae.nonredundant):
        monkeypatch.setattr(file, "draw", lambda mean, log: mean + (log / 2).exp() * next(fresh))
    return module


class Known(nn.Module):
    """Encoders and a decoder that say what is known beforehand."""

    def __init__(self, codes, reconstruction, **widths):
        super().__init__()
        self.codes, self.reconstruction = codes, reconstruction
        self.__dict__ |= widths

    def encode(self, image):
        return self.codes[0]

    def decode(self, first, second):
        self.seen = torch.cat([first, second], 1)
        return self.reconstruction


def perceptron(ratio, seed, columns=None):
    """Fill a discriminator or classifier; `columns` reorders what goes in."""
    layers = [layer for layer in ratio if isinstance(layer, nn.Linear)]
    for place, layer in enumerate(layers):
        weight = numbers("weight", seed + 2 * place, *layer.weight.shape)
        layer.weight.data = weight if place or columns is None else weight[:, columns]
        layer.bias.data = numbers("bias", seed + 2 * place + 1, *layer.bias.shape)


def test_sepvae(tmp_path, monkeypatch, float64):
    codes = [
        (numbers("input", seed, 10, width), numbers("narrow", seed + 1, 10, width))
        for seed, width in ((20010, 12), (20012, 8))
    ]
    image, seen = (numbers("share", seed, 10, 3, 8, 8) for seed in (20014, 20015))
    net = Known(codes, seen, common_features=12, salient_features=8)
    net.encode = lambda image: codes
    noise = numbers("input", 20016, 10, 20).split([12, 8], 1)
    words = ["experiment=medmnist_sepvae_demo", "preset=sepvae"]
    module = module_of(tmp_path, words, net, (12, 8), monkeypatch, noise)
    perceptron(module.classifier, 1)
    perceptron(module.mi.net, 101)
    batch = {"image": image, "label": LABELS, "id": [""] * 10}
    code = module.encode(batch)
    parts = module.draw(batch, code)
    terms, penalty = module.terms(batch, code, parts), module.mi(*module.penalised(batch, parts))
    monkeypatch.setattr(mutual_information, "_others", lambda second: second.roll(-1, 0))
    said = {
        "codes": torch.cat(parts, 1),
        "decoder_input": net.seen,
        "reconstruction": 10 * terms["error"],
        "kl": 10 * (terms["common"] + terms["salient"] + terms["background"]),
        "classifier": 10 * terms["classifier"] / module.classifier_weight,
        "mi": 10 * penalty,
        "objective": 10 * (terms["loss"] + module.mi_weight * penalty),
        "discriminator": 20 * module.mi.loss(*parts),
    }
    check("sepvae_losses", said, 1e-6)


def test_student(tmp_path, monkeypatch, float64):
    code = numbers("input", 20030, 10, 6), numbers("narrow", 20031, 10, 6)
    image, seen = (numbers("share", seed, 10, 1, 8, 8) for seed in (20034, 20035))
    net = Known([code], seen, condition_features=4, latent_features=6)
    words = ["experiment=medmnist_cvae_demo", "preset=student"]
    module = module_of(tmp_path, words, net, (4, 6), monkeypatch, [numbers("input", 20033, 10, 6)])
    perceptron(module.mi.net, 201, columns=[6, 7, 8, 9, 0, 1, 2, 3, 4, 5])  # theirs takes the latent first
    batch = {"image": image, "label": LABELS, "hcr": numbers("input", 20032, 10, 4), "id": [""] * 10}
    code = module.encode(batch)
    parts = module.draw(batch, code)
    terms, penalty = module.terms(batch, code, parts), module.mi(*module.penalised(batch, parts))
    assert module.mi_weight == pytest.approx(KAPPA / BETA)
    said = {
        "reconstruction": 10 * BETA * terms["error"],
        "kl": 10 * BETA * terms["kl"],
        "mi": 10 * penalty,
        "objective": 10 * BETA * (terms["loss"] + module.mi_weight * penalty),
    }
    check("nonredundant_losses", said, 1e-6)


class Dense(nn.Module):
    """The network of the contrastive VAE's code: dense layers whose kernels are stored the other way round."""

    common_features = salient_features = SIZES["features"]

    def __init__(self):
        super().__init__()
        latent, hidden, pixels = SIZES["features"], SIZES["hidden"], SIZES["pixels"]
        sizes = [(pixels, hidden), (hidden, latent), (hidden, latent)] * 2 + [(2 * latent, hidden), (hidden, pixels)]
        self.layers = nn.ModuleList(dense(1 + 2 * place, *size) for place, size in enumerate(sizes))

    def encode(self, x):
        return self.common(x), self.salient(x)

    def salient(self, x):
        hidden = self.layers[0](x).relu()
        return self.layers[1](hidden), self.layers[2](hidden)

    def common(self, x):
        hidden = self.layers[3](x).relu()
        return self.layers[4](hidden), self.layers[5](hidden)

    def decode(self, common, salient):
        return self.layers[7](self.layers[6](torch.cat([salient, common], 1)).relu())


def dense(seed, inputs, outputs):
    layer = nn.Linear(inputs, outputs)
    layer.weight.data = 2 * (numbers("input", seed, inputs, outputs) / 1.5).T / inputs**0.5
    layer.bias.data = numbers("bias", seed + 1, outputs)
    return layer


@pytest.mark.parametrize(("kind", "beta", "gamma"), [("plain", 1.0, 0.0), ("tc", 2.0, 5.0)])
def test_contrastive_vae(kind, beta, gamma, tmp_path, monkeypatch, float64):
    images = torch.cat([numbers("input", seed, 100, 6) for seed in (20001, 20002)])
    z, s, s_background = (numbers("input", seed, 100, 2) for seed in (20100, 20101, 20102))
    noise = [torch.cat([s, s_background]), torch.cat([z, torch.zeros(100, 2)])]
    weights = [f"lightning_module.{name}_kl={beta}" for name in ("common", "salient")]
    words = ["experiment=medmnist_contrastive_demo", "preset=contrastive_vae", *weights]
    words.append(f"lightning_module.mi_weight={gamma / 2}")
    module = module_of(tmp_path, words, Dense(), (2, 2), monkeypatch, noise)
    module.mi.net = nn.Sequential(dense(17, 4, 1))
    batch = {"image": images, "label": torch.tensor([1] * 100 + [0] * 100), "id": [""] * 200}
    code = module.encode(batch)
    parts = module.draw(batch, code)
    loss = 2 * module.terms(batch, code, parts)["loss"]
    if gamma:
        pair = module.penalised(batch, parts)
        monkeypatch.setattr(mutual_information, "_others", lambda second: torch.cat([second[50:], second[:50]]))
        loss = loss + 2 * module.mi_weight * module.mi(*pair) + 2 * module.mi.loss(*pair)
    rebuilt = module.reconstruct(batch, parts)
    said = {
        "loss": loss,
        "reconstruction of the target": rebuilt[:100],
        "reconstruction of the background": rebuilt[100:],
        "z of the target": parts[1][:100],
        "s of the background": parts[0][100:],
    }
    check(f"contrastive_vae_{kind}", {name: said[name] for name in (said if kind == "plain" else ["loss"])}, 1e-6)
