"""A demo on one's own data: what it says of its phantom does not stick to them."""

import logging

import pytest
from hydra.core.hydra_config import HydraConfig

from medzoo.runtime.composing import own_data
from medzoo.runtime.errors import UserError
from medzoo.runtime.plan import make_plan
from tests.conftest import EXPERIMENTS, compose
from tests.datamodules.segmentation.test_datamodule import write_dataset

DEMOS = [name for name in EXPERIMENTS if name.endswith("_demo")]
SEGMENTATION = "experiment=hematoma_segmentation_demo"


def own_datamodule(folder, demo):
    """The choice of the experiment that the demo is the twin of."""
    compose(folder, f"experiment={demo.removesuffix('_demo')}")
    return HydraConfig.get().runtime.choices["datamodule"]


@pytest.mark.parametrize("demo", DEMOS)
def test_every_demo_can_be_given_other_data(demo, tmp_path):
    words = [f"experiment={demo}", f"datamodule={own_datamodule(tmp_path, demo)}"]
    config = compose(tmp_path, *words)
    for key, value in (
        ("root", str(tmp_path)),
        ("val_hospitals", "[a]"),
        ("test_hospitals", "[b]"),
        ("clinical", "{}"),
    ):
        if key in config.datamodule:
            words.append(f"datamodule.{key}={value}")
    told, stages = "", {}
    try:
        stages = make_plan(compose(tmp_path, *words)).stages
    except UserError as error:
        told = str(error)
    for leftover in ("takes no", "does not fit", "Interpolation key"):  # other complaints are about one's own data
        assert leftover not in told
    assert not any(stage["expected"] for stage in stages.values())
    assert not any(stage["datamodule"].get("phantom") for stage in stages.values())


def test_ranges_are_those_of_the_phantom(tmp_path):
    root = write_dataset(tmp_path / "set", ["a", "b", "c"])
    (plain,) = make_plan(compose(tmp_path, SEGMENTATION)).stages.values()
    assert plain["expected"]
    for words in (["datamodule=segmentation", f"datamodule.root={root}"], ["datamodule=hematoma_scans_phantom"]):
        (plain,) = make_plan(compose(tmp_path, SEGMENTATION, *words)).stages.values()
        assert plain["expected"] == {}, words


def test_what_a_demo_says_of_its_phantom_is_left_out_and_told(tmp_path, caplog):
    own_data._tell.cache_clear()
    words = ["experiment=hlhs_demo", "datamodule=fetal_heart", f"datamodule.root={tmp_path}"]
    with caplog.at_level(logging.INFO, "medzoo.runtime.composing.own_data"):
        (plain,) = make_plan(compose(tmp_path, *words)).stages.values()
    assert plain["datamodule"].get("phantom") is None
    assert plain["datamodule"]["image_size"] == [64, 64], "what its network is made for stays"
    assert "datamodule.phantom: left out" in caplog.text
    assert "expected: left out" in caplog.text


@pytest.mark.parametrize(
    ("word", "message"),
    [("+datamodule.count=[1,2,3]", "takes no 'count'"), ("+datamodule.phantom.normal=3", "datamodule.phantom: ")],
)
def test_what_the_command_line_says_is_never_left_out(tmp_path, word, message):
    word = word if "count" in word else word.lstrip("+")
    words = ["experiment=hlhs_demo", "datamodule=fetal_heart", f"datamodule.root={tmp_path}", word]
    with pytest.raises(UserError, match=message):
        make_plan(compose(tmp_path, *words))


def test_an_override_may_hold_an_interpolation(tmp_path):
    words = ["experiment=liver_slices_pretraining_demo", "datamodule=liver_pictures_phantom"]
    words += ["stages.genesis.datamodule.phantom=${stages.scratch.datamodule.phantom}"]
    assert "genesis" in make_plan(compose(tmp_path, *words)).stages
