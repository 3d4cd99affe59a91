import numpy as np
import pytest
from scipy.stats import spearmanr

from medzoo.datamodules import MedMNISTPhantomDataModule
from medzoo.datamodules.phantoms import adrenal_phantom, breast_phantom
from medzoo.evaluation.scores.classification import auc


@pytest.mark.parametrize("phantom", [breast_phantom, adrenal_phantom])
def test_the_same_seed_draws_the_same_cohort(phantom):
    once, again, other = phantom(3, seed=1), phantom(3, seed=1), phantom(3, seed=2)
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert not np.array_equal(once[0], other[0])


@pytest.mark.parametrize("phantom", [breast_phantom, adrenal_phantom])
def test_labels_follow_the_probabilities(phantom):
    _, labels, probability = phantom(2000 if phantom is breast_phantom else 600, size=12)
    for low, high in ((0, 0.2), (0.4, 0.6), (0.8, 1)):
        chosen = (probability >= low) & (probability < high)
        assert labels[chosen].mean() == pytest.approx(probability[chosen].mean(), abs=0.12)
    assert 0.85 < auc(labels[:, 0], probability)[0] < 0.98, "separable, but not wholly"


def test_thick_glands_are_the_hyperplastic_ones():
    volumes, _, probability = adrenal_phantom(200)
    assert set(np.unique(volumes)) == {0, 255}
    assert spearmanr(volumes.mean(axis=(1, 2, 3)), probability).statistic > 0.8


def test_lesions_are_darker_than_what_surrounds_them():
    images, _, _ = breast_phantom(100)
    assert images[:, 11:15, 12:16].mean() < 0.6 * images[:, 5:20, :4].mean()


@pytest.mark.parametrize(("name", "dims"), [("breastmnist", 2), ("adrenalmnist3d", 3)])
def test_the_cohort_is_written_once_and_read_like_any_npz(name, dims, tmp_path):
    options = {"counts": (8, 4, 4), "size": 10, "root": tmp_path, "batch_size": 4}
    data = MedMNISTPhantomDataModule(name, **options)
    data.prepare_data()
    written = data.file.stat().st_mtime_ns
    data.prepare_data()
    data.setup()
    assert data.file.stat().st_mtime_ns == written
    assert next(iter(data.train_dataloader()))["image"].shape == (4, 1, *[10] * dims)
    assert [path.name for path in tmp_path.iterdir()] == [data.file.name], "no partial file is left"
