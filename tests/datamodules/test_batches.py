import pytest
import torch

from medzoo.datamodules.batches import TensorBatches
from medzoo.datamodules.transforms import BatchAugment

IMAGES = torch.randint(0, 256, (22, 1, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(22)
IDS = [f"case_{index}" for index in range(22)]


def loader(**options):
    return TensorBatches(IMAGES, LABELS, IDS, **{"batch_size": 5, "shuffle": True, "seed": 3, **options})


def ids(batches):
    return [name for batch in batches for name in batch["id"]]


def same(left, right):
    return all(torch.equal(a["image"], b["image"]) and a["id"] == b["id"] for a, b in zip(left, right, strict=True))


def test_a_batch_is_what_the_contract_says():
    batch = next(iter(loader()))
    assert batch["image"].shape == (5, 1, 6, 6)
    assert batch["image"].dtype == torch.float32
    assert [IDS[label] for label in batch["label"]] == batch["id"]
    assert torch.allclose(batch["image"], (IMAGES[batch["label"]].float() / 255 - 0.5) / 0.5)


def test_every_image_once_an_epoch_in_an_order_of_its_own():
    batches = loader()
    first, second = ids(batches), ids(batches)
    assert sorted(first) == sorted(second) == sorted(IDS)
    assert first != second
    assert len(batches) == 5


@pytest.mark.parametrize(("size", "sizes"), [(7, [7, 7, 8]), (3, [3] * 6 + [4]), (22, [22]), (1, [1] * 22)])
def test_a_last_batch_of_one_joins_the_one_before(size, sizes):
    batches = loader(batch_size=size)
    made = [batch["id"] for batch in batches]
    assert [len(names) for names in made] == sizes
    assert sorted(name for names in made for name in names) == sorted(IDS), "nobody is left out"
    assert len(batches) == len(sizes)


def test_the_same_seed_gives_the_same_batches_with_augmentation():
    augment = BatchAugment(flip=[0, 1], noise=0.1)
    assert same(list(loader(augment=augment)), list(loader(augment=augment)))
    assert not same(list(loader(augment=augment)), list(loader(augment=augment, seed=4)))


def test_every_batch_and_epoch_draws_its_own_augmentation():
    still = loader(augment=BatchAugment(noise=0.1), shuffle=False)
    plain = [batch["image"][0] for batch in loader(shuffle=False)]
    noise = [batch["image"][0] - image for _ in range(2) for batch, image in zip(still, plain, strict=True)]
    assert len(noise) == 10
    assert all(not torch.equal(a, b) for i, a in enumerate(noise) for b in noise[:i])


def test_it_resumes_in_the_middle_of_an_epoch():
    augment = BatchAugment(noise=0.1)
    whole = loader(augment=augment)
    whole.set_epoch(2)
    batches = iter(whole)
    for _ in range(3):
        next(batches)
    state = whole.state_dict()

    other = loader(augment=augment)
    other.load_state_dict(state)
    other.set_epoch(2)  # as Lightning does before every epoch

    assert same(list(batches), list(other))
    assert same(list(whole), list(other)), "and goes on with the next epoch"


def test_a_last_batch_that_is_not_full_can_be_left_out():
    batches = loader(drop_last=True)
    first, second = ids(batches), ids(batches)
    assert len(first) == len(second) == 20
    assert set(IDS) - set(first) != set(IDS) - set(second)
    ranks = [loader(drop_last=True, rank=rank, world_size=2) for rank in (0, 1)]
    assert [len(ids(batches)) for batches in ranks] == [10, 10]


def test_a_training_set_smaller_than_a_batch_is_refused():
    with pytest.raises(ValueError, match="do not fill a batch"):
        loader(drop_last=True, batch_size=32)


def test_a_position_in_another_epoch_is_forgotten():
    batches = loader()
    next(iter(batches))
    other = loader()
    other.load_state_dict(batches.state_dict())
    other.set_epoch(1)
    assert len(ids(other)) == 22


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("count", [1, 2, 9, 16, 17, 22])
def test_ranks_evaluate_the_batches_that_one_process_would(count, size):
    parts = {"batch_size": size, "shuffle": False}
    one = [batch["id"] for batch in TensorBatches(IMAGES[:count], LABELS[:count], IDS[:count], **parts)]
    ranks = [
        [*TensorBatches(IMAGES[:count], LABELS[:count], IDS[:count], **parts, rank=rank, world_size=3)]
        for rank in range(3)
    ]
    counted = [batch["id"] for batches in ranks for batch in batches if not batch.get("stand_in")]
    assert sorted(counted) == sorted(one), "each image once"
    assert all(ranks), "no rank is left without a batch"
    stand_ins = [batch["id"] for batches in ranks for batch in batches if batch.get("stand_in")]
    assert stand_ins == [one[0]] * max(0, 3 - len(one))


def test_an_abandoned_epoch_is_not_resumed():
    batches = loader()
    next(iter(batches))
    assert len(ids(batches)) == 22


def test_ranks_share_an_epoch_without_overlap():
    one = loader(batch_size=10, shuffle=True)
    ranks = [loader(rank=rank, world_size=2) for rank in (0, 1)]
    single = [set(batch["id"]) for batch in one]
    together = []
    for left, right in zip(*ranks, strict=True):
        assert not set(left["id"]) & set(right["id"])
        together.append(set(left["id"]) | set(right["id"]))
    assert together[0] == single[0], "two halves of the batch of one process"
    assert together[1] == single[1] | single[2], "a last batch of one on each rank joins the one before"
    assert len(together) == 2


def test_ranks_have_equally_many_batches_in_training_and_lose_nothing_in_evaluation():
    train = [loader(rank=rank, world_size=3) for rank in range(3)]
    assert {len(ids(batches)) for batches in train} == {7}
    evaluation = [loader(rank=rank, world_size=3, shuffle=False) for rank in range(3)]
    assert sorted(name for batches in evaluation for name in ids(batches)) == sorted(IDS)


def test_ranks_draw_different_augmentations():
    augment = BatchAugment(noise=0.5)
    draws = []
    for rank in (0, 1):
        batches = loader(augment=augment, rank=rank, world_size=2)
        draws.append(batches.batch(torch.tensor([0, 1, 2]), 0, 0)["image"])
    assert not torch.equal(*draws)


def test_balanced_batches_hold_as_many_of_each_class_and_all_of_the_common_one():
    labels = torch.tensor([0] * 18 + [1] * 4)
    batches = TensorBatches(IMAGES, labels, IDS, batch_size=4, shuffle=True, balanced=True, seed=1)
    found = [batch["label"].tolist() for batch in batches]
    assert all(sum(each) == 2 for each in found)
    assert len(found) == 22 // 4
    seen = [name for batch in batches for name in batch["id"]]
    assert {name for name in seen if IDS.index(name) >= 18} == set(IDS[18:])
    assert len({name for name in seen if IDS.index(name) < 18}) == 2 * (22 // 4), "none of the common class twice"
    ranks = [
        TensorBatches(IMAGES, labels, IDS, batch_size=2, shuffle=True, balanced=True, seed=1, rank=r, world_size=2)
        for r in (0, 1)
    ]
    both = [a["id"] + b["id"] for a, b in zip(*ranks, strict=True)]
    alone = TensorBatches(IMAGES, labels, IDS, batch_size=4, shuffle=True, balanced=True, seed=1)
    assert [sorted(each) for each in both] == [sorted(batch["id"]) for batch in alone], "as one process"
    in_order = TensorBatches(IMAGES, labels, IDS, batch_size=4, balanced=True)
    assert sorted(ids(in_order)) == sorted(IDS), "evaluation sees every image once"
    with pytest.raises(ValueError, match="one class for each image"):
        TensorBatches(IMAGES, torch.zeros(22, 2), IDS, batch_size=4, shuffle=True, balanced=True)
