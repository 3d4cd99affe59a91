"""The autoencoder as a module: it learns real ultrasound, and its score is one of the image."""

import re
from dataclasses import replace
from functools import partial

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image

from medzoo.datamodules import FetalHeartDataModule, FetalHeartPhantom, MedMNISTDataModule
from medzoo.evaluation.nomogram.reading import read_nomogram
from medzoo.lightning_modules import NomogramSettings, ResidualVAEModule
from medzoo.models import ImageVAELoss, ResidualVAE
from tests.conftest import REAL_DATA


def module(size, channels=1, **options):
    torch.manual_seed(0)
    net = ResidualVAE(image_size=size, in_channels=channels, channels=(8, 16, 16), num_res_blocks=1, latent_features=16)
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
    made.score.take(**({"weight": np.arange(16.0), "bias": 1.0} if kind == "probe" else {}))
    image = torch.rand(3, 1, 16, 20, requires_grad=True)
    scores = made.image_score(image)
    alone = torch.cat([made.image_score(image[k : k + 1]) for k in range(3)])
    assert torch.allclose(scores, alone, atol=1e-5)
    scores.sum().backward()
    assert image.grad.abs().sum() > 0
    assert set(made.predict_step({"id": ["a"], "image": image[:1].detach()}, 0)) == {"id", "score"}


def hearts(root, views=1, **options):
    phantom = FetalHeartPhantom(8, 6, views=views, size=32, readers=False)
    data = FetalHeartDataModule(
        root, phantom=phantom, image_size=[32, 32], mean=0.0, std=1.0, batch_size=8, predictors=[], **options
    )
    data.prepare_data()
    data.setup("fit")
    return data


def test_the_score_is_fitted_where_there_are_labels_and_unknown_where_there_are_none(tmp_path):
    data, made = hearts(tmp_path), module((32, 32)).eval()
    batch = {"id": ["a"], "image": torch.rand(1, 1, 32, 32)}
    assert made.predict_step(batch, 0)["score"].isnan().all(), "no number is made up"
    with torch.no_grad():
        made.finalize(data)
        assert made.predict_step(batch, 0)["score"].isfinite().all()
    data._cases = replace(data._cases, positive=None)
    other = module((32, 32)).eval()
    other.finalize(data)
    assert not bool(other.score.fitted)


def test_a_score_that_is_not_out_of_fold_says_so():
    assert module((16, 20)).nomogram_notes == ()
    (note,) = module((16, 20), score="reconstruction").nomogram_notes
    assert "is not out of fold" in note


def test_a_nomogram_is_named_after_the_classes(tmp_path):
    data = hearts(tmp_path, class_names=["clear", "pneumonia"])
    made = module((32, 32), nomogram=NomogramSettings(folds=2, resamples=1)).eval()
    with torch.no_grad():
        made.finalize(data)
        reading = read_nomogram(made.nomogram)
        table = made.case_table(data, "test")
    assert reading.outcome == "pneumonia"
    assert [axis.name for axis in reading.nomogram.axes] == ["image_score"]
    assert table.x.shape == (len(table.names), 1)
    assert [*made.case_probabilities(table)][:2] == ["nomogram", "image score"]


@pytest.mark.parametrize(("own", "other"), [("mean", "max"), ("max", "mean")])
def test_the_largest_and_the_mean_of_a_cases_images_are_read_from_one_checkpoint(tmp_path, own, other):
    data = hearts(tmp_path, views=2)
    made = module((32, 32), nomogram=NomogramSettings(folds=2, resamples=1, aggregate=own)).eval()
    again = module((32, 32), nomogram=NomogramSettings(folds=2, resamples=1, aggregate=other)).eval()
    with torch.no_grad():
        made.finalize(data)
        again.finalize(data)
        prob, table = made.case_probabilities(made.case_table(data, "test")), made.case_table(data, "test")
        swapped = again.case_probabilities(again.case_table(data, "test"))
    names, scores = np.array(table.images.case), table.images.score
    by_hand = [getattr(scores[names == name], other)() for name in table.names]
    assert table.aggregates[other] == pytest.approx(by_hand)
    for model in ("nomogram", "image score"):
        assert prob[f"{model}, {other} of images"] == pytest.approx(swapped[model])
        assert prob[model] == pytest.approx(swapped[f"{model}, {own} of images"])
