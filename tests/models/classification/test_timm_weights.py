"""Pretrained weights are loaded, or it is said that they were not."""

import logging
import time

import pytest
import timm
import torch

import medzoo.models


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    return timm.create_model("resnet18", num_classes=10).state_dict()


def network(file, weights, name="resnet18", **options):
    torch.save(weights, file)
    overlay = {"file": str(file)}
    options = {"in_channels": 1, "num_classes": 2, **options}
    return medzoo.models.timm_network(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)


def test_weights_from_a_file_are_loaded(published, tmp_path):
    net = network(tmp_path / "x.pth", published)
    assert torch.equal(net.layer4[1].conv2.weight, published["layer4.1.conv2.weight"])
    assert torch.allclose(net.conv1.weight, published["conv1.weight"].sum(1, keepdim=True)), "of three channels, one"
    assert net.trained_on == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    net.load_state_dict(net.state_dict())  # as before


def test_weights_of_another_network_are_refused_with_names_of_both_sides(published, tmp_path):
    foreign = {f"encoder.{name}": weight for name, weight in published.items()}
    with pytest.raises(ValueError, match=r"holds 0% .*not in it: conv1\.weight.*; in it: encoder\.conv1\.weight"):
        network(tmp_path / "x.pth", foreign)
    with pytest.raises(ValueError, match=r"layer1\.0\.conv1\.weight is \(64, 64, 1, 1\) here and \(64, 64, 3, 3\)"):
        network(tmp_path / "x.pth", published, "resnet50")


def test_a_part_is_told_and_half_is_refused(published, tmp_path, caplog):
    most = {name: weight for name, weight in published.items() if not name.startswith("layer1")}
    with caplog.at_level(logging.WARNING):
        network(tmp_path / "x.pth", most)
    assert "98.7% loaded" in caplog.text
    assert "layer1.0.conv1.weight" in caplog.text
    half = {name: weight for name, weight in published.items() if not name.startswith("layer4")}
    with pytest.raises(ValueError, match=r"holds 25% .*not in it: layer4\.0\.conv1\.weight"):
        network(tmp_path / "x.pth", half)


def test_a_pretrained_stem_is_never_thrown_away(published, tmp_path):
    with pytest.raises(ValueError, match="small_stem=stride keeps it"):
        network(tmp_path / "x.pth", published, small_stem=True)
    net = network(tmp_path / "x.pth", published, small_stem="stride", in_channels=3)
    assert torch.equal(net.conv1.weight, published["conv1.weight"])
    assert net.forward_features(torch.zeros(1, 3, 32, 32)).shape[-1] == 4, "without the stride and the pooling"


def test_files_that_are_none_are_named(tmp_path):
    overlay = {"file": str(tmp_path / "x.pth")}
    options = {"in_channels": 1, "num_classes": 2, "pretrained": True, "pretrained_cfg_overlay": overlay}
    with pytest.raises(ValueError, match=r"no file .*x\.pth"):
        medzoo.models.timm_network("resnet18", **options)
    (tmp_path / "x.pth").write_text("text")
    with pytest.raises(ValueError, match=r"x\.pth cannot be read"):
        medzoo.models.timm_network("resnet18", **options)


def test_without_a_network_it_is_told_at_once_where_to_put_a_file(monkeypatch, tmp_path):
    monkeypatch.setattr("medzoo.models.classification.timm_weights._HUB", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"cannot be fetched.*pretrained_cfg_overlay=\{file: "):
        medzoo.models.timm_network("resnet18", in_channels=1, num_classes=2, pretrained=True)
    assert time.monotonic() - began < 10
