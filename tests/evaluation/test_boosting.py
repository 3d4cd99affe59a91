"""XGBoost, where it is installed."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.boosting import boosted_prob


def test_it_learns_an_interaction_and_takes_gaps():
    pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(800, 4))
    label = (rows[:, 0] * rows[:, 1] > 0).astype(int)
    rows[rng.random(rows.shape) < 0.05] = np.nan
    prob = boosted_prob(rows[:500], label[:500], rows[500:], num_classes=3)
    assert prob.shape == (300, 3)
    np.testing.assert_allclose(prob.sum(1), 1, atol=1e-6)
    assert not prob[:, 2].any(), "a class without examples"
    assert roc_auc_score(label[500:], prob[:, 1]) > 0.85


def test_where_it_is_missing_the_extra_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(ImportError, match="boosting"):
        boosted_prob(np.zeros((2, 1)), np.array([0, 1]), np.zeros((1, 1)), num_classes=2)
