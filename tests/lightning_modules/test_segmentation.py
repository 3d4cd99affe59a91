from functools import partial

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medzoo.lightning_modules import SegmentationModule
from medzoo.lightning_modules.segmentation import on_grid
from medzoo.models import DeepSupervisionDiceCELoss, PlainUNet

ADAM = partial(torch.optim.Adam, lr=1e-2)


class Local(nn.Module):
    """Foreground where a voxel is bright, whatever lies around; a second head at half the resolution."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(4.0))

    def forward(self, x):
        logits = torch.cat([-self.gain * x, self.gain * x], dim=1)
        return [logits, F.avg_pool3d(logits, 2)]


def module(net=None, **options):
    options = {"num_classes": 2, "patch_size": [4, 8, 8], **options}
    return SegmentationModule(net or Local(), DeepSupervisionDiceCELoss(), ADAM, **options).eval()


def case(size=(6, 12, 20)):
    image = torch.randn(1, 1, *size, generator=torch.Generator().manual_seed(0))
    mask = (image[:, 0] > 0).long()
    return {"image": image, "mask": mask, "size": size, "spacing": torch.ones(3), "id": ["a"]}


def test_windows_of_a_local_network_join_without_seams():
    model, batch = module(), case()
    assert torch.allclose(model(batch["image"]), model.net(batch["image"])[0], atol=1e-4)
    small = case((2, 5, 5))["image"]
    assert torch.allclose(model(small), model.net(small)[0], atol=1e-4), "smaller than a window"
    assert torch.equal(model.predict_step(batch, 0)["mask"].long(), batch["mask"])


def test_mirror_images_are_averaged():
    torch.manual_seed(0)
    sizes = {"features": [4, 4], "strides": [(1, 1, 1), (2, 2, 2)], "kernels": [(3, 3, 3)] * 2}
    model, image = module(PlainUNet(3, 1, 2, **sizes), tta_flips=[0, 2]), case((4, 8, 8))["image"]
    with torch.no_grad():
        expected = sum(model(image.flip(axes)).flip(axes) for axes in ([], [2], [4], [2, 4])) / 4
        assert torch.allclose(model.mirrored(image), expected, atol=1e-6)
        assert not torch.allclose(model.mirrored(image), model(image), atol=1e-4)


def test_label_maps_come_on_the_grid_of_the_file():
    batch = case()
    batch["size"] = (6, 24, 40)
    said = module().predict_step(batch, 0)
    assert said["mask"].shape == (1, 6, 24, 40)
    assert said["mask"].dtype == torch.uint8
    assert torch.allclose(said["probability"].sum(1), torch.ones(1, 6, 24, 40))
    assert on_grid(batch["image"], (6, 12, 20)) is batch["image"]


def test_dice_is_over_all_voxels_of_the_split(monkeypatch):
    model, logged = module(num_classes=3), {}
    monkeypatch.setattr(model, "log", lambda name, value, **_: logged.update({name: float(value)}))
    monkeypatch.setattr(type(model), "trainer", type("T", (), {"world_size": 1})())
    monkeypatch.setattr(model, "forward", lambda image: F.one_hot(image[:, 0].long(), 3).movedim(-1, 1).float())
    model.on_validation_epoch_start()
    said = [torch.tensor([0, 1, 1, 2]), torch.tensor([1, 0, 0, 0])]
    true = [torch.tensor([0, 1, 2, 2]), torch.tensor([1, 1, 0, 0])]
    for one, other in zip(said, true, strict=True):
        shape = (1, 1, 2, 2)
        batch = {"image": one.view(1, *shape).float(), "mask": other.view(shape), "size": (1, 2, 2), "id": ["a"]}
        model.validation_step(batch, 0)
    model.on_validation_epoch_end()
    assert logged["val/dice"] == pytest.approx((2 * 2 / (3 + 3) + 2 * 1 / (1 + 2)) / 2)


def test_training_learns():
    torch.manual_seed(0)
    model, batch = module(), case((4, 8, 8))
    model.net.gain.data.fill_(0.1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.2)
    losses = []
    for _ in range(20):
        loss = model.training_step({**batch, "id": ["a"]}, 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


class Says(nn.Module):
    """Two classes by brightness; of a third nothing is ever said."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(4.0))

    def forward(self, x):
        return [torch.cat([-self.gain * x, self.gain * x, torch.full_like(x, -99.0)], dim=1)]


@pytest.mark.parametrize(("third", "expected"), [(False, 1.0), (True, 0.5)])
def test_a_class_that_is_nowhere_has_no_part_in_the_dice_of_validation(third, expected, tmp_path):
    first, second = case(), case()
    if third:
        first["mask"][0, 0, 0, 0] = 2
    else:
        second["image"], second["mask"] = -second["image"].abs(), torch.zeros_like(second["mask"])
    model, quiet = module(Says(), num_classes=3), dict.fromkeys(("logger", "enable_checkpointing"), False)
    run = L.Trainer(accelerator="cpu", default_root_dir=tmp_path, enable_progress_bar=False, **quiet)
    run.validate(model, torch.utils.data.DataLoader([first, second], batch_size=None), verbose=False)
    assert float(run.callback_metrics["val/dice"]) == pytest.approx(expected, abs=0.01)


def test_dice_of_validation_without_any_foreground_is_undefined(tmp_path):
    batch = case()
    batch["image"], batch["mask"] = -batch["image"].abs(), torch.zeros_like(batch["mask"])
    quiet = dict.fromkeys(("logger", "enable_checkpointing"), False)
    run = L.Trainer(accelerator="cpu", default_root_dir=tmp_path, enable_progress_bar=False, **quiet)
    run.validate(module(), torch.utils.data.DataLoader([batch], batch_size=None), verbose=False)
    assert torch.isnan(run.callback_metrics["val/dice"])


def test_regions_are_written_one_over_the_other_in_their_order():
    model = module(num_classes=2, regions=[[1, 2], [2]], regions_class_order=[1, 2])
    logits = torch.tensor([[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]]).view(1, 2, 1, 2, 2)
    assert model.label_map(logits).flatten().tolist() == [0, 1, 2, 2]
    assert torch.equal(model.probability(logits), logits.sigmoid())
    with pytest.raises(ValueError, match="must be equally many"):
        module(num_classes=3, regions=[[1, 2], [2]], regions_class_order=[1, 2])


def test_dice_of_validation_is_of_annotated_voxels_alone():
    logits, mask = torch.zeros(1, 2, 1, 2, 3), torch.tensor([0, 1, 1, 2, 2, 0]).view(1, 1, 2, 3)
    logits[:, 1] = torch.tensor([-1.0, 1, -1, 1, 1, 1]).view(1, 2, 3)
    prediction, truth = module(ignore=2)._voxels(logits, mask)
    assert prediction[0, 1].flatten().int().tolist() == [0, 1, 0, 0, 0, 1]
    assert truth[0, 1].flatten().int().tolist() == [0, 1, 1, 0, 0, 0]
    assert not (prediction | truth)[0, :, 0, 1, :2].any(), "what is not annotated has no class"
    prediction, truth = module(num_classes=2, regions=[[1], [1, 2]], regions_class_order=[1, 2])._voxels(logits, mask)
    assert prediction[0, 1].flatten().int().tolist() == [0, 1, 0, 1, 1, 1]
    assert truth.flatten(2)[0].T.int().tolist() == [[0, 0], [1, 1], [1, 1], [0, 1], [0, 1], [0, 0]]


@pytest.mark.parametrize(
    "options",
    [{}, {"ignore": 3}, {"num_classes": 2, "regions": [[1, 2], [2]], "regions_class_order": [1, 2]}],
    ids=["classes", "ignore", "regions"],
)
def test_dice_of_validation_is_that_of_counts_by_hand(options):
    torch.manual_seed(0)
    model = module(**{"num_classes": 3, **options})
    by_region = bool(options.get("regions"))
    kinds = options.get("regions") or [[1], [2]]
    both, sums = torch.zeros(2), torch.zeros(2)
    model.on_validation_epoch_start()
    for size in ((2, 3, 4), (3, 5, 2)):
        logits = torch.randn(1, model.num_classes, *size)
        mask = torch.randint(0, 4 if "ignore" in options else 3, (1, *size))
        model.val_dice.update(*model._voxels(logits, mask))
        known = mask != options.get("ignore", -1)
        for index, values in enumerate(kinds):
            found = logits[:, index] > 0 if by_region else logits.argmax(1) == values[0]
            true = torch.isin(mask, torch.tensor(values))
            both[index] += (found & true & known).sum()
            sums[index] += (found & known).sum() + (true & known).sum()
    assert float(model.val_dice.compute()) == pytest.approx(float((2 * both / sums).mean()), rel=1e-6)
