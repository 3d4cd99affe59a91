from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from medzoo.evaluation.measures.expansion import ExpansionRule
from medzoo.evaluation.scores import forecasts
from medzoo.evaluation.scores.followup_baselines import (
    Forecast,
    baseline_forecasts,
    comparison_table,
    fit_baselines,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def weighted(rng):
    """Samples with ties, integer weights of which some are zero, and truths that tie with samples."""
    return rng.normal(20, 5, (6, 9)).round(), rng.integers(0, 4, (6, 9)) + np.eye(6, 9), rng.normal(20, 5, 6).round()


def replicated(samples, weights):
    return np.repeat(samples, weights.astype(int))[None]


def test_crps_equals_the_integral_of_the_squared_difference_of_distributions(weighted):
    samples, weights, truth = weighted
    for row, weight, value in zip(samples, weights, truth, strict=True):

        def integrand(x, row=row, weight=weight, value=value):
            return ((weight * (row <= x)).sum() / weight.sum() - (x >= value)) ** 2

        edges = np.unique([*row, value])
        slow = sum(quad(integrand, a, b)[0] for a, b in pairwise(edges))
        fast = forecasts.crps(row[None], np.array([value]), weight[None])[0]
        assert fast == pytest.approx(slow, abs=1e-6)


def test_crps_of_many_samples_equals_the_closed_form_of_a_gaussian(rng):
    truth = np.array([-2.0, 0.0, 0.7])
    samples = rng.normal(size=(3, 200_000))
    closed = truth * (2 * stats.norm.cdf(truth) - 1) + 2 * stats.norm.pdf(truth) - 1 / np.sqrt(np.pi)
    assert forecasts.crps(samples, truth) == pytest.approx(closed, abs=5e-3)


def test_crps_of_one_sample_is_the_absolute_error():
    assert forecasts.crps(np.array([[3.0], [5.0]]), np.array([1.0, 9.0])).tolist() == [2.0, 4.0]


def test_weights_equal_replication(weighted):
    samples, weights, truth = weighted
    for k in range(len(samples)):
        one = (samples[k : k + 1], truth[k : k + 1])
        many = replicated(samples[k], weights[k])
        assert forecasts.crps(*one, weights[k : k + 1]) == pytest.approx(forecasts.crps(many, one[1]))
        assert forecasts.weighted_mean(one[0], weights[k : k + 1])[0] == pytest.approx(many.mean())
        score = forecasts.expansion_score(one[0], one[1], 7 * weights[k : k + 1])[0]
        assert score == pytest.approx(ExpansionRule()(truth[k], many).mean())


def test_pit_and_intervals_of_a_calibrated_forecast(rng):
    samples, truth = rng.normal(size=(4000, 16)), rng.normal(size=4000)
    assert stats.kstest(forecasts.pit(samples, truth), "uniform").pvalue > 0.01
    # 16 samples cannot reach beyond 15 / 17 of the distribution
    assert forecasts.coverage(samples, truth, 0.5) == pytest.approx(0.5, abs=0.025)
    assert forecasts.coverage(samples, truth, 0.9) == pytest.approx(15 / 17, abs=0.02)


def test_pit_of_a_stratified_calibrated_forecast(rng):
    share = rng.uniform(0.05, 0.4, 3000)
    truth = rng.normal(3 * (rng.uniform(size=3000) < share), 1)
    samples = rng.normal(np.repeat([0, 3], 40), 1, (3000, 80))
    weights = np.stack([1 - share, share], 1).repeat(40, axis=1) / 40
    assert stats.kstest(forecasts.pit(samples, truth, weights=weights), "uniform").pvalue > 0.01
    assert stats.kstest(forecasts.pit(samples, truth), "uniform").pvalue < 1e-4
    assert forecasts.coverage(samples, truth, 0.9, weights) == pytest.approx(0.9, abs=0.02)


def test_pit_shows_bias_and_repeats_with_its_seed(rng):
    samples, truth = rng.normal(size=(500, 16)), rng.normal(1, 1, 500)
    assert forecasts.pit(samples, truth).mean() > 0.65
    assert np.array_equal(forecasts.pit(samples, truth, 3), forecasts.pit(samples, truth, 3))


def test_pit_of_a_truth_tied_with_all_samples_is_anywhere():
    values = forecasts.pit(np.ones((2000, 5)), np.ones(2000))
    assert stats.kstest(values, "uniform").pvalue > 0.01


@pytest.mark.parametrize("level", [0.0, 0.05, 0.3, 0.5, 0.95, 1.0])
def test_unweighted_quantiles_equal_numpy(rng, level):
    samples = rng.normal(size=(4, 13))
    expected = np.quantile(samples, level, axis=1, method="weibull")
    assert forecasts.weighted_quantile(samples, level) == pytest.approx(expected)
    with_idle = np.hstack([samples, rng.normal(size=(4, 3))])  # samples of weight zero count for nothing
    weights = np.r_[np.ones(13), np.zeros(3)] * np.ones((4, 1))
    assert forecasts.weighted_quantile(with_idle, level, weights) == pytest.approx(expected)


def test_weighted_quantiles_approach_those_of_the_mixture(rng):
    samples = np.hstack([rng.normal(0, 1, (1, 20_000)), rng.normal(9, 1, (1, 500))])
    weights = np.r_[np.full(20_000, 0.7 / 20_000), np.full(500, 0.3 / 500)][None]
    assert forecasts.weighted_quantile(samples, 0.35, weights)[0] == pytest.approx(0, abs=0.05)
    assert forecasts.weighted_quantile(samples, 0.85, weights)[0] == pytest.approx(9, abs=0.15)


def test_energy_distance_equals_scipy_and_scales(rng):
    a, b = rng.normal(size=40), rng.normal(1, 2, 55)
    assert forecasts.energy_distance(a, b) == pytest.approx(stats.energy_distance(a, b))
    assert forecasts.energy_distance(9 * a, 9 * b) == pytest.approx(3 * forecasts.energy_distance(a, b))
    assert forecasts.energy_distance(a, a) == pytest.approx(0, abs=1e-7)


def test_energy_distance_in_two_dimensions_equals_a_slow_loop(rng):
    a, b = rng.normal(size=(5, 2)), rng.normal(1, 2, (7, 2))

    def mean(u, v):
        return np.mean([[np.hypot(*(p - q)) for p in u] for q in v])

    assert forecasts.energy_distance(a, b) ** 2 == pytest.approx(2 * mean(a, b) - mean(a, a) - mean(b, b))


def test_bootstrap_interval_covers_the_standard_error(rng):
    values = rng.gamma(2, 3, 200)
    low, high = forecasts.bootstrap_interval(values, resamples=4000)
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(200), rel=0.1)
    assert low < values.mean() < high


def test_metrics_of_a_known_forecast(rng):
    baseline = rng.gamma(3, 8, 300)
    truth = baseline * np.exp(rng.normal(0.1, 0.3, 300))
    samples = baseline[:, None] * np.exp(rng.normal(0.1, 0.3, (300, 99))) + 2.0
    numbers = forecasts.forecast_metrics(samples, truth, baseline, resamples=100)
    assert numbers["volume_bias_ml"] == pytest.approx((samples.mean(1) - truth).mean())
    assert numbers["volume_mae_ml"] == pytest.approx(np.abs(np.median(samples, axis=1) - truth).mean())
    assert numbers["crps_low"] < numbers["crps"] < numbers["crps_high"]
    assert numbers["expansion_auc_low"] < numbers["expansion_auc"] < numbers["expansion_auc_high"]
    assert all(isinstance(value, float) and np.isfinite(value) for value in numbers.values())


def test_metrics_where_nobody_expanded():
    numbers = forecasts.forecast_metrics(np.full((3, 4), 9.0), np.full(3, 8.0), np.full(3, 8.0), resamples=20)
    assert numbers["crps"] == pytest.approx(1.0)
    undefined = {name for name, value in numbers.items() if np.isnan(value)}
    assert undefined == {"expansion_auc", "expansion_auc_low", "expansion_auc_high", "expansion_slope"}


@pytest.mark.parametrize(
    ("samples", "weights", "message"),
    [
        (np.ones(3), None, "samples must be"),
        (np.full((2, 3), np.nan), None, "hold NaN"),
        (np.ones((2, 3)), np.ones(3), "weights must be"),
        (np.ones((2, 3)), np.zeros((2, 3)), "positive sum"),
    ],
)
def test_wrong_samples_are_refused(samples, weights, message):
    with pytest.raises(ValueError, match=message):
        forecasts.crps(samples, np.ones(2), weights)


@pytest.fixture
def cohort(rng):
    """900 patients whose log growth is linear in two of seven variables."""
    clinical = rng.uniform(0, [24, 100, 1, 1, 100, 15, 250], (900, 7))
    baseline = rng.gamma(3, 8, 900) + 2
    growth = 0.3 - 0.02 * clinical[:, 0] + 0.2 * clinical[:, 2] + rng.normal(0, 0.1, 900)
    return clinical, baseline, baseline * np.exp(growth)


def forecasts_of(clinical, baseline, followup, new, new_baseline):
    return baseline_forecasts(fit_baselines(clinical, baseline, followup), new, new_baseline)


def test_point_baselines():
    table = np.array([[1.0], [2.0]])
    usual = forecasts_of(table, np.array([10.0, 30.0]), np.array([10.0, 40.0]), table, np.array([4.0, 8.0]))
    assert usual["no change"].samples.tolist() == [[4.0], [8.0]]
    forecast = usual["mean growth"]
    assert forecast.samples.tolist() == [[5.0], [10.0]]
    assert forecast.score.tolist() == [1.0, 2.0]


def test_regression_recovers_effects_and_spread(cohort, rng):
    clinical, baseline, followup = cohort
    patient = np.array([[5.0, 50, 0, 0, 50, 9, 120], [15.0, 50, 0, 0, 50, 9, 120], [5.0, 50, 1, 0, 50, 9, 120]])
    usual = forecasts_of(clinical, baseline, followup, patient, np.full(3, 20.0))
    log_growth = np.log(usual["clinical regression"].samples / 20)
    assert log_growth.mean(1) == pytest.approx([0.2, 0.0, 0.4], abs=0.02)
    assert log_growth.std(1) == pytest.approx(0.1, rel=0.1)


def test_regression_is_calibrated_with_few_patients_and_unknown_values(cohort, rng):
    clinical, baseline, followup = cohort
    clinical = np.where(rng.uniform(size=clinical.shape) < 0.1, np.nan, clinical)
    clinical[:, 4] = np.nan  # never known
    inside = []
    for start in range(0, 800, 40):
        known, new = slice(start, start + 40), slice(800, 900)
        given = clinical[known], baseline[known], followup[known], clinical[new], baseline[new]
        forecast = forecasts_of(*given)["clinical regression"]
        inside.append(forecasts.coverage(forecast.samples, followup[new], 0.9))
    assert forecast.samples.shape == (100, 40)
    assert np.mean(inside) == pytest.approx(0.9, abs=0.05)  # residuals of the fit itself would cover 0.74


def test_regression_is_that_of_scikit_learn_with_unknown_values(cohort, rng):
    clinical, baseline, followup = cohort
    clinical = np.where(rng.uniform(size=clinical.shape) < 0.1, np.nan, clinical)
    clinical[:100, 3] = np.nanmean(clinical[:, 3])  # known of all of whom it is fitted to, not of all others
    pipeline = make_pipeline(SimpleImputer(add_indicator=True), LinearRegression())
    growth = np.log(followup / baseline)
    expected = pipeline.fit(clinical[:100], growth[:100]).predict(clinical[100:])
    numbers = fit_baselines(clinical[:100], baseline[:100], followup[:100]) | {"residuals": np.zeros(1)}
    samples = baseline_forecasts(numbers, clinical[100:], baseline[100:])["clinical regression"].samples[:, 0]
    assert np.log(samples / baseline[100:]) == pytest.approx(expected, abs=1e-9)


def test_table_compares_with_the_best_baseline(cohort):
    clinical, baseline, followup = cohort
    train, test = slice(0, 800), slice(800, 900)
    arrays = (clinical[train], baseline[train], followup[train], clinical[test], baseline[test])
    perfect = Forecast(followup[test][:, None])
    rows = comparison_table({"perfect": perfect}, forecasts_of(*arrays), followup[test], baseline[test], resamples=50)
    table = {row["name"]: row for row in rows}
    of_groups = ["risk and mean growth", "risk and growth regression"]
    assert list(table) == ["perfect", "no change", "mean growth", "clinical regression", *of_groups]
    assert table["perfect"]["skill"] == pytest.approx(1.0)
    assert table["clinical regression"]["skill"] == 0.0
    assert table["no change"]["skill"] < 0
    assert table["no change"]["expansion_auc"] == 0.5
    assert table["clinical regression"]["expansion_auc"] > 0.8
