"""The autoencoder as a module: it learns real ultrasound, and its score is one of the image."""

import re
from functools import partial

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import FetalHeartDataModule, MedMNISTDataModule
from lightning_modules import ResidualVAEModule
from models import ImageVAELoss, ResidualVAE
from tests.conftest import REAL_DATA


def module(size, channels=1, **options):
    torch.manual_seed(0)
    net = ResidualVAE(image_size=size, in_channels=channels, channels=(8, 16, 16), blocks=1, latent=16)
    return ResidualVAEModule(net, ImageVAELoss(warmup_steps=20), partial(torch.optim.AdamW, lr=2e-3), **options)


def learnt(datamodule, epochs):
    """Mean squared error of validation images before and after training, and SSIM after it."""
    datamodule.prepare_data()
    datamodule.setup("fit")
    made = module(datamodule.image_size)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(accelerator="cpu", max_epochs=epochs, **quiet)
    before = trainer.validate(made, datamodule, verbose=False)[0]
    trainer.fit(made, datamodule)
    after = trainer.validate(made, datamodule, verbose=False)[0]
    return before["val/error"], after["val/error"], after["val/ssim"]


def test_it_learns_breast_ultrasound(medmnist_root):
    said = learnt(MedMNISTDataModule("breastmnist", root=medmnist_root, mean=0.0, std=1.0, batch_size=32), 6)
    assert said[1] < 0.5 * said[0]


def test_it_learns_fetal_heads(tmp_path):
    source = REAL_DATA / "fetal-us" / "hc18" / "training_set"
    if not source.is_dir():
        pytest.skip(f"no HC18 in {source}; name the folder above `fetal-us` with MEDZOO_REAL_DATA")
    (tmp_path / "images").mkdir()
    names = [file for file in sorted(source.glob("*.png")) if re.fullmatch(r"\d+_\d*HC", file.stem)][:40]
    for file in names:
        Image.open(file).convert("L").resize((160, 108)).save(tmp_path / "images" / file.name)
    cases = sorted({file.stem.split("_")[0] for file in names})
    (tmp_path / "cases.csv").write_text("\n".join(["case", *cases]) + "\n")
    data = FetalHeartDataModule(tmp_path, image_size=[48, 64], mean=0.0, std=1.0, batch_size=8, predictors=[])
    said = learnt(data, 8)
    assert said[1] < 0.6 * said[0]


@pytest.mark.parametrize("kind", ["probe", "mahalanobis", "reconstruction"])
def test_scores_are_of_each_image_and_differentiable(kind):
    made = module((16, 20), score=kind).eval()
    made.set_score(**({"weight": np.arange(16.0), "bias": 1.0} if kind == "probe" else {}))
    image = torch.rand(3, 1, 16, 20, requires_grad=True)
    scores = made.image_score(image)
    alone = torch.cat([made.image_score(image[k : k + 1]) for k in range(3)])
    assert torch.allclose(scores, alone, atol=1e-5)
    scores.sum().backward()
    assert image.grad.abs().sum() > 0
    assert set(made.predict_step({"id": ["a"], "image": image[:1].detach()}, 0)) == {"id", "score"}
