"""The C-index against a known value, a count by hand and scikit-learn's area under the curve."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from statsmodels.duration.survfunc import SurvfuncRight

from medzoo.evaluation.measures.survival import concordance, concordance_interval, concordance_uno

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


def test_uno_without_censoring_is_harrell():
    rng = np.random.default_rng(2)
    time, risk = rng.permutation(50), rng.integers(0, 20, 50)
    everyone = np.ones(50, bool)
    assert concordance_uno(time, everyone, risk) == pytest.approx(concordance(time, everyone, risk)["c_index"])


def test_uno_by_hand_with_the_kaplan_meier_estimate_of_statsmodels():
    rng = np.random.default_rng(3)
    time, event, risk = rng.permutation(40) + 1.0, rng.random(40) < 0.6, rng.normal(size=40)
    censoring = SurvfuncRight(time, (~event).astype(int))

    def observed_before(moment):
        earlier = censoring.surv_prob[censoring.surv_times < moment]
        return earlier[-1] if len(earlier) else 1.0

    for until in (None, 25.0):
        better = pairs = 0.0
        for i in range(40):
            if event[i] and (until is None or time[i] < until):
                weight = 1 / observed_before(time[i]) ** 2
                pairs += weight * (time > time[i]).sum()
                better += weight * ((time > time[i]) & (risk < risk[i])).sum()
        assert concordance_uno(time, event, risk, until) == pytest.approx(better / pairs)


def test_uno_does_not_depend_on_the_censoring():
    """Early events are easier to order here, so the more is censored, the larger Harrell's index."""
    rng = np.random.default_rng(4)
    hazard = rng.normal(size=3000)
    death = rng.exponential(size=3000) * np.exp(-1.5 * hazard)
    risk = hazard + np.where(death > np.median(death), rng.normal(0, 2, 3000), 0)
    end = rng.exponential(np.median(death) * 2, 3000)
    until = np.quantile(death, 0.8)
    true = concordance_uno(death, np.ones(3000, bool), risk, until)
    censored = np.minimum(death, end), death <= end, risk
    assert concordance_uno(*censored, until) == pytest.approx(true, abs=0.02)
    assert concordance(*censored)["c_index"] > true + 0.01


def test_the_interval_is_that_of_patients_drawn_again():
    rng = np.random.default_rng(5)
    time, event, risk = rng.exponential(size=60), rng.random(60) < 0.7, rng.normal(size=60)
    risk = risk - time
    drawn = [rng.integers(0, 60, 60) for _ in range(1000)]
    slow = np.quantile([concordance(time[each], event[each], risk[each])["c_index"] for each in drawn], [0.025, 0.975])
    low, high = concordance_interval(time, event, risk, resamples=2000)
    assert low < concordance(time, event, risk)["c_index"] < high
    assert (low, high) == pytest.approx(tuple(slow), abs=0.015)
