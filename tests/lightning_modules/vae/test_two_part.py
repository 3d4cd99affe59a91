"""The VAEs with a code of two parts: who moves when, what is in the state, what odd batches do."""

from functools import partial

import lightning as L
import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from medzoo.callbacks import LatentFigures, RepresentationReport
from medzoo.datamodules import MedMNISTPhantomDataModule, NPZDataModule
from medzoo.datamodules.radiomics import RadiomicsSettings
from medzoo.evaluation.regression.learners import tuned
from medzoo.evaluation.scores.representations import auc_of
from medzoo.lightning_modules import ContrastiveVAEModule, NonRedundantVAEModule
from medzoo.models import CLUB, DensityRatio, RadiomicsVAE, SalientVAE
from medzoo.models.fitted import pixels_of
from medzoo.models.losses import kl_to_normal
from medzoo.runtime.checkpoints.checkpoint import initialise

ADAM = partial(torch.optim.Adam, lr=1e-3)
SIZES = {"spatial_dims": 2, "in_channels": 1, "image_size": [16, 16]}
SMALL = {**SIZES, "channels": [2, 4], "strides": [1, 2], "kernels": [3, 3]}
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
BINARY = {"task": "binary", "num_classes": 2}


@pytest.fixture(autouse=True)
def few_trees(monkeypatch):
    """Forests take most of the time of these tests, and none asks how good they are."""
    monkeypatch.setattr(tuned, "TREES", 5)
    monkeypatch.setattr(tuned, "SEARCHED", 2)


def data(folder, name="two_signals", **options):
    options = {"counts": (24, 8, 12), "size": 16, "batch_size": 6, **options}
    module = MedMNISTPhantomDataModule(name, root=folder, radiomics=RadiomicsSettings("otsu_bright"), **options)
    module.prepare_data()
    module.setup()
    return module


def three_classes(folder, colours=()):
    rng = np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        arrays |= {
            f"{split}_images": rng.integers(0, 255, (18, 16, 16, *colours), np.uint8),
            f"{split}_labels": np.arange(18) % 3,
        }
    np.savez(folder / "three.npz", **arrays)
    settings = RadiomicsSettings("otsu_bright")
    return NPZDataModule(
        folder / "three.npz", task="multiclass", class_names=["a", "b", "c"], radiomics=settings, batch_size=6
    )


def vae(hcr=27, mi=DensityRatio, **options):
    torch.manual_seed(0)
    net = RadiomicsVAE(latent_features=3, condition_features=hcr, **SMALL)
    if mi:
        options |= {"mi": mi(first_features=hcr, second_features=3), "mi_optimizer": ADAM}
    return NonRedundantVAEModule(net, ADAM, **{**BINARY, **options})


def contrastive(**options):
    torch.manual_seed(0)
    net = SalientVAE(common_features=3, salient_features=2, **SMALL)
    mi = {"mi": DensityRatio(first_features=3, second_features=2), "mi_optimizer": ADAM}
    return ContrastiveVAEModule(net, ADAM, **{**BINARY, **mi, **options})


def run(module, datamodule, epochs=2, **options):
    trainer = L.Trainer(accelerator="cpu", max_epochs=epochs, num_sanity_val_steps=0, **{**QUIET, **options})
    trainer.fit(module, datamodule)
    module.eval().finalize(datamodule)
    return trainer


def batch_of(datamodule, split="train"):
    return next(iter(datamodule.ordered_dataloader(split)))


@pytest.mark.parametrize("mi", [None, DensityRatio, CLUB])
@pytest.mark.parametrize("build", [vae, contrastive], ids=["radiomics", "contrastive"])
def test_it_trains_and_counts_the_steps_of_the_vae_alone(mi, build, tmp_path):
    datamodule = data(tmp_path)
    module = build(mi=mi) if build is vae else build(**({} if mi else {"mi": None, "mi_optimizer": None}))
    trainer = run(module, datamodule)
    assert trainer.global_step == 2 * 4
    assert {"val/loss", "val/mse", "val/kl"} <= set(trainer.callback_metrics)
    assert ("val/mi" in trainer.callback_metrics) == (module.mi is not None)
    assert set(module.metric_names) <= set(trainer.callback_metrics)
    assert all(torch.isfinite(value).all() for value in module.state_dict().values())


class Watch(L.Callback):
    """Which of the two moved in a step: the weights before and after the call of an optimiser."""

    def __init__(self, module):
        self.moved, self.module = [], module
        for name, part in (("vae", module.net), ("mi", module.mi)):
            for weight in part.parameters():
                weight.part = name

    def on_train_start(self, trainer, pl_module):
        for optimizer, name in zip(trainer.optimizers, ("vae", "mi"), strict=True):
            optimizer.register_step_pre_hook(partial(self.look, name))

    def look(self, name, optimizer, *_):
        parts = {weight.part for group in optimizer.param_groups for weight in group["params"]}
        graded = [weight.grad is not None for group in optimizer.param_groups for weight in group["params"]]
        self.moved.append((name, parts, all(graded)))


@pytest.mark.parametrize("every", [0, 2])
def test_each_optimiser_moves_its_own_weights_at_its_own_time(every, tmp_path):
    module = vae(mi_every=every, mi_steps=5)
    watch = Watch(module)
    run(module, data(tmp_path), epochs=3, callbacks=[watch])
    assert all(parts == {name} and graded for name, parts, graded in watch.moved)
    order = [name for name, *_ in watch.moved]
    step, rest = ["vae", "mi"], ["mi"] * 5
    assert order == (step * 12 if not every else rest + ["vae"] * 8 + rest + ["vae"] * 4)


def test_penalty_reaches_the_encoder_and_weight_zero_does_not(tmp_path):
    datamodule = data(tmp_path)
    weights = {}
    for weight in (0.0, 0.0, 1e4):
        module = vae(mi_weight=weight)
        run(module, datamodule, epochs=1)
        weights.setdefault(weight, []).append(module.net.encoder.mean.weight.detach().clone())
    torch.manual_seed(0)
    assert torch.equal(*weights[0.0])
    assert not torch.equal(weights[0.0][0], weights[1e4][0])


def test_tested_and_predicted_alike_from_the_state_alone(tmp_path):
    datamodule = data(tmp_path)
    module = vae()
    trainer = run(module, datamodule, default_root_dir=tmp_path, callbacks=[RepresentationReport(20), LatentFigures()])
    trainer.test(module, datamodule, verbose=False)
    metrics = trainer.callback_metrics
    assert metrics["test/auc_hcr"] > 0.5
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {
        "areas", "correlation", "projections", "reconstructions", "traversals"
    }  # fmt: skip
    fresh = vae()
    fresh.load_state_dict(module.state_dict())
    fresh.eval()
    with torch.no_grad():
        prob = torch.cat([fresh.predict_step(b, 0)["prob"] for b in datamodule.ordered_dataloader("test")])
    label = torch.cat([b["label"] for b in datamodule.ordered_dataloader("test")])
    assert metrics["test/auc"].item() == pytest.approx(auc_of(label.numpy(), prob.numpy()))
    assert not torch.equal(fresh.hcr_mean, torch.zeros(27)), "the scale of the training images is in the state"


def test_more_than_two_classes(tmp_path):
    datamodule = three_classes(tmp_path)
    module = vae(task="multiclass", num_classes=3, supervision=1.0, probe_every=1)
    trainer = run(module, datamodule, default_root_dir=tmp_path, callbacks=[RepresentationReport(20)])
    assert "val/auc" in module.metric_names
    assert "val/auc" in trainer.callback_metrics
    trainer.test(module, datamodule, verbose=False)
    assert 0 <= trainer.callback_metrics["test/auc"] <= 1


def test_colour_images_of_three_classes(tmp_path):
    datamodule = three_classes(tmp_path, colours=(3,))
    torch.manual_seed(0)
    datamodule.setup()
    assert datamodule.hcr_features == 81
    net = RadiomicsVAE(latent_features=3, condition_features=81, **SMALL | {"in_channels": 3})
    module = NonRedundantVAEModule(net, ADAM, task="multiclass", num_classes=3)
    callbacks = [RepresentationReport(20), LatentFigures()]
    trainer = run(module, datamodule, default_root_dir=tmp_path, callbacks=callbacks)
    trainer.test(module, datamodule, verbose=False)
    told = trainer.callback_metrics
    assert {f"test/auc{each}" for each in ("", "_pixels", "_hcr_pca", "_dlr_forest", "_svm")} <= {*told}
    again = NonRedundantVAEModule(net, ADAM, task="multiclass", num_classes=3)
    again.load_state_dict(module.state_dict())
    assert again.set_names == module.set_names


def test_probes_are_fitted_on_training_images_and_a_set_sees_its_part_alone(tmp_path):
    datamodule, module = data(tmp_path), vae(probe_every=1)
    run(module, datamodule, epochs=1)
    assert (module.probes.weight[0, :, 27:] == 0).all()
    assert (module.probes.weight[1, :, :27] == 0).all()
    assert (module.probes.weight[2, 1] != 0).all()


def test_pixels_are_compared_from_the_training_images_and_kept(tmp_path):
    datamodule, module = data(tmp_path), vae(probe_every=1)
    assert module.set_names == ("HCR", "DLR", "HCR + DLR"), "a checkpoint from before has no more"
    run(module, datamodule, epochs=1)
    assert module.set_names[3:6] == ("pixels", "PCA 32", "HCR + PCA 32")
    rows = [(batch["image"], batch["label"]) for batch in datamodule.ordered_dataloader("train")]
    pixels, label = (torch.cat(each) for each in zip(*rows, strict=True))
    expected = LogisticRegression(max_iter=2000).fit(pixels.flatten(1).double().numpy(), label.numpy())
    again = vae()
    again.load_state_dict(module.state_dict())
    batch = batch_of(datamodule)
    said = again.pixel_probes(batch["image"], torch.zeros(len(batch["image"]), 27))[:, 0].numpy()
    assert said == pytest.approx(expected.predict_proba(batch["image"].flatten(1).double().numpy()), abs=1e-3)


def test_forests_and_machines_of_the_parts_are_kept_and_told_with_their_validation(tmp_path):
    datamodule, module = data(tmp_path, counts=(60, 20, 20)), vae()
    trainer = run(module, datamodule, epochs=1, default_root_dir=tmp_path, callbacks=[RepresentationReport(20)])
    assert module.set_names[6:] == tuple(
        f"{part}, {learner}"
        for learner in ("forest", "SVM")
        for part in ("HCR", "DLR", "HCR + DLR", "PCA 32", "HCR + PCA 32")
    )
    trainer.test(module, datamodule, verbose=False)
    told = trainer.callback_metrics
    for suffix in (
        "_hcr_forest",
        "_dlr_forest",
        "_forest",
        "_pca_svm",
        "_hcr_pca_forest",
        "_svm",
        "_hcr_pca",
        "_pixels",
    ):
        assert 0 <= told[f"test/auc{suffix}"] <= 1
    again = vae()
    again.load_state_dict(module.state_dict())
    held = datamodule.ordered_dataloader("val")
    rows = [(again.all_probabilities(batch, *again.features(batch)).detach(), batch["label"]) for batch in held]
    prob, label = (torch.cat(each).numpy() for each in zip(*rows, strict=True))
    for index, suffix in ((1, "_dlr"), (2, ""), (8, "_forest"), (13, "_svm"), (15, "_hcr_pca_svm")):
        assert told[f"test/validation_auc{suffix}"].item() == pytest.approx(auc_of(label, prob[:, index]))
    first, second, truth = module.of_split(datamodule, "train")
    held = [*datamodule.ordered_dataloader("train")]
    pixels = torch.cat([pixels_of(batch["image"]) for batch in held]).numpy()
    codes = PCA(32, whiten=True, random_state=0).fit_transform(pixels)
    assert again.pixel_probes.components(held[0]["image"]).numpy() == pytest.approx(codes[:6], abs=1e-6)
    expected = tuned.fit_learners(torch.cat([first, second], 1).double().numpy(), truth.numpy(), 2)
    batch = batch_of(datamodule)
    both = torch.cat(again.features(batch), 1).detach()
    said = again.all_probabilities(batch, both[:, :27], both[:, 27:]).detach().numpy()
    assert said[:, 8] == pytest.approx(expected.forest.predict_proba(both.double().numpy()), abs=1e-6)
    assert said[:, 13] == pytest.approx(expected.machine.predict_proba(both.double().numpy()), abs=1e-6)


def test_a_checkpoint_without_learners_is_read_as_before(tmp_path):
    datamodule, module = data(tmp_path), vae()
    trainer = run(module, datamodule, epochs=1, callbacks=[RepresentationReport(20)], default_root_dir=tmp_path)
    state = {name: value for name, value in module.state_dict().items() if not name.startswith(("learned", "areas"))}
    old = vae()
    initialise(old, {"state_dict": state}, tmp_path / "old.ckpt")
    assert old.set_names == module.set_names[:6]
    trainer.test(old.eval(), datamodule, verbose=False)
    assert "test/auc_hcr_pca" in trainer.callback_metrics
    assert not any("svm" in name or "validation" in name for name in trainer.callback_metrics)


def test_large_images_are_averaged_down():
    image = torch.rand(2, 3, 56, 84)
    expected = image.unfold(2, 2, 2).unfold(3, 3, 3).mean((-1, -2)).flatten(1)
    torch.testing.assert_close(pixels_of(image), expected.double(), atol=1e-6, rtol=0)
    assert pixels_of(torch.rand(2, 1, 28, 56, 7)).shape == (2, 14 * 14 * 7)


def test_a_batch_of_one_image_has_no_pair_to_learn_from(tmp_path):
    module = vae()
    run(module, data(tmp_path, counts=(19, 6, 6)), epochs=1)  # the last batch holds one image
    assert all(torch.isfinite(weight).all() for weight in module.parameters())


def test_masked_reconstruction_counts_and_shows_the_mask_alone(tmp_path):
    datamodule = data(tmp_path, give_mask=True)
    module, batch = vae(masked=True).eval(), batch_of(datamodule)
    code = module.encode(batch)
    other = {**batch, "image": torch.where(batch["mask"], batch["image"], torch.randn(batch["image"].shape))}
    assert torch.equal(module.encode(other)[1][0], code[1][0])
    parts = code[0][0], code[1][0]
    terms = module.terms(batch, code, parts)
    squared = (module.decode(*parts) - batch["image"]).square()
    assert terms["mse"].item() == pytest.approx(squared[batch["mask"]].mean().item(), rel=1e-4)
    assert module.terms(other, code, parts)["error"].item() == pytest.approx(terms["error"].item(), rel=1e-5)
    empty = {**batch, "mask": torch.zeros_like(batch["mask"])}
    assert module.terms(empty, module.encode(empty), parts)["mse"].item() == 0
    with pytest.raises(ValueError, match="give_mask=true"):
        module.encode({"image": batch["image"], "hcr": batch["hcr"]})


def test_missing_radiomics_are_the_mean_of_training(tmp_path):
    module, batch = vae(), batch_of(data(tmp_path))
    batch["hcr"] = torch.full_like(batch["hcr"], float("nan"))
    assert (module.encode(batch)[0][0] == 0).all()


def test_background_images_have_no_salient_part(tmp_path):
    module = contrastive(background=0, background_prior=0.05, classifier_weight=1.0, penalise="all")
    batch = batch_of(data(tmp_path, "lesion_or_none"))
    code = module.encode(batch)
    (common, _), (salient, spread) = code
    background = batch["label"] == 0
    assert 0 < background.sum() < len(background)
    said = module.reconstruct(batch, (common, salient))
    assert torch.allclose(said[background], module.decode(common, 0 * salient)[background], atol=1e-6)
    assert torch.allclose(said[~background], module.decode(common, salient)[~background], atol=1e-6)
    terms = module.terms(batch, code, (common, salient))
    near = sum((salient[k] ** 2).sum() / (2 * 0.05) for k in background.nonzero()[:, 0]) / len(background)
    assert terms["background"].item() == pytest.approx(near.item(), rel=1e-4)
    kl = kl_to_normal(salient, spread)[~background].sum() / len(background)
    assert terms["salient"].item() == pytest.approx(kl.item(), rel=1e-4)


def test_pairs_that_are_penalised(tmp_path):
    batch = batch_of(data(tmp_path, "lesion_or_none"))
    parts = torch.randn(6, 3), torch.randn(6, 2)
    assert len(contrastive(penalise="all").penalised(batch, parts)[0]) == 6
    assert len(contrastive(penalise="target").penalised(batch, parts)[0]) == int(batch["label"].sum())
    batch["label"][:] = 0  # a batch without target
    module = contrastive(penalise="target")
    assert torch.isfinite(module.training_step(batch, 0))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: vae(hcr=0), "no hand-crafted radiomics"),
        (lambda: vae(task="multilabel"), "one label"),
        (lambda: vae(sigma=0.0), "sigma=0"),
        (lambda: vae(mi=None, mi_optimizer=ADAM), "go together"),
        (lambda: contrastive(background=2), "classes 0 to 1"),
        (lambda: contrastive(background_prior=-1.0), "positive"),
    ],
)
def test_mistakes_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
