"""`mask=auto`: chosen once, by validation, and then kept."""

import logging

import numpy as np
import pytest
import torch

from medzoo.datamodules import MedMNISTPhantomDataModule
from medzoo.datamodules.radiomics import FeatureScaler, RadiomicsSettings, extract
from medzoo.datamodules.radiomics.choice import CANDIDATES
from medzoo.evaluation.scores.representations import auc_of, fit_probe

AUTO = RadiomicsSettings("auto", families=("shape",))


def phantom(folder, radiomics=AUTO, **options):
    options = {"counts": (120, 60, 20), "size": 16, "batch_size": 20, **options}
    module = MedMNISTPhantomDataModule("two_signals", root=folder, radiomics=radiomics, **options)
    module.prepare_data()
    return module


def columns(module, split):
    batches = [*module.ordered_dataloader(split)]
    return [torch.cat([batch[key] for batch in batches]).numpy() for key in ("image", "hcr", "label")]


def test_the_mask_with_the_best_validation_is_chosen_and_told(tmp_path, caplog):
    module = phantom(tmp_path)
    with caplog.at_level(logging.INFO):
        module.setup()
    chosen = {row["mask"]: row["validation_auc"] for row in module.mask_choice}
    assert {*chosen} == {*CANDIDATES}
    assert module.radiomics.mask == next(iter(chosen)) == "otsu_bright", "the lesion, whose size is a signal"
    assert "chose otsu_bright" in caplog.text
    (train, hcr, label), (held, _, truth) = (columns(module, split) for split in ("train", "val"))
    raw = [((images * 0.5 + 0.5) * 255).round().astype(np.uint8) for images in (train, held)]
    assert hcr == pytest.approx(extract(raw[0], None, module.radiomics)[0], rel=1e-4, nan_ok=True)
    for mask, area in chosen.items():
        fitted, other = (extract(images, None, RadiomicsSettings(mask, ("shape",)))[0] for images in raw)
        scaler = FeatureScaler.fit(fitted, module.hcr_names)
        weight, bias = fit_probe(scaler.transform(fitted, module.hcr_names), label, 2)
        said = scaler.transform(other, module.hcr_names) @ weight.T + bias
        assert area == pytest.approx(auc_of(truth, said))


def test_test_labels_are_not_looked_at(tmp_path):
    one = phantom(tmp_path)
    one.setup()
    other = phantom(tmp_path)
    read = other.read()
    images, labels, ids = read["test"]
    other.read = lambda: {**read, "test": (images, labels[::-1].copy(), ids)}
    other.setup()
    assert other.mask_choice == one.mask_choice


def test_the_choice_is_kept_and_not_made_again(tmp_path, monkeypatch):
    module = phantom(tmp_path)
    module.setup()
    monkeypatch.setattr("medzoo.datamodules.in_memory.choose_mask", None)  # would fail
    again = phantom(tmp_path)
    again.load_state_dict(module.state_dict())
    again.setup()
    assert again.radiomics == module.radiomics
    assert again.mask_choice == module.mask_choice
    again.set_predict_input(module.file)
    said = torch.cat([batch["hcr"] for batch in again.predict_dataloader()])
    assert torch.equal(said, torch.cat([batch["hcr"] for batch in module.test_dataloader()]))
    with pytest.raises(ValueError, match="inside otsu_bright, not full"):
        phantom(tmp_path, RadiomicsSettings("full", ("shape",))).load_state_dict(module.state_dict())


def test_a_choice_needs_a_datamodule_and_one_label(tmp_path):
    with pytest.raises(ValueError, match="name a policy"):
        extract(np.zeros((2, 1, 8, 8), np.uint8), None, AUTO)
