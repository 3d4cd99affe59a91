"""The corruptions of Models Genesis."""

import pytest
import torch

from medzoo.datamodules.transforms import GenesisCorruption
from medzoo.datamodules.transforms.genesis import bezier_curve, in_painting, local_shuffle, non_linear, out_painting

SIZES = [(48, 40), (20, 32, 24), (5, 6), (4, 7, 3)]  # the last two are smaller than the original's ranges allow
NOTHING = {"flip": 0.0, "shuffle": 0.0, "nonlinear": 0.0, "paint": 0.0}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def numbered(size, channels=1):
    """Every voxel holds a value of its own in [0, 1]."""
    count = torch.Size(size).numel()
    return (torch.arange(count, dtype=torch.float64) / (count - 1)).view(1, *size).expand(channels, *size).contiguous()


@pytest.mark.parametrize("size", SIZES)
def test_without_chances_it_is_the_identity(size):
    image = numbered(size).float()
    corrupted, target, done = GenesisCorruption(**NOTHING)(image, seeded())
    assert torch.equal(corrupted, image)
    assert torch.equal(target, image)
    assert done == []


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(8))
def test_shape_dtype_and_range_are_kept_and_the_seed_decides(size, seed):
    image = torch.rand(2, *size, generator=seeded(99))
    before = image.clone()
    corrupted, target, done = GenesisCorruption(blocks=200)(image, seeded(seed))
    again, again_target, also_done = GenesisCorruption(blocks=200)(image, seeded(seed))
    assert corrupted.shape == target.shape == image.shape
    assert corrupted.dtype == target.dtype == torch.float32
    assert 0 <= corrupted.min() <= corrupted.max() <= 1
    assert torch.equal(image, before), "the image is left as it is"
    assert torch.equal(corrupted, again)
    assert torch.equal(target, again_target)
    assert done == also_done
    assert torch.equal(target.flatten(1).sort().values, image.flatten(1).sort().values), "flips only"


def test_all_corruptions_come_at_their_rates():
    image, transform = torch.rand(1, 20, 20, generator=seeded()), GenesisCorruption(blocks=5)
    told = [transform(image, seeded(seed))[2] for seed in range(600)]
    expected = {"shuffle": 0.5, "non-linear": 0.9, "in-painting": 0.9 * 0.2, "out-painting": 0.9 * 0.8}
    for name, rate in expected.items():
        assert sum(name in done for done in told) / 600 == pytest.approx(rate, abs=0.06), name
    flips = [sum(name.startswith("flip") for name in done) for done in told]
    for count, rate in enumerate([0.6, 0.4 * 0.6, 0.4**2 * 0.6, 0.4**3]):
        assert flips.count(count) / 600 == pytest.approx(rate, abs=0.06)
    assert {name for done in told for name in done if name.startswith("flip")} == {"flip 0", "flip 1"}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(6))
def test_a_shuffled_block_keeps_its_voxels(size, seed):
    image = numbered(size, channels=2)
    shuffled = local_shuffle(image, seeded(seed), blocks=1)
    assert torch.equal(shuffled.flatten().sort().values, image.flatten().sort().values)
    assert torch.equal(shuffled[0], shuffled[1]), "channels are permuted alike"
    changed = (shuffled[0] != image[0]).nonzero()
    if len(changed):
        sides = changed.amax(0) - changed.amin(0) + 1
        assert (sides <= torch.tensor(size) // 10).all()


def test_shuffled_voxels_come_from_near_and_none_of_a_large_image_stays_in_order():
    size = (64, 60, 50)
    image = numbered(size)
    shuffled = local_shuffle(image, seeded())
    came = (shuffled * (image.numel() - 1)).round().long().flatten()
    here, there = (torch.stack(torch.unravel_index(flat, size)) for flat in (torch.arange(image.numel()), came))
    assert ((here - there).abs() < torch.tensor(size)[:, None] // 10).all()
    assert ((here != there).any(0)).double().mean() > 0.6
    few = local_shuffle(image, seeded(), blocks=100)
    assert 0 < (few != image).double().mean() < 0.1


@pytest.mark.parametrize("size", [(33, 40), (20, 31, 24)])
def test_shuffling_all_blocks_at_once_is_shuffling_one_after_the_other(size):
    image, generator, blocks = numbered(size), seeded(3), 60
    largest = torch.tensor(size) // 10
    sides = 1 + (torch.rand(blocks, len(size), generator=generator) * largest).long()
    corners = (torch.rand(blocks, len(size), generator=generator) * (torch.tensor(size) - sides + 1)).long()
    keys = torch.rand(blocks, int(largest.prod()), generator=generator).view(blocks, *largest)
    expected = image.clone()
    for side, corner, key in zip(sides, corners, keys, strict=True):
        window = (0, *(slice(int(c), int(c + s)) for c, s in zip(corner, side, strict=True)))
        order = key[tuple(slice(int(s)) for s in side)].flatten().argsort()
        expected[window] = image[window].flatten()[order].view(*side)
    assert torch.equal(local_shuffle(image, seeded(3), blocks), expected)


@pytest.mark.parametrize("seed", range(10))
def test_intensity_curves_stay_between_0_and_1_and_are_monotone(seed):
    x, y = bezier_curve(torch.rand(4, generator=seeded(seed)))
    for each in (x, y):
        assert each[0] == 0
        assert each[-1] == pytest.approx(1)
        assert (each.diff() >= 0).all()
    mapped = non_linear(numbered((40, 50)), seeded(seed)).flatten()
    assert 0 <= mapped.min() <= mapped.max() <= 1
    steps = mapped.diff()
    assert (steps >= 0).all() or (steps <= 0).all()
    assert mapped.max() - mapped.min() == pytest.approx(1, abs=1e-6)


def test_control_points_on_the_diagonal_change_nothing():
    x, y = bezier_curve(torch.tensor([0.2, 0.2, 0.7, 0.7]))
    assert torch.equal(x, y)


def test_half_of_the_curves_fall():
    ramp = numbered((10, 10))
    falling = [bool(non_linear(ramp, seeded(seed))[0, 0, 0] > 0.5) for seed in range(200)]
    assert 0.4 < sum(falling) / 200 < 0.6


@pytest.mark.parametrize("size", [(60, 48), (36, 42, 30)])
def test_windows_of_noise_are_as_large_as_published(size):
    image = torch.full((1, *size), 2.0)  # noise is never 2
    shares = [(in_painting(image, seeded(seed)) != 2).double().mean().item() for seed in range(40)]
    largest = 5 * torch.tensor([n // 3 / n for n in size]).prod().item()
    assert 0 < max(shares) <= largest
    inside = in_painting(image, seeded(1)) != 2
    assert not inside[0, :3].any()
    assert not inside[0, -3:].any()
    kept = [(out_painting(image, seeded(seed)) == 2) for seed in range(40)]
    smallest = torch.tensor([(n - 4 * n // 7) / n for n in size]).prod().item()
    assert all(each.double().mean() >= smallest * 0.95 for each in kept)
    assert not any(each[0, :3].any() for each in kept)
    assert any(each.double().mean() < 0.9 for each in kept)


def test_wrong_values_are_told():
    with pytest.raises(ValueError, match=r"paint=1\.5: a probability"):
        GenesisCorruption(paint=1.5)
    with pytest.raises(ValueError, match="blocks=0"):
        GenesisCorruption(blocks=0)
    with pytest.raises(ValueError, match="-1000 to 400"):
        GenesisCorruption()(torch.tensor([[-1000.0, 400.0]]), seeded())
