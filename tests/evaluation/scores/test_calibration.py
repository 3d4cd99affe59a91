import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression

from medzoo.evaluation.scores.calibration import fit_calibration, fit_share


def test_two_classes_are_platt_scaled():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.02, 0.98, 3000)
    labels = (rng.uniform(size=3000) < p).astype(int)
    timid = expit(0.5 * logit(p) - 1.0)
    slope, bias = fit_calibration(np.stack([1 - timid, timid], 1), labels)
    platt = LogisticRegression(C=1e6).fit(logit(timid)[:, None], labels)
    assert slope == pytest.approx(platt.coef_[0, 0], rel=0.01)
    assert bias[1] - bias[0] == pytest.approx(platt.intercept_[0], abs=0.02)
    assert slope == pytest.approx(2.0, rel=0.1)


def test_many_classes_get_their_distortion_back():
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(8000, 4)) * 2
    labels = np.array([rng.choice(4, p=row) for row in softmax(scores, axis=1)])
    shift = np.array([0.8, -0.5, 0.2, -0.5])
    slope, bias = fit_calibration(softmax(0.4 * scores + shift, axis=1), labels)
    assert slope == pytest.approx(2.5, rel=0.06)
    assert bias - bias.mean() == pytest.approx(-2.5 * shift, abs=0.15)


def test_independent_labels_have_a_bias_each():
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(8000, 2)) * 2
    labels = (rng.uniform(size=scores.shape) < expit(scores)).astype(int)
    slope, bias = fit_calibration(expit(scores + np.array([1.0, -1.0])), labels)
    assert slope == pytest.approx(1.0, abs=0.06)
    assert bias == pytest.approx([-1.0, 1.0], abs=0.12)


def test_separated_classes_do_not_run_away():
    slope, bias = fit_calibration(np.array([[0.9, 0.1], [0.2, 0.8]] * 10), np.array([0, 1] * 10))
    assert np.isfinite(slope)
    assert np.isfinite(bias).all()


def test_the_share_of_a_model_is_what_the_labels_support():
    rng = np.random.default_rng(0)
    true, noise = rng.normal(size=(2, 4000))
    labels = (rng.uniform(size=4000) < 1 / (1 + np.exp(-true))).astype(int)

    def logits(odds):
        return np.stack([np.zeros(4000), odds], 1)

    assert fit_share(logits(true), logits(0 * true), labels) == pytest.approx(1, abs=0.05)
    assert fit_share(logits(4 * true), logits(0 * true), labels) == pytest.approx(0.25, abs=0.02)
    assert fit_share(logits(true + 5 * noise), logits(true), labels) < 0.02
    assert fit_share(logits(-true), logits(true), labels) == 0.0
