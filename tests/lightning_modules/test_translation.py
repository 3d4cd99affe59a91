"""CycleGAN: its parts, its objective, and the segmentation behind it."""

from functools import partial

import lightning as L
import pytest
import torch
from monai.networks.nets import PatchDiscriminator
from torch import nn
from torch.utils.data import DataLoader

from medzoo.lightning_modules import SegmentationModule, TranslationModule, constant_then_linear
from medzoo.models import DeepSupervisionDiceCELoss
from medzoo.models.translation import ImagePool, ResNetGenerator

ADAM = partial(torch.optim.Adam, lr=1e-2)
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Shift(nn.Module):
    """A generator of one number."""

    def __init__(self, by=0.0):
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x):
        return x + self.by


class Judge(nn.Module):
    """Says how far the mean is from where it should be."""

    def __init__(self, mean):
        super().__init__()
        self.mean, self.bias = mean, nn.Parameter(torch.tensor(0.0))

    def forward(self, x):
        return [x, 1 - (x.mean((1, 2, 3)) - self.mean).abs() + self.bias]


class Bright(nn.Module):
    """Foreground where a pixel is above 0.5."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(8.0))

    def forward(self, x):
        return [torch.cat([-self.gain * (x - 0.5), self.gain * (x - 0.5)], 1)]


def segmentation():
    return SegmentationModule(Bright(), DeepSupervisionDiceCELoss(), ADAM, num_classes=2, patch_size=[4, 8, 8])


def module(to_b=None, to_a=None, **options):
    parts = (to_b or Shift(), to_a or Shift(), Judge(-0.4), Judge(0.4))
    return TranslationModule(*parts, ADAM, downstream=segmentation(), **options)


def test_the_generator_has_the_layers_of_the_paper_and_takes_any_size():
    # c7s1-64, d128, d256, nine R256, u128, u64, c7s1-3: 11.378 million weights with biases, as in the released models
    net = ResNetGenerator(3)
    assert sum(weight.numel() for weight in net.parameters()) == 11_378_179
    small = ResNetGenerator(1, channels=4, blocks=1)
    said = small(torch.rand(2, 1, 13, 18))
    assert said.shape == (2, 1, 13, 18)
    assert said.abs().max() <= 1
    said.sum().backward()
    assert all(weight.grad is not None for weight in small.parameters())


def test_the_pool_gives_back_older_images_half_of_the_time():
    torch.manual_seed(0)
    pool = ImagePool(50)
    for number in range(50):
        assert pool(torch.full((1, 1, 1, 1), float(number))).item() == number, "until it is full"
    given = [pool(torch.full((1, 1, 1, 1), 100.0 + number)).item() for number in range(1000)]
    old = sum(value != 100.0 + number for number, value in enumerate(given))
    assert 420 < old < 580
    none = ImagePool(0)
    assert torch.equal(none(torch.ones(2, 1, 1, 1)), torch.ones(2, 1, 1, 1))


def test_the_loss_is_that_of_the_paper():
    a, b = torch.full((2, 1, 4, 4), -0.4), torch.full((2, 1, 4, 4), 0.4)
    model = module(Shift(0.5), Shift(-0.6))
    loss, fake_a, fake_b = model._generators(a, b)
    assert torch.allclose(fake_a, b - 0.6)
    assert torch.allclose(fake_b, a + 0.5)
    adversarial = 0.2**2 + 0.3**2  # how far the means of both are from where they should be
    cycle = 0.1 + 0.1  # there and back again
    identity = 0.6 + 0.5
    assert loss.item() == pytest.approx(adversarial + 10 * (cycle + 0.5 * identity), abs=1e-5)


def test_training_moves_one_kind_onto_the_other():
    torch.manual_seed(0)
    a, b = 0.3 + 0.02 * torch.randn(4, 1, 8, 8), 0.5 + 0.02 * torch.randn(4, 1, 8, 8)
    batches = DataLoader([{"image": a, "other": b, "id": list("abcd")}] * 20, batch_size=None)
    model = module(identity_weight=0.0, cycle_weight=0.1)
    model.discriminator_a.mean, model.discriminator_b.mean = -0.4, 0.0  # of the images in [-1, 1]
    trainer = L.Trainer(accelerator="cpu", max_epochs=3, num_sanity_val_steps=0, **QUIET)
    trainer.fit(model, batches, batches)
    assert trainer.global_step == 60, "the discriminators' steps are not counted"
    assert model.to_a.by.item() == pytest.approx(-0.4, abs=0.1)
    assert model.to_b.by.item() == pytest.approx(0.4, abs=0.1)
    logged = trainer.callback_metrics
    assert logged["val/kid"] < 0.2 * logged["val/raw_kid"]
    assert model.downstream.net.gain.item() == 8, "the segmentation stays as it is"


def test_volumes_are_translated_slice_by_slice_and_segmented():
    model = module(to_a=Shift(-0.4))  # in [-1, 1]: 0.2 darker in [0, 1]
    image = torch.rand(1, 1, 20, 8, 8)
    assert torch.allclose(model(image), image - 0.2, atol=1e-6)
    batch = {"image": image, "size": (20, 8, 8), "id": ["x"], "mask": torch.zeros(1, 20, 8, 8)}
    with torch.no_grad():
        said = model.eval().test_step(batch, 0)
    assert torch.equal(said["mask"][0].bool(), image[0, 0] > 0.7)
    with pytest.raises(ValueError, match="pretrained=a: no such stage"):
        module(pretrained="a").receive({})


def test_the_rate_is_constant_and_then_falls_to_0():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=2.0)
    schedule = constant_then_linear(optimizer, epochs=10)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([2, 2, 2, 2, 2, 2, 1.6, 1.2, 0.8, 0.4])
    assert optimizer.param_groups[0]["lr"] == 0


def test_a_discriminator_sees_patches_of_70_pixels():
    torch.manual_seed(0)
    judge = PatchDiscriminator(2, channels=4, in_channels=1, num_layers_d=3, norm="INSTANCE").eval()
    image = torch.zeros(1, 1, 256, 256, requires_grad=True)
    for layer in judge.modules():  # instance normalisation mixes all places
        if isinstance(layer, nn.InstanceNorm2d):
            layer.forward = lambda x: x
    said = judge(image)[-1]
    said[0, 0, said.shape[2] // 2, said.shape[3] // 2].backward()
    seen = image.grad[0, 0].nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]
