import numpy as np
import pytest
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from medzoo.evaluation.scores import representations
from medzoo.evaluation.scores.classification import auc
from medzoo.evaluation.scores.diagnostic import delong, delong_test
from medzoo.evaluation.scores.representations import (
    auc_of,
    compare_representations,
    fit_pixel_probes,
    fit_probe,
)

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("classes", [2, 3])
def test_probe_gives_the_probabilities_of_scikit_learn(classes):
    x = RNG.normal(size=(90, 4))
    label = (x[:, 0] + RNG.normal(size=90) > 0).astype(int) + (classes == 3) * (x[:, 1] > 0.5)
    weight, bias = fit_probe(x, label, classes)
    expected = LogisticRegression(C=1.0, max_iter=2000).fit(x, label).predict_proba(x)
    assert softmax(x @ weight.T + bias, axis=1) == pytest.approx(expected, abs=1e-6)


def test_probe_of_classes_that_are_missing_gives_them_nothing():
    x = RNG.normal(size=(30, 2))
    for label, seen in ((np.full(30, 1), [1]), (RNG.integers(0, 2, 30) * 2, [0, 2])):
        prob = softmax(x @ fit_probe(x, label, 3)[0].T + fit_probe(x, label, 3)[1], axis=1)
        assert prob[:, seen].sum(1) == pytest.approx(1)


@pytest.mark.parametrize("count", [50, 90])
@pytest.mark.parametrize("classes", [2, 3])
def test_probes_of_pixels_are_those_of_scikit_learn(classes, count):
    pixels, features = RNG.uniform(size=(60, count)), RNG.normal(size=(60, 4))
    label = np.arange(60) % classes
    weight, bias = fit_pixel_probes(pixels, features, label, classes)
    said = softmax(np.einsum("skf,nf->nsk", weight, np.concatenate([pixels, features], 1)) + bias, axis=2)
    codes = PCA(32, whiten=True, random_state=0).fit_transform(pixels)
    for index, rows in enumerate((pixels, codes, np.concatenate([codes, features], 1))):
        expected = LogisticRegression(max_iter=2000).fit(rows, label).predict_proba(rows)
        assert said[:, index] == pytest.approx(expected, abs=1e-3)


def test_of_many_images_the_pixels_of_some_are_used_and_the_components_of_all(monkeypatch, caplog):
    pixels, label = RNG.uniform(size=(60, 40)), np.arange(60) % 3
    whole = fit_pixel_probes(pixels, np.zeros((60, 0)), label, 3)
    monkeypatch.setattr(representations, "MOST_PIXELS", 45)
    weight, bias = fit_pixel_probes(pixels, np.zeros((60, 0)), label, 3)
    assert "45 of the 60" in caplog.text
    chosen = representations.drawn(label, 45, "")
    assert np.bincount(label[chosen]).tolist() == [15, 15, 15]
    expected = LogisticRegression(max_iter=2000).fit(pixels[chosen], label[chosen]).predict_proba(pixels)
    assert softmax(pixels @ weight[0].T + bias[0], axis=1) == pytest.approx(expected, abs=1e-3)
    assert np.array_equal(weight[1:], whole[0][1:])


def test_pixels_that_do_not_vary_say_nothing():
    weight, bias = fit_pixel_probes(np.ones((6, 9)), np.zeros((6, 0)), np.array([0, 1] * 3), 2)
    assert np.isfinite(weight).all()
    assert softmax(weight.sum(2) + bias, axis=1) == pytest.approx(0.5, abs=1e-6)


def test_two_classes_are_compared_by_delong():
    label = RNG.integers(0, 2, 80)
    scores = {name: 1 / (1 + np.exp(-(gain * label + RNG.normal(size=80)))) for name, gain in (("a", 1), ("b", 2))}
    rows = compare_representations(label, {name: np.c_[1 - s, s] for name, s in scores.items()}, "a")
    assert rows[1]["auc_low"] == delong(label == 1, scores["b"])["auc_low"]
    assert rows[1]["p"] == delong_test(label == 1, scores["b"], scores["a"])["p"]
    assert (rows[0]["difference"], rows[0]["p"]) == (0, 1)
    assert rows[1]["acc"] == pytest.approx(((scores["b"] > 0.5) == label).mean())


def test_more_classes_are_compared_by_a_paired_bootstrap():
    label = RNG.integers(0, 3, 120)
    good = softmax(2 * np.eye(3)[label] + RNG.normal(size=(120, 3)), axis=1)
    bad = softmax(RNG.normal(size=(120, 3)), axis=1)
    same, other = compare_representations(label, {"good": good, "bad": bad}, "good", resamples=200)
    assert (
        same["auc"] == pytest.approx(np.mean([auc(label == k, good[:, k])[0] for k in range(3)])) == auc_of(label, good)
    )
    assert same["auc_low"] < same["auc"] < same["auc_high"]
    assert same["p"] == 1
    assert other["difference"] < 0
    assert other["p"] < 0.01
