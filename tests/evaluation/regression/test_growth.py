"""The forecast from a table alone, against scikit-learn and against the phantom's own causal model."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medzoo.datamodules.phantoms.head import causal
from medzoo.evaluation.regression.growth import (
    calibrated_growth,
    fit_calibration,
    fit_growth,
    growth_of,
    log_growth,
    unlogged,
)
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


def calibrated(share, spread, count=400, seed=0):
    """Numbers fitted to patients whose growth is the regression's plus a share of what a network adds, and noise."""
    rng = np.random.default_rng(seed)
    clinical, expanded = rng.uniform(size=(count, 2)), np.arange(count) % 2
    growth = 0.1 + 0.4 * expanded + 0.5 * clinical[:, 0] + rng.normal(0, 0.05, count)
    numbers = fit_growth(clinical, growth, expanded)
    new = rng.uniform(size=(count, 2))
    mean = 0.1 + 0.4 * expanded + 0.5 * new[:, 0]
    network = mean + rng.normal(0, 0.2, count)
    truth = mean + share * (network - mean) + rng.normal(0, 0.05 * spread, count)
    return numbers, new, network, truth, expanded


@pytest.mark.parametrize(("share", "spread"), [(0.0, 1.0), (0.6, 1.0), (0.3, 3.0)])
def test_the_network_is_trusted_as_far_as_it_is_right(share, spread):
    numbers, clinical, network, truth, expanded = calibrated(share, spread)
    found = fit_calibration(numbers, clinical, network, truth, expanded)
    assert found["share"] == pytest.approx([share, share], abs=0.08), "200 patients of each group: 20 count little"
    assert found["spread"] == pytest.approx([spread, spread], rel=0.12)


def test_a_network_that_is_always_wrong_is_not_trusted_and_few_patients_change_little():
    numbers, clinical, network, truth, expanded = calibrated(0.0, 1.0)
    opposite = 2 * truth - network
    assert fit_calibration(numbers, clinical, network, opposite, expanded)["share"].tolist() == [0, 0]
    few = fit_calibration(numbers, clinical[:2], network[:2], truth[:2] + 0.1, expanded[:2])
    assert few["share"].tolist() == [0, 0], "one patient in each group"
    assert (few["spread"] < 1.2).all()


def test_calibrated_samples_have_the_spread_of_the_residuals_and_keep_their_order():
    numbers, clinical, *_ = calibrated(0.5, 1.0)
    numbers |= {"share": np.array([0.5, 0.0]), "spread": np.array([1.0, 2.0])}
    flags = np.r_[np.zeros(200, int), np.ones(200, int)]
    sampled = np.random.default_rng(1).normal(0.9, 0.3, 400)
    growth = calibrated_growth(numbers, clinical[0], sampled, flags)
    for group in (0, 1):
        inside = flags == group
        assert (growth[inside].argsort() == sampled[inside].argsort()).all()
    expected = 0.1 + 0.5 * clinical[0, 0]
    assert growth[:200].mean() == pytest.approx(expected + 0.5 * (sampled[:200].mean() - expected), abs=0.02)
    assert growth[200:].mean() == pytest.approx(expected + 0.4, abs=0.02)
    assert growth[:200].std() == pytest.approx(0.05, rel=0.1)
    assert growth[200:].std() == pytest.approx(0.1, rel=0.1)


def test_volumes_and_their_growth_are_inverse_and_tiny_ones_are_floored():
    before, after = np.array([10.0, 0.0]), np.array([20.0, 0.05])
    assert log_growth(before, after) == pytest.approx([np.log(2), 0])
    assert unlogged(before, log_growth(before, after)) == pytest.approx([20, 0.1])
