"""Every experiment that names a network takes every other of its kind, by `lightning_module/net=…`."""

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from medzoo.runtime.build import instantiate
from medzoo.runtime.composing.stages import resolve_stages
from tests.conftest import ROOT, compose
from tests.models.kinds import is_segmenter
from tests.tiny import FULL, words

FILES = {file.stem: file for file in sorted((ROOT / "conf" / "lightning_module" / "net").glob("*.yaml"))}
NAMES = {"monai": "resnet10", "timm": "resnet10t"}  # of the files that take any name of a library
MODULES = {
    "ClassificationModule": "classifier",
    "ContrastiveVAEModule": "SalientVAE",
    "ImageDiffusionModule": "DiffusionUKAN",
    "NonRedundantVAEModule": "RadiomicsVAE",
    "RestorationModule": "segmenter",
    "SegmentationModule": "segmenter",
}
TWO_AXES = "timm has networks of images only, and the data are volumes"
THREE_AXES = "its file has sizes for three axes: in 2-D give strides and windows too"
REASONS = {
    **{(name, 3): TWO_AXES for name in ("ghostnet", "resnet18", "resnet50", "timm", "vit_base", "vit_tiny")},
    ("nnformer", 2): THREE_AXES,
    ("unetrpp", 2): THREE_AXES,
}
"""What does not fit data of so many axes, and why."""
ONE_CHANNEL = "the images to restore have one channel, and branches are for several"
GROUPS = "its stages compare groups of channels, which nnunet_branches alone has; other networks go in its branch"
NOT_IN = {
    **{(net, "liver_segmentation"): GROUPS for net in FILES if net != "nnunet_branches"},
    ("nnunet_branches", "liver_pretraining"): ONE_CHANNEL,
    ("nnunet_branches", "liver_slices_pretraining"): ONE_CHANNEL,
}
"""What an experiment cannot have, and why."""
CHAINS = {"hematoma": "its stages are hematoma_segmentation, _synthesis and _classification, which are swapped alone"}


def kind(file):
    target = OmegaConf.load(file)["_target_"]
    if target.endswith("_network"):
        return "classifier"
    return "segmenter" if is_segmenter(target) else target.rpartition(".")[2]


def places(experiment, folder):
    """By kind, where an experiment chooses a network: the group, the key of the module, and the choice."""
    config = compose(folder, f"experiment={experiment}", *words(experiment, "needed"))
    choices = HydraConfig.get().runtime.choices.items()
    groups = {group: choice for group, choice in choices if group.split("@")[0] == "lightning_module/net"}
    if len(groups) > 1:  # stages have networks of their own, and that of the root is nobody's
        groups.pop("lightning_module/net", None)
    found = {}
    for group, choice in groups.items():
        module = (group.partition("@")[2] or "lightning_module.net").removesuffix(".net")
        target = OmegaConf.select(config, f"{module}._target_") or OmegaConf.select(config, "lightning_module._target_")
        if target:
            found.setdefault(MODULES[target.rpartition(".")[2]], []).append((group, module, choice))
    return found


def swapped(experiment, net, chosen, folder):
    """Stages of the experiment that have a network of this kind, which is another now, on small data."""
    compose(folder, f"experiment={experiment}_demo")
    smaller = [f"datamodule={HydraConfig.get().runtime.choices['datamodule']}"]
    smaller += [word.replace("{folder}", str(folder)) for word in words(experiment, "tiny") if ".net." not in word]
    given = [f"{group}={net}" for group, _, _ in chosen]
    given += [f"{module}.net.name={NAMES[net]}" for _, module, choice in chosen if net in NAMES and net != choice]
    config = compose(folder, f"experiment={experiment}", *smaller, f"datamodule.root={folder}", *given)
    stages = [stage for stage in resolve_stages(config).values() if stage["lightning_module"].get("net")]
    target = OmegaConf.load(FILES[net])["_target_"]
    return [stage for stage in stages if stage["lightning_module"]["net"]["_target_"] == target]


def size_of(data):
    return tuple(data.patch_size if hasattr(data, "patch_size") else data.image_size)


def batch(data, size):
    torch.manual_seed(0)
    image = torch.rand(2, data.in_channels, *size)
    return {
        "id": list("ab"),
        "image": image,
        "target": image,
        "mask": torch.randint(0, 2, (2, *size)),
        "label": torch.tensor([0, 1]),
        "hcr": torch.rand(2, getattr(data, "hcr_features", 0) or 0),
    }


@torch.no_grad()
def loss_of(config):
    """Loss of training on a batch of the shape of the data."""
    data = instantiate(config["datamodule"], "datamodule")
    module = instantiate(config["lightning_module"], "lightning_module")
    return module.training_step(batch(data, size_of(data)), 0)


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    folder = tmp_path_factory.mktemp("composed")
    return {
        experiment: found for experiment in FULL if experiment not in CHAINS and (found := places(experiment, folder))
    }


@pytest.mark.filterwarnings("ignore:You are trying to `self.log")
@pytest.mark.parametrize("net", FILES)
def test_a_network_takes_the_place_of_every_other_of_its_kind(net, named, tmp_path):
    seen = set()
    for experiment, found in named.items():
        if not (chosen := found.get(kind(FILES[net]))) or (net, experiment) in NOT_IN:
            continue
        for config in swapped(experiment, net, chosen, tmp_path):
            data = instantiate(config["datamodule"], "datamodule")
            alike = config["lightning_module"]["_target_"], data.spatial_dims, data.in_channels
            if alike in seen:  # building and trying it takes seconds
                continue
            seen.add(alike)
            if (net, data.spatial_dims) in REASONS:
                with pytest.raises(Exception):  # noqa: B017, PT011 (of as many kinds as networks)
                    loss_of(config)
            else:
                assert loss_of(config).isfinite(), experiment
    assert seen, f"no experiment has a network like {net}"
