"""Restoration, and what it hands on."""

from functools import partial

import lightning as L
import pytest
import torch
from torch import nn

from medzoo.lightning_modules import ClassificationModule, RestorationModule, SegmentationModule
from medzoo.lightning_modules.transfer import take_over
from medzoo.models import (
    ChannelBranches,
    ClassificationLoss,
    DeepSupervisionDiceCELoss,
    GenesisUNet,
    PlainUNet,
    UMamba,
    UNetEncoder,
)

ADAM = partial(torch.optim.Adam, lr=1e-2)


def sizes(dims):
    return {"features": [4, 8], "strides": [(1,) * dims, (2,) * dims], "kernels": [(3,) * dims] * 2}


def restoration(dims=2):
    return RestorationModule(PlainUNet(dims, 1, 1, **sizes(dims), deep_supervision=False), ADAM)


def batch(dims=2):
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(2, 1, *(8,) * dims, generator=generator)
    return {"image": 1 - target, "target": target, "id": ["a", "b"], "corruption": ["", ""]}


def test_it_learns_to_undo_a_negative():
    torch.manual_seed(0)
    model, given = restoration(), batch()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    losses = []
    for _ in range(60):
        loss = model.training_step(given, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    restored = model.predict_step(given, 0)["restored"]
    assert 0 <= restored.min() <= restored.max() <= 1
    assert (restored - given["target"]).square().mean() < (given["image"] - given["target"]).square().mean()


@pytest.mark.parametrize("dims", [2, 3])
def test_a_segmentation_starts_from_the_restoring_network(dims):
    torch.manual_seed(0)
    stage = restoration(dims)
    net = PlainUNet(dims, 1, 3, **sizes(dims))
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    options = {"num_classes": 3, "patch_size": [8] * dims}
    SegmentationModule(net, DeepSupervisionDiceCELoss(), ADAM, **options, pretrained="genesis").receive(
        {"genesis": stage}
    )
    given = stage.net.state_dict()
    for name, weight in net.state_dict().items():
        expected = before if name.startswith("heads") else given
        assert torch.equal(weight, expected[name]), name
    assert any(not torch.equal(before[name], given[name]) for name in given if not name.startswith("heads"))


@pytest.mark.parametrize("dims", [2, 3])
def test_an_imaging_encoder_takes_the_way_down(dims):
    torch.manual_seed(0)
    stage, net = restoration(dims), UNetEncoder(dims, 1, 5, **sizes(dims))
    model = ClassificationModule(
        net, ClassificationLoss("multiclass"), ADAM, task="multiclass", num_classes=5, pretrained="genesis"
    )
    model.receive({"genesis": stage})
    image = torch.rand(2, 1, *(8,) * dims)
    deepest = image
    for part in stage.net.encoder:
        deepest = part(deepest)
    assert net(image).shape == (2, 5)
    assert torch.allclose(net(image), net.head(deepest.flatten(2).mean(2)))
    assert net(torch.rand(1, 1, *(13,) * dims)).shape == (1, 5), "images of any size"


@pytest.mark.parametrize("dims", [2, 3])
def test_the_unet_of_models_genesis_restores_and_hands_on(dims):
    torch.manual_seed(0)
    stage = RestorationModule(GenesisUNet(dims, 1, 1, **sizes(dims)), ADAM)
    stage.training_step(batch(dims), 0).backward()
    net = GenesisUNet(dims, 1, 3, **sizes(dims), batch_statistics=False, deep_supervision=True)
    before, given = {name: weight.clone() for name, weight in net.state_dict().items()}, stage.net.state_dict()
    options = {"num_classes": 3, "patch_size": [8] * dims}
    model = SegmentationModule(net, DeepSupervisionDiceCELoss(), ADAM, **options, pretrained="genesis")
    model.receive({"genesis": stage})
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, (before if name.startswith("heads") else given)[name]), name
    assert given["encoder.0.1.running_mean"].any(), "what the other option of the norm needs is learnt"


def test_heads_of_u_mamba_stay_too():
    nets = [UMamba(2, 1, classes, **sizes(2), mamba="none") for classes in (1, 3)]
    before = {name: weight.clone() for name, weight in nets[1].state_dict().items()}
    take_over(nets[1], nets[0])
    kept = [
        name
        for name, weight in nets[1].state_dict().items()
        if "seg_layers" in name and torch.equal(weight, before[name])
    ]
    assert kept
    assert torch.equal(
        nets[1].state_dict()["encoder.stem.0.conv1.weight"], nets[0].state_dict()["encoder.stem.0.conv1.weight"]
    )


def test_networks_that_do_not_fit_are_told():
    stage = restoration()
    with pytest.raises(ValueError, match=r"encoder\.0\.0\.weight is \(4, 1, 3, 3\) there and \(4, 2, 3, 3\) here"):
        take_over(PlainUNet(2, 2, 3, **sizes(2)), stage.net)
    with pytest.raises(ValueError, match="is absent there"):
        take_over(nn.Linear(2, 2), stage.net)
    options = {"num_classes": 3, "patch_size": [8, 8], "pretrained": "genesis"}
    model = SegmentationModule(PlainUNet(2, 1, 3, **sizes(2)), DeepSupervisionDiceCELoss(), ADAM, **options)
    with pytest.raises(ValueError, match="pretrained=genesis: no such stage before this one; there are other"):
        model.receive({"other": stage})


def test_groups_of_channels_have_branches_of_their_own():
    torch.manual_seed(0)
    branch = partial(PlainUNet, 2, out_channels=3, **sizes(2))
    image, other = torch.rand(2, 2, 8, 8), torch.rand(2, 2, 8, 8)
    late, early, alone = (ChannelBranches(branch, groups) for groups in ([[0], [1]], [[0, 1]], [[1]]))
    said = late(image)
    expected = (late.branches[0](image[:, :1])[0] + late.branches[1](image[:, 1:])[0]) / 2
    assert torch.allclose(said[0], expected)
    assert torch.allclose(early(image)[0], early.branches[0](image)[0])
    mixed = torch.stack([other[:, 0], image[:, 1]], 1)
    assert torch.equal(alone(image)[0], alone(mixed)[0]), "the other channel is not looked at"
    assert not torch.allclose(early(image)[0], early(mixed)[0])
    with pytest.raises(ValueError, match="at least one channel in each group"):
        ChannelBranches(branch, [[0], []])


def test_errors_of_a_test_are_means_over_the_images_of_all_processes(tmp_path, monkeypatch):
    model, asked, log = restoration(), [], L.LightningModule.log_dict
    monkeypatch.setattr(model, "log_dict", lambda *said, **how: asked.append(how) or log(model, *said, **how))
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(accelerator="cpu", default_root_dir=tmp_path, **quiet)
    images, targets = torch.rand(2, 3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    parts = [
        {"image": images[part], "target": targets[part], "id": list("abc")[part]} for part in (slice(2), slice(2, 3))
    ]
    (said,) = trainer.test(model, torch.utils.data.DataLoader(parts, batch_size=None), verbose=False)
    assert said["test/corrupted_loss"] == pytest.approx((images - targets).square().mean().item(), rel=1e-5)
    with torch.no_grad():
        assert said["test/loss"] == pytest.approx((model(images) - targets).square().mean().item(), rel=1e-5)
    assert all(how["sync_dist"] for how in asked)
