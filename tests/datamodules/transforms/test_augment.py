import math

import pytest
import torch

from medzoo.datamodules.transforms import BatchAugment


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=[(6, 1, 20, 24), (4, 3, 12, 14, 16)], ids=["2d", "3d"])
def images(request):
    return torch.rand(request.param, generator=generator(1))


def test_every_default_is_off(images):
    assert torch.equal(BatchAugment()(images, generator()), images)


def test_same_generator_same_batch_other_generator_other_batch(images):
    augment = BatchAugment(flip=[0], rotate=20, scale=0.1, translate=0.1, contrast=0.2, noise=0.1, erase=0.3)
    once, again, other = (augment(images, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert once.shape == images.shape
    assert once.min() >= 0
    assert once.max() <= 1


def test_flips_mirror_half_of_the_images():
    images = torch.arange(8.0).div(8).expand(1000, 1, 4, 8)
    flipped = BatchAugment(flip=[1])(images, generator())
    mirrored = torch.tensor([torch.equal(image, images[0].flip(-1)) for image in flipped])
    kept = torch.tensor([torch.equal(image, images[0]) for image in flipped])
    assert (mirrored | kept).all()
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.06)


def test_shift_moves_by_at_most_the_fraction_given():
    images = torch.zeros(200, 1, 41, 41)
    images[:, :, 20, 20] = 1
    moved = BatchAugment(translate=0.25)(images, generator())
    rows = (moved.sum(dim=(1, 3)) * torch.arange(41)).sum(1) / moved.sum(dim=(1, 2, 3))
    assert (rows - 20).abs().max() <= 0.25 * 41
    assert (rows - 20).abs().max() > 0.2 * 41


def test_rotation_turns_by_at_most_the_angle_given():
    images = torch.zeros(300, 1, 61, 61)
    images[:, :, 28:33, 48:53] = 1
    turned = BatchAugment(rotate=30)(images, generator())
    mass = turned.sum(dim=(1, 2, 3))
    grid = torch.arange(61.0) - 30
    down = (turned.sum(dim=(1, 3)) * grid).sum(1) / mass
    right = (turned.sum(dim=(1, 2)) * grid).sum(1) / mass
    degrees = torch.rad2deg(torch.atan2(down, right))
    assert degrees.abs().max() <= 30.5
    assert degrees.std() == pytest.approx(60 / math.sqrt(12), rel=0.1), "uniform between the limits"
    assert torch.hypot(down, right) == pytest.approx(torch.full((300,), 20.0), rel=0.01), "distance is kept"


def test_zoom_changes_area_by_its_square():
    images = torch.zeros(100, 1, 60, 60)
    images[:, :, 20:40, 20:40] = 1
    area = BatchAugment(scale=0.2)(images, generator()).sum(dim=(1, 2, 3)) / 400
    assert 0.8**2 - 0.02 <= area.min() < 0.75
    assert 1.3 < area.max() <= 1.2**2 + 0.02


def test_three_axes_turn_in_3d():
    volume = torch.zeros(50, 1, 21, 21, 21)
    volume[:, :, 10, 10, 15:18] = 1
    turned = BatchAugment(rotate=40)(volume, generator())
    mass = turned.sum(dim=(1, 2, 3, 4))
    grid = torch.arange(21.0) - 10
    places = [(turned.sum(dim=(1, *others)) * grid).sum(1) / mass for others in ((3, 4), (2, 4))]
    assert all(place.abs().max() > 2.5 for place in places), "the rod leaves its plane along both other axes"


def test_erasing_cuts_a_box_from_half_of_the_images():
    images = torch.ones(400, 1, 20, 20)
    holes = (BatchAugment(erase=0.4)(images, generator()) == 0).sum(dim=(1, 2, 3))
    assert set(holes.tolist()) == {0, 64}
    assert (holes > 0).float().mean() == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("amount", [{"rotate": -1}, {"scale": 1.0}, {"erase": 1.2}])
def test_amounts_out_of_range_are_refused(amount):
    with pytest.raises(ValueError, match=next(iter(amount))):
        BatchAugment(**amount)


def test_flip_of_an_axis_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        BatchAugment(flip=[2])(torch.rand(1, 1, 4, 4), generator())
