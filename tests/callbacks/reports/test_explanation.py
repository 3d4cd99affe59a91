import itertools
import logging
from functools import partial
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from torch import nn

import medzoo.callbacks.reports.explanation.gradcam
from medzoo.callbacks import GradCAMFigures
from medzoo.callbacks.reports.explanation.gradcam import Explained, _chosen
from medzoo.evaluation.explanation.gradcam import grad_cam
from medzoo.evaluation.explanation.one_modality import OneModality
from medzoo.lightning_modules import ClassificationModule, FusionModule
from medzoo.models import ClassificationLoss, LateFusion, TableEncoder

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Images(L.LightningDataModule):
    """Noise of one channel; every batch has each class."""

    def __init__(self, task="binary", classes=2, size=(12, 16), batches=3):
        super().__init__()
        self.task, self.class_names = task, [f"class {k}" for k in range(classes)]
        generator = torch.Generator().manual_seed(3)
        self.batches = [
            {
                "image": torch.randn(6, 1, *size, generator=generator),
                "label": torch.eye(classes)[torch.arange(6) % classes]
                if task == "multilabel"
                else torch.arange(6) % classes,
                "id": [f"Smith_{batch}{index}" for index in range(6)],
            }
            for batch in range(batches)
        ]

    def test_dataloader(self):
        return torch.utils.data.DataLoader(self.batches, batch_size=None)

    train_dataloader = test_dataloader


def network(classes, dims=2):
    conv, pool = ((nn.Conv2d, nn.AdaptiveAvgPool2d), (nn.Conv3d, nn.AdaptiveAvgPool3d))[dims - 2]
    torch.manual_seed(0)
    net = nn.Sequential(conv(1, 4, 3, stride=2), nn.ReLU(inplace=True), pool(1), nn.Flatten(), nn.Linear(4, classes))
    nn.init.normal_(net[-1].weight, std=3)
    return net


def run_test(folder, data, callback, verb="test", **options):
    """Test (or fit) an untrained classifier, in inference mode as Lightning does by default."""
    classes, dims = len(data.class_names), data.batches[0]["image"].ndim - 2
    criterion, adam = ClassificationLoss(data.task), partial(torch.optim.Adam, lr=1e-3)
    module = ClassificationModule(network(classes, dims), criterion, adam, task=data.task, num_classes=classes)
    trainer = L.Trainer(accelerator="cpu", default_root_dir=folder, callbacks=[callback], **QUIET, **options)
    getattr(trainer, verb)(module, datamodule=data)
    return module


@pytest.fixture
def drawn(monkeypatch):
    """Arguments of each figure that is drawn."""
    calls = []
    real = medzoo.callbacks.reports.explanation.gradcam.explanation_figure

    def note(*arguments):
        calls.append(
            SimpleNamespace(**dict(zip(("images", "maps", "targets", "labels", "prob"), arguments, strict=False)))
        )
        calls[-1].figure = real(*arguments)
        return calls[-1].figure

    monkeypatch.setattr(medzoo.callbacks.reports.explanation.gradcam, "explanation_figure", note)
    return calls


@pytest.mark.parametrize(("classes", "size"), [(2, (12, 16)), (3, (12, 16)), (2, (8, 12, 10))])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_a_test_draws_the_maps_of_the_tested_network(classes, size, precision, drawn, tmp_path):
    data = Images("binary" if classes == 2 else "multiclass", classes, size)
    module = run_test(tmp_path, data, GradCAMFigures(cases=4), precision=precision)
    assert (tmp_path / "figures" / "gradcam.png").is_file()
    (shown,) = drawn
    assert len(shown.images) == 4
    every = torch.cat([batch["image"] for batch in data.batches])
    for image, evidence, target, prob in zip(shown.images, shown.maps, shown.targets, shown.prob, strict=True):
        assert target == (1 if classes == 2 else prob.argmax())
        close = 1e-6 if precision != "bf16-true" else 0.02
        assert (every - torch.from_numpy(image)).flatten(1).abs().amax(1).min() < close
        assert image.base is None or image.base.size == image.size, "no whole batch is kept"
        expected = grad_cam(module.float().net, torch.from_numpy(image)[None], target)[0].numpy()
        np.testing.assert_allclose(evidence, expected, atol=1e-5 if precision != "bf16-true" else 0.1)
    assert any(evidence.max() == 1 for evidence in shown.maps)
    words = [text.get_text() for text in shown.figure.findobj(lambda part: hasattr(part, "get_text"))]
    assert not any("Smith" in word for word in words)


def test_images_with_several_labels_are_left_out(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run_test(tmp_path, Images("multilabel", 3), GradCAMFigures())
    assert "no Grad-CAM: it is drawn of images with one label each" in caplog.text
    assert not (tmp_path / "figures").exists()


def test_a_wrong_layer_is_named_before_training(tmp_path):
    with pytest.raises(ValueError, match="layer='00': Sequential has no such module"):
        run_test(tmp_path, Images(), GradCAMFigures(layer="00"), verb="fit", max_epochs=0)


def test_a_layer_without_a_map_does_not_end_the_test(tmp_path, caplog):
    run_test(tmp_path, Images(), GradCAMFigures(layer="4"))
    assert "no Grad-CAM: a layer that returns (1, 2) has no map" in caplog.text


def cases(count, classes, seed=0, right=0.6):
    rng = np.random.default_rng(seed)
    for index in range(count):
        prob = rng.dirichlet(np.ones(classes))
        label = int(prob.argmax()) if rng.random() < right else int(rng.integers(classes))
        yield Explained(f"{index:03d}", label, prob)


def test_right_and_wrong_cases_of_all_classes_take_turns():
    found = list(cases(200, 2))
    kept = _chosen(found, 8)
    for label, wrong in itertools.product((0, 1), (False, True)):
        group = sorted((-case.prob.max(), case.name) for case in found if (case.label, case.wrong) == (label, wrong))
        assert group[:2] == [(-c.prob.max(), c.name) for c in kept if (c.label, c.wrong) == (label, wrong)]
    many = _chosen(list(cases(900, 9, right=0.5)), 8)
    assert sum(case.wrong for case in many) == 4
    assert len({case.label for case in many}) == 8
    faultless = [case for case in found if not case.wrong]
    assert sorted(case.label for case in _chosen(faultless, 6)) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("batch", [1, 5, 32])
def test_choosing_after_each_batch_and_rank_is_choosing_at_once(classes, batch):
    found = list(cases(150, classes, seed=classes))
    ranks = []
    for rank in (found[::2], found[1::2]):
        kept = []
        for start in range(0, len(rank), batch):
            kept = _chosen(kept + rank[start : start + batch], 8)
        ranks += kept
    assert [case.name for case in _chosen(ranks, 8)] == [case.name for case in _chosen(found, 8)]


class Patients(Images):
    """Volumes and rows; some patients lack either."""

    def __init__(self):
        super().__init__(size=(6, 8, 9))
        for batch in self.batches:
            batch |= {"ct": batch.pop("image"), "clinical": torch.randn(6, 3)}
            batch["present"] = torch.tensor([[1, 1], [0, 1], [1, 0], [1, 1], [0, 1], [1, 1]]).bool()
            batch["ct"][~batch["present"][:, 0]] = torch.nan


def fusion():
    sizes = {"modalities": ("ct", "clinical"), "num_classes": 2, "dim": 4}
    encoders = {"ct": network(4, 3), "clinical": TableEncoder(features=3, dim=4)}
    return FusionModule(encoders, LateFusion(**sizes), partial(torch.optim.Adam, lr=1e-3), **sizes)


@pytest.mark.parametrize("layer", [None, "0"])
def test_one_modality_of_a_fusion_is_drawn_of_those_who_have_it(layer, drawn, tmp_path):
    data, module = Patients(), fusion()
    callback = GradCAMFigures(cases=4, modality="ct", layer=layer)
    L.Trainer(accelerator="cpu", default_root_dir=tmp_path, callbacks=[callback], **QUIET).test(module, data)
    assert (tmp_path / "figures" / "gradcam_ct.png").stat().st_size > 1000
    (shown,) = drawn
    assert len(shown.images) == 4
    known = {(batch["ct"][row].numpy().tobytes()): (batch, row) for batch in data.batches for row in range(6)}
    for image, evidence in zip(shown.images, shown.maps, strict=True):
        batch, row = known[image.tobytes()]
        assert batch["present"][row, 0]
        inputs = {name: batch[name][row : row + 1] for name in ("ct", "clinical")}
        alone = OneModality(module.net, inputs, batch["present"][row : row + 1], "ct")
        np.testing.assert_allclose(
            evidence, grad_cam(alone, inputs["ct"], 1, layer and f"net.encoders.ct.{layer}")[0], atol=1e-5
        )


def test_a_modality_that_is_not_used_is_not_drawn_and_a_wrong_layer_of_its_encoder_is_named(tmp_path):
    options = {"accelerator": "cpu", "default_root_dir": tmp_path, **QUIET}
    L.Trainer(callbacks=[GradCAMFigures(modality="mr", layer="x")], **options).test(fusion(), Patients())
    assert not (tmp_path / "figures").exists()
    with pytest.raises(ValueError, match="layer='x'"):
        L.Trainer(callbacks=[GradCAMFigures(modality="ct", layer="x")], **options).test(fusion(), Patients())
