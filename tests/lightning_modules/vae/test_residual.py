"""The autoencoder as a module: it learns real ultrasound, and its score is one of the image."""

import re
from dataclasses import replace
from functools import partial

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp

from medzoo.datamodules import FetalHeartDataModule, FetalHeartPhantom, MedMNISTDataModule
from medzoo.evaluation.nomogram.reading import read_nomogram
from medzoo.lightning_modules import NomogramSettings, ResidualVAEModule
from medzoo.models import ImageVAELoss, ResidualVAE
from tests.conftest import REAL_DATA

EPOCHS = 25


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


def quiet(epochs):
    words = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    return L.Trainer(accelerator="cpu", max_epochs=epochs, **dict.fromkeys(words, False))


def test_errors_of_images_that_were_learnt_are_refused_before_training(tmp_path):
    data = hearts(tmp_path)
    made = module((32, 32), score="reconstruction", nomogram=NomogramSettings(folds=2, resamples=1))
    with pytest.raises(ValueError, match=r"set datamodule\.learn_from=normal"):
        quiet(1).fit(made, data)
    with pytest.raises(ValueError, match=r"set datamodule\.learn_from=normal"):
        made.finalize(data)
    assert module((16, 20)).nomogram_notes == ()


@pytest.fixture(scope="module")
def memorised(tmp_path_factory):
    """An autoencoder that has learnt few normal hearts by heart, and its nomogram."""
    phantom = FetalHeartPhantom(150, 70, views=1, size=32, readers=False)
    shares = {"val_share": 0.35, "test_share": 0.4, "learn_from": "normal", "predictors": ["LV_RV_area_ratio"]}
    folder = tmp_path_factory.mktemp("normal")
    size = {"image_size": [32, 32], "mean": 0.0, "std": 1.0, "batch_size": 8}
    data = FetalHeartDataModule(folder, phantom=phantom, **size, **shares)
    data.prepare_data()
    data.setup("fit")
    settings = NomogramSettings(folds=3, resamples=2)
    made = module((32, 32), score="reconstruction", nomogram=settings)
    made.criterion.beta = 0.0
    quiet(EPOCHS).fit(made, data)
    with torch.no_grad():
        made.eval().finalize(data)
    return made, data


def test_training_batches_hold_normal_cases_alone(memorised):
    _, data = memorised
    learnt = [name for batch in data.train_dataloader() for name in batch["id"]]
    cases = data.cases("train")
    normal = {name for name, positive in zip(cases.names, cases.positive, strict=True) if not positive}
    assert {data.case_of(name) for name in learnt} == normal
    assert len(data.split["train"]) > len(learnt), "all are there to be scored"


def test_errors_of_the_development_are_those_of_new_cases(memorised):
    """Of each class, the errors that the nomogram is fitted to have the distribution of the test's; learnt ones not."""
    made, data = memorised
    with torch.no_grad():
        tables = {split: made.case_table(data, split) for split in ("train", "val", "test")}
    score = {(split, sick): t.x[t.positive == sick, -1] for split, t in tables.items() for sick in (False, True)}
    assert ks_2samp(score["val", False], score["test", False]).pvalue > 0.01
    sick = np.concatenate([score["train", True], score["val", True]])
    assert ks_2samp(sick, score["test", True]).pvalue > 0.01
    assert ks_2samp(score["train", False], score["test", False]).pvalue < 1e-6, "the autoencoder has learnt these"
    fitted = np.concatenate([sick, score["val", False]])
    assert made.nomogram.low[-1] == pytest.approx(fitted.min())
    assert made.nomogram.high[-1] == pytest.approx(fitted.max())
    assert made.nomogram.record["counts"]["train"][0] == len(score["train", True])


def test_probabilities_hold_at_the_share_of_the_study(memorised):
    """Weighted back to the study, the cases of the fit have its share of positive ones in truth and in prediction."""
    made, data = memorised
    cases = data.cases("train", "val")
    reading = read_nomogram(made.nomogram)
    assert reading.share == cases.positive.mean()
    with torch.no_grad():
        table = made.case_table(data, "train", "val")
    fitted = table.positive | (np.array(table.split) == "val")
    rows = replace(table, x=table.x[fitted], aggregates={how: x[fitted] for how, x in table.aggregates.items()})
    prob, positive = made.case_probabilities(rows), table.positive[fitted]
    assert reading.model.predict(rows.x) == pytest.approx(prob["nomogram"])
    drawn, share = positive.mean(), reading.share
    odds = prob["nomogram"] / (1 - prob["nomogram"]) * (drawn / (1 - drawn)) / (share / (1 - share))
    assert (odds / (1 + odds)).mean() == pytest.approx(drawn), "as the regression was fitted"
    weight = np.where(positive, share / drawn, (1 - share) / (1 - drawn))
    assert np.average(prob["nomogram"], weights=weight) == pytest.approx(share, abs=0.02)
    (note,) = made.nomogram_notes
    assert "has not learnt from" in note
    assert "that take no further part" in made.nomogram_method["model"]


def test_too_few_normal_cases_to_score_are_told_before_training(tmp_path):
    with pytest.raises(
        ValueError, match=r"learn_from=normal: 5 normal cases for training and 1 for validation; .*val_share"
    ):
        hearts(tmp_path, learn_from="normal")


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
