"""Areas and Brier scores over time: scikit-survival's numbers, closed forms, and counts by hand."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score
from statsmodels.duration.survfunc import SurvfuncRight

from medzoo.evaluation.measures.survival import (
    area_over_time,
    brier_over_time,
    integrated_brier,
    kaplan_meier,
    mean_area,
    step_at,
)

PLACE = np.arange(1, 31)
TIME, EVENT = (37 * PLACE % 101) / 10, (7 * PLACE % 10) < 6
RISK = np.sin(PLACE) - TIME / 10
MOMENTS = np.array([1.0, 3.0, 5.0, 7.0])
SURVIVAL = np.exp(-(MOMENTS / 6) * np.exp(RISK)[:, None])


def test_the_numbers_of_scikit_survival():
    """`cumulative_dynamic_auc`, `brier_score` and `integrated_brier_score` of scikit-survival 0.28.0.

    Its `survival_train` and `survival_test` are both these patients.
    """
    areas = area_over_time(TIME, EVENT, RISK, MOMENTS)
    assert areas == pytest.approx([0.5740740740740741, 0.5930009587727709, 0.6471617167792896, 0.6364185466578653])
    assert mean_area(TIME, EVENT, areas, MOMENTS) == pytest.approx(0.6214625387158854)
    brier = brier_over_time(TIME, EVENT, SURVIVAL, MOMENTS)
    assert brier == pytest.approx([0.06865203601785219, 0.16277749658682017, 0.2183748562859617, 0.24642642391882824])
    assert integrated_brier(brier, MOMENTS) == pytest.approx(0.1795638609470407)


def test_without_censoring_they_are_those_of_classes():
    everyone = np.ones(30, bool)
    alive = TIME[:, None] > MOMENTS
    assert area_over_time(TIME, everyone, RISK, MOMENTS) == pytest.approx(
        [roc_auc_score(~alive[:, place], RISK) for place in range(4)]
    )
    assert brier_over_time(TIME, everyone, SURVIVAL, MOMENTS) == pytest.approx(
        [brier_score_loss(alive[:, place], SURVIVAL[:, place]) for place in range(4)]
    )


def test_four_patients_by_hand():
    """Deaths at 1 and 3, censored at 2 and 4: three are at risk at 2, so two thirds are observed from then on."""
    time, event, risk = np.array([1.0, 2, 3, 4]), np.array([1, 0, 1, 0]) == 1, np.array([0.0, 5, 2, 1])
    # At 3.5 the deaths count 1 and 3/2, against the one who lives: the first is ordered wrongly, the second rightly.
    assert area_over_time(time, event, risk, np.array([3.5])) == pytest.approx([1.5 / 2.5])
    survival = np.array([0.2, 0.5, 0.4, 0.9])[:, None]
    expected = (0.2**2 + 1.5 * 0.4**2 + 1.5 * 0.1**2) / 4
    assert brier_over_time(time, event, survival, np.array([3.5])) == pytest.approx([expected])


def test_equal_risks_are_worth_a_half_and_the_reverse_mirrors():
    assert area_over_time(TIME, EVENT, np.zeros(30), MOMENTS) == pytest.approx([0.5] * 4)
    assert area_over_time(TIME, EVENT, -RISK, MOMENTS) == pytest.approx(1 - area_over_time(TIME, EVENT, RISK, MOMENTS))


def test_times_at_which_nothing_can_be_compared_are_left_out():
    moments = np.array([-1.0, 3.0, 5.0, 99.0])
    areas = area_over_time(TIME, EVENT, RISK, moments)
    assert np.isnan(areas).tolist() == [True, False, False, True]
    assert mean_area(TIME, EVENT, areas, moments) == mean_area(TIME, EVENT, areas[1:3], moments[1:3])
    assert np.isnan(mean_area(TIME, EVENT, np.full(4, np.nan), moments))
    brier = brier_over_time(TIME, EVENT, np.full((30, 4), 0.5), moments)
    assert np.isnan(brier).tolist() == [False, False, False, True]
    assert brier[0] == pytest.approx(0.25)
    assert np.isnan(integrated_brier(brier[3:], moments[3:]))


def test_who_has_no_time_does_not_count():
    time, event = np.append(TIME, np.nan), np.append(EVENT, True)
    risk, survival = np.append(RISK, 99), np.append(SURVIVAL, np.ones((1, 4)), 0)
    assert np.array_equal(area_over_time(time, event, risk, MOMENTS), area_over_time(TIME, EVENT, RISK, MOMENTS))
    assert np.array_equal(
        brier_over_time(time, event, survival, MOMENTS), brier_over_time(TIME, EVENT, SURVIVAL, MOMENTS)
    )


def test_censoring_does_not_move_them():
    rng = np.random.default_rng(0)
    risk = rng.normal(size=4000)
    death, end = rng.exponential(np.exp(-risk)), rng.exponential(2, 4000)
    moments = np.array([0.3, 0.8])
    survival = np.exp(-moments * np.exp(risk)[:, None])
    true, censored = (death, np.ones(4000, bool)), (np.minimum(death, end), death <= end)
    assert censored[1].mean() < 0.75
    for measure, score in ((area_over_time, risk), (brier_over_time, survival)):
        assert measure(*censored, score, moments) == pytest.approx(measure(*true, score, moments), abs=0.015)


def test_the_integral_of_a_line_is_its_middle():
    assert integrated_brier(np.array([0.1, 0.2, 0.3]), np.array([2.0, 4, 6])) == pytest.approx(0.2)


def test_kaplan_meier_is_that_of_statsmodels():
    time = np.floor(TIME)  # ties
    curve = SurvfuncRight(time, EVENT.astype(int))
    found = kaplan_meier(time, EVENT)
    assert step_at(found, curve.surv_times) == pytest.approx(curve.surv_prob)
    assert step_at(found, np.array([-1.0])) == 1
    later = step_at(found, curve.surv_times[1:], before=True)
    assert later == pytest.approx(curve.surv_prob[:-1])
