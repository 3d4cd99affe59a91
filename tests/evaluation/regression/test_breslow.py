"""Breslow's baseline hazard: scikit-survival's numbers, and closed forms."""

import numpy as np
import pytest
import torch

from medzoo.evaluation.measures.survival import kaplan_meier, step_at
from medzoo.evaluation.regression.breslow import fit_baseline_survival
from medzoo.models.fitted import BaselineSurvival

PLACE = np.arange(1, 31)
TIME, EVENT = (37 * PLACE % 101) / 10, (7 * PLACE % 10) < 6
RISK = np.sin(PLACE) - TIME / 10
MOMENTS = torch.tensor([1.0, 3.0, 5.0, 7.0])


def part(*patients):
    survival = BaselineSurvival()
    survival.take(**fit_baseline_survival(*patients))
    return survival


def test_the_numbers_of_scikit_survival():
    """`BreslowEstimator.baseline_survival_` of scikit-survival 0.28.0."""
    expected = [0.9158371498356325, 0.7728189910655288, 0.5536464465965779, 0.3718491896767018]
    found = part(TIME, EVENT, RISK)(torch.zeros(1), MOMENTS)
    assert found[0].tolist() == pytest.approx(expected)
    for hazard in (-1.0, 0.7):
        found = part(TIME, EVENT, RISK)(torch.tensor([hazard]), MOMENTS)
        assert found[0].tolist() == pytest.approx(np.power(expected, np.exp(hazard)), rel=1e-6)


def test_without_differences_it_is_nelson_and_aalens_and_all_have_kaplan_and_meiers():
    time = np.floor(TIME)  # ties
    survival = part(time, EVENT, np.zeros(30))
    moments = np.unique(time[EVENT])
    steps = [((time == moment) & EVENT).sum() / (time >= moment).sum() for moment in moments]
    assert survival.hazard.numpy() == pytest.approx(np.cumsum(steps))
    asked = torch.tensor([-1.0, 0.0, 4.5, 99.0])
    assert survival(torch.zeros(1), asked)[0, 0] == 1
    assert survival.of_all(asked).numpy() == pytest.approx(step_at(kaplan_meier(time, EVENT), asked.numpy()))


def test_a_constant_in_the_log_hazard_changes_nothing():
    moved = part(TIME, EVENT, RISK + 3)(torch.tensor([3.5]), MOMENTS)
    assert moved.numpy() == pytest.approx(part(TIME, EVENT, RISK)(torch.tensor([0.5]), MOMENTS).numpy())


def test_an_exponential_cohort_gets_its_rate_back():
    rng = np.random.default_rng(0)
    risk = rng.normal(size=5000)
    death, end = rng.exponential(10 * np.exp(-risk)), rng.uniform(0, 30, 5000)
    survival = part(np.minimum(death, end), death <= end, risk)
    asked = torch.tensor([2.0, 5.0, 12.0])
    found = survival(torch.tensor([-0.5, 1.0]), asked).numpy()
    assert found == pytest.approx(np.exp(-asked.numpy() / 10 * np.exp([[-0.5], [1.0]])), abs=0.02)
    asked = np.quantile(np.minimum(death, end)[death <= end], np.arange(1, 10) / 10)
    assert survival.asked.numpy() == pytest.approx(asked)


def test_who_has_no_time_teaches_nothing_and_without_events_nothing_is_learnt():
    time, event = np.append(TIME, np.nan), np.append(EVENT, True)
    same = part(time, event, np.append(RISK, 9.0)).hazard
    assert torch.equal(same, part(TIME, EVENT, RISK).hazard)
    with pytest.raises(ValueError, match="survival_weight=0"):
        fit_baseline_survival(TIME, np.zeros(30, bool), RISK)
