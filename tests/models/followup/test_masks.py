import pytest
import torch

from medzoo.models.followup import resized

EVERYWHERE = torch.ones(2, 8, 8, dtype=bool)


def test_a_mask_gets_the_voxels_that_are_wanted_in_the_order_of_probability():
    probability = torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))  # bleeds are everywhere
    wanted = torch.tensor([5, 60, 100])
    masks = resized(probability, wanted, EVERYWHERE) > 0.5
    assert masks.sum(dim=(1, 2, 3)).tolist() == wanted.tolist()
    for one, mask in zip(probability, masks, strict=True):
        assert one[mask].min() > one[~mask].max()


def test_a_bleed_grows_around_itself_and_not_elsewhere():
    probability = torch.full((1, 5, 16, 16), 1e-3) + torch.linspace(0, 1e-4, 5 * 16 * 16).reshape(1, 5, 16, 16)
    probability[0, 2, 4:7, 4:7] = 0.9
    probability[0, 2, 12:14, 12:14] = 0.8  # a sample that bleeds elsewhere too
    bleed = torch.zeros(5, 16, 16, dtype=bool)
    bleed[2, 4:7, 5:7] = True
    mask = resized(probability, torch.tensor([30]), bleed)[0] > 0.5
    assert mask.sum() == 30
    assert mask[2, 4:7, 4:7].all()
    assert not mask[:, 9:].any()
    assert not mask[..., 9:].any()
    smaller = resized(probability, torch.tensor([4]), bleed)[0] > 0.5
    assert smaller.sum() <= 4
    assert not smaller[:, 9:].any()


def test_the_wanted_volume_of_now_changes_little():
    probability = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    same = resized(probability, (probability > 0.5).sum(dim=(1, 2, 3)), EVERYWHERE)
    assert torch.allclose(same, probability, atol=0.02)


@pytest.mark.parametrize(("wanted", "found"), [(0, 0), (-3, 0), (128, 128), (999, 128)])
def test_no_more_and_no_fewer_voxels_than_there_are(wanted, found):
    probability = torch.rand(1, 2, 8, 8, generator=torch.Generator().manual_seed(2))
    assert int((resized(probability, torch.tensor([wanted]), EVERYWHERE) > 0.5).sum()) == found


def test_probabilities_beyond_float32_keep_their_side():
    probability = torch.tensor([0.0, 1.0, 1e-12, 1e-20, 0.9, 1.0]).reshape(1, 1, 2, 3)
    mask = resized(probability, torch.tensor([4]), torch.ones(1, 2, 3, dtype=bool)) > 0.5
    assert mask.flatten().tolist() == [False, True, True, False, True, True]
