"""The forecast from a table alone, against scikit-learn and against the phantom's own causal model."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medzoo.datamodules.phantoms.head import causal
from medzoo.evaluation.regression.growth import fit_growth, growth_of
from medzoo.evaluation.regression.risk import expand, risk_of
from medzoo.evaluation.scores.followup_baselines import baseline_forecasts, fit_baselines
from medzoo.evaluation.scores.forecasts import crps

LOW, HIGH = np.array([*causal.CLINICAL.values()]).T


def cohort(seed, count):
    """Clinical columns, the same scaled, baseline and follow-up volumes."""
    rng = np.random.default_rng(seed)
    columns = causal.draw_clinical(rng, count)
    scaled = (np.stack([*columns.values()], 1) - LOW) / (HIGH - LOW)
    followup = causal.realised_volume(columns, causal.draw_noise(rng, count))
    return columns, scaled, columns["IPH_baseline_ml"], followup


def test_growth_of_each_group_is_that_of_scikit_learn():
    _, clinical, before, after = cohort(0, 300)
    growth, expanded = np.log(after / before), causal.is_expansion(before, after)
    numbers = fit_growth(clinical, growth, expanded)
    fill = numbers["risk_fill"]
    for group, inside in (("stable", ~expanded), ("expanding", expanded)):
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
        expected = model.fit(expand(clinical[inside], fill), growth[inside]).predict(expand(clinical, fill))
        said = expand(clinical, fill) @ numbers[f"{group}_weight"] + numbers[f"{group}_bias"]
        assert said == pytest.approx(expected, abs=1e-9)
        assert numbers[f"{group}_growth"].tolist() == growth[inside].tolist()


def test_groups_weigh_as_much_as_their_risk():
    _, clinical, before, after = cohort(0, 300)
    expanded = causal.is_expansion(before, after)
    numbers = fit_growth(clinical, np.log(after / before), expanded)
    risk = risk_of(clinical, numbers["risk_weight"], float(numbers["risk_bias"]), numbers["risk_fill"])
    for regression in (False, True):
        growth, weights = growth_of(numbers, clinical, regression=regression)
        assert growth.shape == weights.shape == (300, 300)
        assert weights.sum(1) == pytest.approx(1)
        assert weights[:, -expanded.sum() :].sum(1) == pytest.approx(risk)


def test_a_group_of_two_has_a_mean():
    clinical = np.random.default_rng(0).uniform(size=(20, 7))
    growth = np.where(np.arange(20) < 2, 0.5, 0.0) + np.arange(20) / 1000
    numbers = fit_growth(clinical, growth, (np.arange(20) < 2).astype(int))
    assert not numbers["expanding_weight"].any()
    assert float(numbers["expanding_bias"]) == pytest.approx(0.5005)


def test_a_table_alone_is_nearly_the_best_where_images_say_nothing():
    _, clinical, before, after = cohort(1, 420)
    columns, new, new_before, new_after = cohort(2, 2000)
    forecasts = baseline_forecasts(fit_baselines(clinical, before, after), new, new_before)
    scores = {name: crps(one.samples, new_after, one.weights).mean() for name, one in forecasts.items()}
    best = crps(causal.followup_volumes(columns, 500, 0), new_after).mean()
    assert best < scores["risk and growth regression"] < 1.12 * best
    assert scores["risk and growth regression"] < scores["risk and mean growth"] < scores["clinical regression"]
