import csv
from functools import partial

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from medzoo.callbacks import SyntheticImages
from medzoo.evaluation.measures.synthesis import frechet_distance, inception_score
from medzoo.lightning_modules import ImageDiffusionModule
from medzoo.models import DPMSolverPP2M, linear_schedule
from tests.datamodules.hematoma.test_slices import module as slices
from tests.datamodules.hematoma.test_slices import write

ADAM = partial(torch.optim.Adam, lr=1e-3)
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Ideal(nn.Module):
    """The velocity where images are independent Gaussians of a mean and a spread: known in closed form."""

    def __init__(self, schedule, mean=0.3, std=0.2):
        super().__init__()
        self.schedule, self.mean, self.std = schedule, mean, std
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, x, t):
        alpha, sigma = (each(t)[:, None, None, None] for each in (self.schedule.alpha, self.schedule.sigma))
        gain = alpha * self.std**2 / (alpha**2 * self.std**2 + sigma**2)
        clean = self.mean + gain * (x - alpha * self.mean)
        return (alpha * x - clean) / sigma + self.shift


def module(**options):
    schedule = linear_schedule()
    net = Ideal(schedule)
    return ImageDiffusionModule(net, schedule, DPMSolverPP2M(20), ADAM, image_shape=(1, 16, 16), **options).eval()


def test_made_images_have_the_distribution_that_was_learnt():
    made = module().generate(40, seed=0)
    assert made.shape == (40, 1, 16, 16)
    pixels = 2 * made - 1
    assert pixels.mean().item() == pytest.approx(0.3, abs=0.01)
    assert pixels.std().item() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(made, module(images_at_once=7).generate(40, seed=0)), "however many at once"
    assert not torch.equal(made, module().generate(40, seed=1))


def test_loss_is_least_for_the_ideal_network_and_the_same_in_every_validation():
    torch.manual_seed(0)
    model = module()
    images = 0.3 + 0.2 * torch.randn(64, 1, 16, 16)
    t, noise = torch.arange(0, 960, 15), torch.randn(64, 1, 16, 16)
    best = model._loss(images, t, noise).item()
    for shift in (-0.2, 0.2):
        model.net.shift.data.fill_(shift)
        assert model._loss(images, t, noise).item() > best
    logged = []
    model.log = lambda name, value, **_: logged.append((name, float(value)))
    for _ in range(2):
        model.validation_step({"image": images}, 3)
    assert logged[0] == logged[1]
    assert logged[0][0] == "val/loss"


def test_made_images_are_written_and_judged(tmp_path):
    write(tmp_path / "set", {"train": {"HE": 6, "NHE": 1}, "val": {"HE": 2, "NHE": 1}, "test": {"HE": 5, "NHE": 1}})
    data = slices(tmp_path / "set", expansion_only=True)
    made = SyntheticImages(count=20)
    trainer = L.Trainer(accelerator="cpu", default_root_dir=tmp_path / "run", callbacks=[made], **QUIET)
    trainer.test(module(), data, verbose=False)
    said = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert all("NHE" not in name for name in data.split["train"]), "of the class alone"
    assert said["test/kid"] > said["test/real_kid"], "Gaussian noise is no even noise"
    assert said["test/copied"] == 0
    with (tmp_path / "run" / "synthetic" / "manifest.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == 20
    assert all(row["nearest"] in data.split["train"] for row in rows)
    images = np.stack([np.asarray(Image.open(tmp_path / "run" / "synthetic" / row["file"])) for row in rows])
    assert np.allclose(images, 255 * module().generate(20, seed=0)[:, 0].numpy(), atol=0.5)
    assert (tmp_path / "run" / "figures" / "synthetic.png").is_file()


def test_features_can_be_given(tmp_path):
    write(tmp_path / "set", {"train": {"HE": 2, "NHE": 1}, "val": {"HE": 2, "NHE": 1}, "test": {"HE": 2, "NHE": 1}})
    data = slices(tmp_path / "set", expansion_only=True)
    features = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    trainer = L.Trainer(
        accelerator="cpu", default_root_dir=tmp_path, callbacks=[SyntheticImages(8, 0, features)], **QUIET
    )
    trainer.test(module(), data, verbose=False)
    real = torch.cat([features(batch["image"]) for batch in data.plain("train")])
    made = features(module().generate(8, seed=0))
    expected = frechet_distance(made.double().numpy(), real.double().numpy())
    assert float(trainer.callback_metrics["test/fid"]) == pytest.approx(expected, rel=1e-4)


class Trained(nn.Module):
    """A classifier that was trained on images of 8 pixels of mean 0.5 and spread 0.25."""

    config = {"datamodule": {"image_size": 8, "mean": 0.5, "std": 0.25}}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.below, self.head = nn.Linear(64, 3), nn.Linear(3, 2)

    def forward(self, images):
        return self.head(self.below(images.flatten(1)).relu())


def test_a_classifier_gives_features_and_the_inception_score(tmp_path):
    write(tmp_path / "set", {"train": {"HE": 2, "NHE": 1}, "val": {"HE": 2, "NHE": 1}, "test": {"HE": 2, "NHE": 1}})
    data = slices(tmp_path / "set", expansion_only=True)
    torch.manual_seed(0)
    trained = Trained()
    judged = SyntheticImages(8, 0, classifier=lambda: trained)
    trainer = L.Trainer(accelerator="cpu", default_root_dir=tmp_path, callbacks=[judged], **QUIET)
    trainer.test(module(), data, verbose=False)
    real = torch.cat([batch["image"] for batch in data.plain("train")])
    seen = [
        (nn.functional.interpolate(images, (8, 8), mode="bilinear", antialias=True) - 0.5) / 0.25
        for images in (module().generate(8, seed=0), real)
    ]
    with torch.no_grad():
        made, known = (trained.below(images.flatten(1)).relu().double().numpy() for images in seen)
        score = inception_score(trained(seen[0]).double().softmax(1).numpy())
    assert float(trainer.callback_metrics["test/fid"]) == pytest.approx(frechet_distance(made, known), rel=1e-3)
    assert float(trainer.callback_metrics["test/inception_score"]) == pytest.approx(score, rel=1e-5)
    with pytest.raises(ValueError, match="give features or a classifier"):
        SyntheticImages(features=nn.Identity(), classifier=Trained)
