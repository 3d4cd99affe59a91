"""Which weights may be handed on to which data."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from medzoo.datamodules import NPZDataModule
from medzoo.runtime.checkpoints.matching import check_same_order, match
from medzoo.runtime.errors import UserError
from medzoo.runtime.training import stage as stage_module
from medzoo.runtime.training.stage import Stage


def data(*names, **more):
    return SimpleNamespace(class_names=names, **more)


@pytest.mark.parametrize("names", [("a", "b"), ("A", "b "), ("c", "d"), ("a", "b", "c"), ()])
def test_the_same_order_and_other_classes_are_let_through(names):
    check_same_order({"class_names": ["a", "b"]}, data(*names), "x.ckpt")
    check_same_order({"class_names": None}, data(*names), "x.ckpt")


def test_another_order_is_refused_in_a_stage_as_in_a_run(tmp_path):
    with pytest.raises(UserError, match=r"x.ckpt has the classes a, b, the data have .* b, A: use the order"):
        check_same_order({"class_names": ["a", "b"]}, data("b", "A"), "x.ckpt")
    torch.save({"medzoo": {"class_names": ["a", "b"]}}, tmp_path / "before.ckpt")
    before = Stage("before", {}, Path("run"), trained=tmp_path / "before.ckpt")
    after = Stage("after", {}, Path("run"), datamodule=data("b", "a"), module=SimpleNamespace(receive=print))
    with pytest.raises(UserError, match=r"before.ckpt has the classes a, b"):
        after.check_handed_on([before, after])
    after.module = SimpleNamespace()
    after.check_handed_on([before, after])


def test_weights_that_a_run_starts_from_are_asked_for_their_order(tmp_path, monkeypatch):
    torch.save({"medzoo": {"class_names": ["a", "b"]}}, tmp_path / "best.ckpt")
    given = data("b", "a", prepare_data=print, setup=print, train_dataloader=list)
    monkeypatch.setattr(stage_module, "try_out", print)
    monkeypatch.setattr(stage_module, "check_intensities", print)
    monkeypatch.setattr(stage_module, "make_datamodule", lambda config: given)
    stage = Stage("", {"init_from": str(tmp_path / "best.ckpt")}, tmp_path / "run", datamodule=given)
    with pytest.raises(UserError, match=r"init_from=.*best.ckpt has the classes a, b, the data have .* b, a:"):
        stage.prepare()
    assert not (tmp_path / "run").exists()


def test_a_prediction_has_the_names_of_the_model():
    known = {"config": {"datamodule": {"_target_": "medzoo.datamodules.NPZDataModule"}}, "class_names": ["a", "b"]}
    turned = NPZDataModule("nowhere.npz", task="binary", class_names=["B", "a"])
    match(turned, {**known, "datamodule": {"image_shape": [1, 8, 8]}}, test=False)
    assert turned.class_names == ["a", "b"]


def test_a_datamodule_that_matches_nothing_has_to_have_the_classes_in_order():
    class Plain:
        class_names = ("a", "b")

        def load_state_dict(self, state_dict):
            self.state = state_dict

    known = {"config": {"datamodule": {"_target_": "medzoo.datamodules.NPZDataModule"}}, "datamodule": {}}
    match(Plain(), {**known, "class_names": ["a", "b"]}, test=True)
    with pytest.raises(UserError, match="the model knows the classes b, a, the data have a, b"):
        match(Plain(), {**known, "class_names": ["b", "a"]}, test=True)
