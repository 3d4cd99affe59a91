import numpy as np
import pytest

from medzoo.evaluation.measures.synthesis import copies, frechet_distance, kernel_distance


def test_frechet_distance_of_gaussians_that_are_known():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (200_000, 2)), rng.normal([1, 2], [2, 1], (200_000, 2))
    assert frechet_distance(a, b) == pytest.approx(1 + 4 + (2 - 1) ** 2, rel=0.02)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_kernel_distance_is_the_slow_sum_and_unbiased():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 3)), rng.normal(1, 1, size=(4, 3))

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    slow = sum(kernel(a[i], a[j]) for i in range(5) for j in range(5) if i != j) / 20
    slow += sum(kernel(b[i], b[j]) for i in range(4) for j in range(4) if i != j) / 12
    slow -= 2 * sum(kernel(x, y) for x in a for y in b) / 20
    assert kernel_distance(a, b) == pytest.approx(slow)
    alike = [
        kernel_distance(*(np.random.default_rng((seed, k)).normal(size=(30, 3)) for k in (0, 1))) for seed in range(200)
    ]
    assert abs(np.mean(alike)) < 3 * np.std(alike) / np.sqrt(200)


def test_copies_of_training_images_are_found():
    rng = np.random.default_rng(0)
    real = rng.random((60, 8, 8))
    patients = np.repeat(np.arange(20), 3)
    real[1] = real[0] + 0.001  # slices of one patient may be alike
    made = np.concatenate([real[[7, 30]] + 0.01 * rng.random((2, 8, 8)), rng.random((10, 8, 8))])
    said = copies(made, real, patients)
    assert said["nearest"][:2].tolist() == [7, 30]
    assert said["copied"].tolist() == [True, True] + [False] * 10
    assert said["distance"][0] == pytest.approx(np.sqrt(((made[0] - real[7]) ** 2).mean()))
