import numpy as np
import pytest
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from medzoo.evaluation.scores.classification import auc, bootstrap_auc, class_table, one_vs_rest
from medzoo.evaluation.scores.intervals import percentile_interval


@pytest.fixture
def scored():
    rng = np.random.default_rng(3)
    positive = (rng.uniform(size=300) < 0.3).astype(int)
    return positive, (positive + rng.normal(size=300)).round(1)  # rounded, so that scores tie


def test_auc_equals_scikit_learn(scored):
    positive, score = scored
    assert auc(positive, score)[0] == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


def test_weighted_auc_equals_that_of_repeated_cases(scored):
    positive, score = scored
    weight = np.random.default_rng(0).integers(0, 4, (5, 300))
    slow = [roc_auc_score(np.repeat(positive, row), np.repeat(score, row)) for row in weight]
    assert auc(positive, score, weight) == pytest.approx(slow, abs=1e-12)


def test_auc_of_a_single_class_is_nan():
    assert np.isnan(auc(np.ones(3), np.arange(3.0)))[0]


def test_bootstrap_spread_equals_that_of_plain_resampling(scored):
    positive, score = scored
    rng = np.random.default_rng(1)
    slow = []
    for _ in range(400):
        chosen = rng.integers(0, 300, 300)
        slow.append(roc_auc_score(positive[chosen], score[chosen]))
    fast = bootstrap_auc(positive, score, resamples=2000)
    assert fast.mean() == pytest.approx(np.mean(slow), abs=0.005)
    assert fast.std() == pytest.approx(np.std(slow), rel=0.12)
    low, high = percentile_interval(fast)
    assert low < auc(positive, score)[0] < high


def test_bootstrap_is_paired_and_repeatable(scored):
    positive, score = scored
    assert np.array_equal(bootstrap_auc(positive, score, seed=5), bootstrap_auc(positive, 2 * score, seed=5))


def test_class_table_rates_equal_scikit_learn():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 3, 120)
    prob = rng.dirichlet(np.ones(3), 120) * 0.6 + 0.4 * np.eye(3)[labels]
    rows = class_table(labels, prob, ["a", "b", "c"], resamples=50)
    called = prob.argmax(1)
    for k, row in enumerate(rows[:3]):
        assert row["n"] == (labels == k).sum()
        assert row["auc"] == pytest.approx(roc_auc_score(labels == k, prob[:, k]))
        assert row["sensitivity"] == pytest.approx(recall_score(labels == k, called == k))
        assert row["specificity"] == pytest.approx(recall_score(labels != k, called != k))
        assert row["ppv"] == pytest.approx(precision_score(labels == k, called == k))
        assert row["auc_low"] <= row["auc"] <= row["auc_high"]
    assert rows[3]["class"] == "mean"
    assert rows[3]["auc"] == pytest.approx(np.mean([row["auc"] for row in rows[:3]]))


def test_class_table_of_several_labels():
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    prob = np.array([[0.9, 0.2], [0.1, 0.8], [0.7, 0.6], [0.2, 0.1]])
    rows = class_table(labels, prob, ["a", "b"], resamples=20)
    assert [row["sensitivity"] for row in rows[:2]] == [1.0, 1.0]
    assert np.array_equal(one_vs_rest(labels, 2), labels)
