"""The C-index against a known value, a count by hand and scikit-learn's area under the curve."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medzoo.evaluation.measures.survival import concordance

TIME, EVENT = np.array([5, 3, 9, 3, 7, 2, 8, 5]), np.array([1, 1, 0, 1, 1, 0, 1, 0]) == 1
RISK = np.array([0.2, 1.1, -0.5, 0.3, 0.1, 0.9, -0.8, 0.4])


def test_the_known_value():
    said = concordance(TIME, EVENT, RISK)
    assert said["c_index"] == pytest.approx(0.823529412, abs=1e-9)
    assert (said["concordant"], said["discordant"], said["tied"]) == (14, 3, 0)


def test_risk_ties_count_half_and_reversal_mirrors():
    assert concordance(TIME, EVENT, np.zeros(8))["c_index"] == 0.5
    assert concordance(TIME, EVENT, -RISK)["c_index"] == pytest.approx(1 - 14 / 17)


def test_with_two_times_it_is_the_area_under_the_curve():
    rng = np.random.default_rng(0)
    died, risk = rng.random(60) < 0.4, rng.integers(0, 9, 60)
    time = np.where(died, 1.0, 2.0)
    assert concordance(time, died, risk)["c_index"] == pytest.approx(roc_auc_score(died, risk))


def test_pairs_by_hand():
    rng = np.random.default_rng(1)
    time, event, risk = rng.integers(1, 6, 30), rng.random(30) < 0.5, rng.integers(0, 5, 30)
    better = pairs = 0.0
    for i in range(30):
        for j in range(30):
            if event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j])):
                pairs += 1
                better += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    assert concordance(time, event, risk)["c_index"] == pytest.approx(better / pairs)


def test_nobody_to_compare():
    assert np.isnan(concordance(TIME, np.zeros(8, bool), RISK)["c_index"])


def test_who_has_no_time_is_in_no_pair():
    time, event, risk = (
        np.append(TIME, [np.nan] * 3),
        np.append(EVENT, [True, False, True]),
        np.append(RISK, [9, 0, -9]),
    )
    assert concordance(time, event, risk) == concordance(TIME, EVENT, RISK)
