import numpy as np
import pytest

from medzoo.evaluation.measures.redundancy import (
    active_units,
    hsic,
    linear_cka,
    mean_correlation,
    mean_information,
    redundancy,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = X[:, :2] @ RNG.normal(size=(2, 2)) + 0.5 * RNG.normal(size=(40, 2))


def test_cka_is_its_definition_by_gram_matrices():
    h = np.eye(40) - 1 / 40
    grams = [h @ part @ part.T @ h for part in (X, Y)]
    expected = np.trace(grams[0] @ grams[1]) / np.linalg.norm(grams[0]) / np.linalg.norm(grams[1])
    assert linear_cka(X, Y) == pytest.approx(expected)


def test_cka_knows_the_same_features_turned_and_scaled():
    turn = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    assert linear_cka(X, 7 * X @ turn + 2) == pytest.approx(1)
    assert linear_cka(X, np.ones((40, 2))) == 0


def test_hsic_is_its_double_loop():
    def kernel(part):
        squared = np.array([[sum((a - b) ** 2) for b in part] for a in part])
        median = np.median([squared[i, j] for i in range(40) for j in range(i)])
        return np.exp(-squared / (2 * median))

    h = np.eye(40) - 1 / 40
    expected = np.trace(kernel(X) @ h @ kernel(Y) @ h) / 39**2
    assert hsic(X, Y) == pytest.approx(expected)
    assert hsic(X, np.ones((40, 1))) == pytest.approx(0, abs=1e-12)


def test_correlation_is_the_mean_over_pairs():
    pairs = [abs(np.corrcoef(a, b)[0, 1]) for a in X.T for b in Y.T]
    assert mean_correlation(X, Y) == pytest.approx(np.mean(pairs))
    assert mean_correlation(np.c_[X, np.ones(40)], Y) == pytest.approx(np.mean(pairs)), "constants are left out"


@pytest.mark.parametrize("rho", [0.3, 0.9])
def test_information_of_gaussians(rho):
    found = []
    for seed in range(8):  # one estimate varies by a fifth
        first, noise = np.random.default_rng(seed).normal(size=(2, 5000, 2))
        found.append(mean_information(first, rho * first + np.sqrt(1 - rho**2) * noise))
    half = -0.25 * np.log(1 - rho**2)
    assert np.mean(found) == pytest.approx(half, rel=0.1), "half of the pairs know nothing"


def test_latents_that_stay_the_same_do_not_count():
    still = np.c_[Y, 1e-3 * X[:, :1]]
    assert active_units(still).tolist() == [True, True, False]
    said = redundancy(X, still)
    assert said["active"] == 2
    assert said["correlation"] == pytest.approx(mean_correlation(X, Y))
    nothing = redundancy(X, np.zeros((40, 3)))
    assert nothing["active"] == nothing["correlation"] == nothing["information"] == nothing["cka"] == 0
