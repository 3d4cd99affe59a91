"""Exported graphs say what the module says."""

import json

import numpy as np
import pytest
import torch

import medzoo
from medzoo.runtime.checkpoints.checkpoint import read
from medzoo.runtime.checkpoints.graph import export
from medzoo.runtime.errors import UserError
from tests.conftest import call_verb


@pytest.fixture
def ckpt(trained):
    return trained / "checkpoints" / "best.ckpt"


def said_by_module(ckpt, images):
    with torch.no_grad():
        return medzoo.load(ckpt).predict_step({"image": images, "id": [""] * len(images)}, 0)["prob"]


def test_torch_export_says_what_the_module_says(ckpt, tmp_path):
    file, difference = export(ckpt, tmp_path / "model.pt2")
    images = torch.rand(5, 1, 12, 12)
    said = torch.export.load(file).module()(images)
    assert torch.allclose(said, said_by_module(ckpt, images), atol=1e-5)
    assert difference < 1e-5
    assert [each.name for each in tmp_path.iterdir()] == ["model.pt2"]


def test_onnx_says_what_the_module_says_for_any_number_of_images(ckpt, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    done = call_verb("export", f"ckpt_path={ckpt}", f"output={tmp_path / 'deep' / 'model.onnx'}")
    assert done.code == 0, done.output
    session = onnxruntime.InferenceSession(tmp_path / "deep" / "model.onnx")
    for count in (1, 7):
        images = torch.rand(count, 1, 12, 12)
        (said,) = session.run(None, {"image": images.numpy()})
        assert np.allclose(said, said_by_module(ckpt, images), atol=1e-5)
    told = session.get_modelmeta().custom_metadata_map
    assert json.loads(told["medzoo.class_names"]) == read(ckpt)["medzoo"]["class_names"] != []
    assert json.loads(told["medzoo.image_shape"]) == [1, 12, 12]
    assert json.loads(told["medzoo.preparation"]) == {"mean": 0.5, "std": 0.5}


def test_quantised_weights_are_smaller_and_near(ckpt, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    whole, _ = export(ckpt, tmp_path / "whole.onnx")
    small, difference = export(ckpt, tmp_path / "small.onnx", quantise=True)
    assert small.stat().st_size < 0.7 * whole.stat().st_size
    assert 0 < difference < 0.1


def test_flips_share_weights_and_can_be_quantised(ckpt, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    content = torch.load(ckpt, weights_only=True)
    content["medzoo"]["config"]["lightning_module"]["tta_flips"] = [1]
    torch.save(content, tmp_path / "flips.ckpt")
    _, difference = export(tmp_path / "flips.ckpt", tmp_path / "small.onnx", quantise=True)
    assert 0 < difference < 0.1


def test_a_graph_that_differs_is_not_kept(ckpt, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "medzoo.runtime.checkpoints.graph._to_torch",
        lambda step, example, file, other: file.touch() or torch.ones(3, 2),
    )
    with pytest.raises(RuntimeError, match="differs from the module"):
        export(ckpt, tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


def test_mistakes_are_told(ckpt, tmp_path):
    for output, quantise in (("model.pb", False), ("model.pt2", True)):
        with pytest.raises(UserError, match=r"expected a name that ends in \.onnx"):
            export(ckpt, tmp_path / output, quantise=quantise)
    assert call_verb("export", f"ckpt_path={tmp_path / 'none.ckpt'}").error == [
        f"no checkpoint {tmp_path / 'none.ckpt'}: set ckpt_path to one, such as "
        "outputs/<experiment>/<time>/checkpoints/best.ckpt"
    ]
