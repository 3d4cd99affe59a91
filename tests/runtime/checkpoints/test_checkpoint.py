import lightning as L
import pytest
import torch

import medzoo
from medzoo.models.fitted import FittedPart
from medzoo.runtime.checkpoints.checkpoint import initialise, read, rebuild, trusted_config
from medzoo.runtime.composing.renamed import with_new_weights
from medzoo.runtime.errors import UserError


def tampered(trained, tmp_path, change):
    """A checkpoint of plain data whose config was changed."""
    content = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    change(content["medzoo"]["config"])
    torch.save(content, tmp_path / "x.ckpt")
    return tmp_path / "x.ckpt"


@pytest.mark.parametrize(
    "target",
    ["torch.hub.load", "torch.load", "subprocess.run", "torch.nn.modules.module.torch.hub.load", "tests.kill.KillAt"],
)
def test_a_checkpoint_cannot_name_what_would_run_code(target, trained, tmp_path):
    def change(config):
        config["lightning_module"]["net"] = {"_target_": target}

    with pytest.raises(UserError, match="which is not of this zoo"):
        medzoo.load(tampered(trained, tmp_path, change))


def test_packages_can_be_trusted_by_name(trained, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDZOO_TRUST", "tests")
    file = tampered(trained, tmp_path, lambda config: config["callbacks"].update(x={"_target_": "tests.kill.KillAt"}))
    assert trusted_config(read(file), file)["callbacks"]["x"]


def test_no_pretrained_weights_are_fetched_for_a_trained_model(trained, tmp_path):
    file = tampered(trained, tmp_path, lambda config: config["lightning_module"]["net"].update(pretrained=True))
    assert trusted_config(read(file), file)["lightning_module"]["net"]["pretrained"] is False


def test_a_loaded_module_is_ready_to_use(trained):
    module = medzoo.load(trained / "checkpoints" / "best.ckpt")
    assert not module.training
    assert module.config["lightning_module"]["num_classes"] == 2
    assert module(torch.zeros(1, 1, 12, 12)).shape == (1, 2)


def test_a_checkpoint_from_the_middle_of_training_lacks_what_is_fitted_after_it(trained, tmp_path):
    def unfinished(config):
        config["lightning_module"]["calibrate"] = True

    file = tampered(trained, tmp_path, unfinished)
    content = read(file)
    content["medzoo"]["finalized"] = False
    unfitted = {"fitted": torch.tensor(False), "slope": torch.ones(()), "bias": torch.zeros(2)}
    content["state_dict"] |= {f"calibration.{name}": value for name, value in unfitted.items()}
    with pytest.raises(UserError, match="before calibration could be fitted: finish the run with auto_resume=true"):
        rebuild(content["medzoo"]["config"], content, file)
    content["medzoo"]["finalized"] = True
    assert not rebuild(content["medzoo"]["config"], content, file).training


def test_fitted_parts_of_which_an_older_checkpoint_knows_nothing_stay_unfitted(tmp_path):
    class Part(FittedPart):
        def __init__(self, *names):
            super().__init__()
            self.declare(*names)

    class Module(L.LightningModule):
        def __init__(self, **parts):
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

    before, after = Module(one=Part("a")), Module(one=Part("a", "b"), two=Part("c"))
    before.one.take(a=[1.0, 2.0])
    initialise(after, {"state_dict": before.state_dict()}, tmp_path)
    assert after.one.a.tolist() == [1.0, 2.0]
    assert not after.one.b.numel()
    assert bool(after.one.fitted)
    assert not bool(after.two.fitted)
    del (lacking := before.state_dict())["one.fitted"]
    with pytest.raises(UserError, match=r"one\.fitted is absent in the checkpoint"):
        initialise(after, {"state_dict": lacking}, tmp_path)


def test_a_checkpoint_of_old_names_loads(trained, tmp_path):
    def change(config):
        config["lightning_module"]["test_time_flips"] = config["lightning_module"].pop("tta_flips")
        config["callbacks"]["rule"] = {"_target_": "evaluation.expansion.ExpansionRule"}

    file = tampered(trained, tmp_path, change)
    medzoo.load(file)
    config = trusted_config(read(file), file)
    assert config["lightning_module"]["tta_flips"] == []
    assert config["callbacks"]["rule"]["_target_"] == "medzoo.evaluation.measures.expansion.ExpansionRule"


def test_weights_of_parts_that_were_renamed_are_found():
    assert [*with_new_weights({"judge_a.0.weight": 1, "net.judge_a": 2})] == ["discriminator_a.0.weight", "net.judge_a"]
