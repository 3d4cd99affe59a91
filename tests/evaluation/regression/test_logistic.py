import itertools

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import OptimizeResult, minimize
from scipy.special import expit

from medzoo.evaluation.regression import likelihood
from medzoo.evaluation.regression.likelihood import likelihood_ratio_p, maximise, profile_interval
from medzoo.evaluation.regression.logistic import fit_logistic, recentred
from medzoo.evaluation.regression.odds import multivariate_table, univariate_table
from medzoo.evaluation.regression.predictors import (
    events_note,
    polarity_note,
    separation,
    standardised,
    variance_inflation,
)
from medzoo.evaluation.scores.diagnostic import rates
from tests.evaluation.golden import SEPARATED, cohort, overlapping

NAMES = ("first", "second")


def test_golden_separated_data_have_a_finite_penalised_answer():
    x, positive = SEPARATED
    fit = fit_logistic(x, positive, ["x"])
    assert fit.method == "firth"
    assert "complete separation" in fit.notes[0]
    assert fit.intercept == pytest.approx(0, abs=1e-9)
    assert fit.coefficients == pytest.approx([1.232309], abs=1e-6)
    assert fit.standard_errors[1] == pytest.approx(0.72904, abs=1e-5)
    row = multivariate_table(fit, x, positive)[0]
    assert row["p"] == pytest.approx(0.009926, abs=1e-6)
    assert np.log([row["low"], row["high"]]) == pytest.approx([0.2217, 3.6203], abs=5e-5)


def test_golden_overlapping_data():
    x, positive = overlapping()
    assert positive.sum() == 11
    fit = fit_logistic(x, positive, NAMES)
    values = [fit.intercept, *fit.coefficients]
    assert fit.method == "ml"
    assert values == pytest.approx([-0.203845, 0.826885, -0.129277], abs=1e-6)
    assert fit.standard_errors == pytest.approx([0.453547, 0.425960, 0.395187], abs=1e-6)
    p = 2 * stats.norm.sf(np.abs(values) / fit.standard_errors)
    assert p == pytest.approx([0.653, 0.0522, 0.7436], abs=2e-4)
    design, _ = standardised(x)
    assert maximise(design, positive, penalised=False).log_likelihood == pytest.approx(-14.290224, abs=1e-6)
    firth = fit_logistic(x, positive, NAMES, method="firth")
    assert [firth.intercept, *firth.coefficients] == pytest.approx([-0.173250, 0.700635, -0.110389], abs=1e-6)


@pytest.mark.parametrize("data", [overlapping, cohort])
def test_maximum_likelihood_is_that_of_statsmodels(data):
    api = pytest.importorskip("statsmodels.api")
    x, positive, *names = data()
    fit = fit_logistic(x, positive, names[0] if names else NAMES)
    theirs = api.Logit(positive.astype(float), api.add_constant(x)).fit(disp=0, tol=1e-12, maxiter=100)
    assert fit.method == "ml"
    assert [fit.intercept, *fit.coefficients] == pytest.approx(theirs.params, rel=1e-6)
    assert fit.standard_errors == pytest.approx(theirs.bse, rel=1e-6)
    assert fit.predict(x) == pytest.approx(theirs.predict(), abs=1e-9)
    design, _ = standardised(x)
    top = maximise(design, positive, penalised=False)
    assert top.log_likelihood == pytest.approx(theirs.llf, abs=1e-6)
    without = api.Logit(positive.astype(float), api.add_constant(x[:, 1:])).fit(disp=0)
    expected = stats.chi2.sf(2 * (theirs.llf - without.llf), 1)
    assert likelihood_ratio_p(design, positive, 1, top, penalised=False) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("data", [lambda: SEPARATED, overlapping])
def test_firth_is_that_of_firthmodels(data):
    firthmodels = pytest.importorskip("firthmodels")
    x, positive = data()
    fit = fit_logistic(x, positive, NAMES[: x.shape[1]], method="firth")
    theirs = firthmodels.FirthLogisticRegression(gtol=1e-7, xtol=1e-7, max_iter=200).fit(x, positive.astype(int))
    assert fit.coefficients == pytest.approx(theirs.coef_, abs=1e-6)
    assert fit.intercept == pytest.approx(theirs.intercept_, abs=1e-6)
    theirs.lrt()
    rows = multivariate_table(fit, x, positive)
    assert [row["p"] for row in rows] == pytest.approx(theirs.lrt_pvalues_[:-1], abs=1e-6)
    bounds = theirs.conf_int(method="pl")[:-1]
    ours = np.log([[row["low"], row["high"]] for row in rows])
    assert ours == pytest.approx(bounds, abs=2e-4)


@pytest.mark.parametrize("penalised", [False, True])
def test_profile_bounds_are_where_a_general_optimiser_finds_them(penalised):
    x, positive = overlapping()
    design = np.column_stack([np.ones(len(x)), x])

    def loss(values):
        linear = design @ values
        prob = 1 / (1 + np.exp(-linear))
        size = np.linalg.slogdet((design * (prob * (1 - prob))[:, None]).T @ design)[1]
        return -(np.log(np.where(positive, prob, 1 - prob)).sum() + 0.5 * penalised * size)

    top = maximise(design, positive, penalised=penalised)
    best = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8})
    assert top.coefficients == pytest.approx(best.x, abs=1e-5)
    for bound in profile_interval(design, positive, 1, top, penalised=penalised):
        held = minimize(lambda rest, bound=bound: loss(np.array([rest[0], bound, rest[1]])), np.zeros(2)).fun
        assert 2 * (held - best.fun) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-5)


def test_coefficients_do_not_depend_on_units():
    x, positive, names = cohort()
    scale, shift = np.array([1e-3, 1e4, 7.0]), np.array([5.0, -1e5, 0.3])
    for method in ("ml", "firth"):
        fit = fit_logistic(x, positive, names, method=method)
        other = fit_logistic(x * scale + shift, positive, names, method=method)
        assert other.coefficients * scale == pytest.approx(fit.coefficients, rel=1e-8)
        assert other.predict(x * scale + shift) == pytest.approx(fit.predict(x), abs=1e-10)
    table = multivariate_table(fit, x, positive, per=x.std(0))
    plain = multivariate_table(fit, x, positive)
    assert np.log(table[0]["low"]) == pytest.approx(np.log(plain[0]["low"]) * x[:, 0].std())


def test_odds_ratio_of_a_yes_or_no_predictor_is_that_of_the_table():
    exposed = np.repeat([1.0, 1.0, 0.0, 0.0], [12, 5, 8, 20])
    positive = np.repeat([True, False, True, False], [12, 5, 8, 20])
    row = univariate_table(exposed[:, None], positive, ["exposed"])[0]
    assert row["odds_ratio"] == pytest.approx(12 * 20 / (5 * 8))
    assert row["standard_error"] == pytest.approx(np.sqrt(1 / 12 + 1 / 5 + 1 / 8 + 1 / 20))
    assert row["low"] < row["odds_ratio"] < row["high"]
    assert (row["method"], row["cases"], row["events"]) == ("ml", 45, 20)


def test_an_empty_cell_gets_the_answer_of_half_a_case_in_each():
    """Firth's logistic regression of a 2 x 2 table is the Haldane-Anscombe correction."""
    exposed = np.repeat([1.0, 0.0, 0.0], [7, 4, 15])
    positive = np.repeat([True, True, False], [7, 4, 15])
    fit = fit_logistic(exposed[:, None], positive, ["exposed"])
    assert fit.method == "firth"
    assert "quasi separation" in fit.notes[0]
    assert fit.coefficients[0] == pytest.approx(np.log(7.5 * 15.5 / (0.5 * 4.5)), abs=1e-8)


def test_univariate_rows_are_models_of_one_predictor():
    x, positive, names = cohort()
    rows = univariate_table(x, positive, names)
    assert [row["predictor"] for row in rows] == list(names)
    assert rows[1]["coefficient"] == pytest.approx(fit_logistic(x[:, [1]], positive, ["area"]).coefficients[0])
    assert rows[1]["p"] < 1e-6 < rows[2]["p"]


def test_profile_intervals_cover():
    """Of the true odds ratio in small samples, about as often as they say, separated samples among them."""
    covered, methods = [], set()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(20, 1))
        positive = rng.random(20) < 1 / (1 + np.exp(-(1.5 * x[:, 0] - 0.5)))
        if 0 < positive.sum() < 20:
            row = univariate_table(x, positive, ["x"])[0]
            covered.append(row["low"] <= np.exp(1.5) <= row["high"])
            methods.add(row["method"])
    assert methods == {"ml", "firth"}
    assert 0.9 <= np.mean(covered) <= 0.99


def test_separation_is_found_as_by_trying_every_direction():
    rng = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 721)[:-1]
    found = set()
    for seed in range(60):
        x = rng.integers(0, 4, size=(7, 2)).astype(float)
        positive = np.random.default_rng(seed).random(7) < 0.5
        if not 0 < positive.sum() < 7 or np.linalg.matrix_rank(np.column_stack([np.ones(7), x])) < 3:
            continue
        projected = x @ np.stack([np.cos(angles), np.sin(angles)])
        gap = projected[positive].min(0) - projected[~positive].max(0)
        slow = "complete" if gap.max() > 1e-3 else "quasi" if gap.max() > -1e-9 else "none"
        assert separation(x, positive) == slow, (x, positive)
        found.add(slow)
    assert found == {"complete", "quasi", "none"}


def test_separation_is_that_of_firthmodels():
    detect = pytest.importorskip("firthmodels").detect_separation
    for seed, strength in itertools.product(range(20), (0.5, 3)):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(15, 3))
        positive = rng.random(15) < 1 / (1 + np.exp(-strength * x.sum(1)))
        if 0 < positive.sum() < 15:
            assert (separation(x, positive) != "none") == detect(x, positive.astype(int)).separation


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (np.where(np.arange(24)[:, None] < 2, np.nan, x), y), "first: 2 of 24 values are missing"),
        (lambda x, y: (x * [1, 0] + [0, 2], y), "second: every case has 2; leave this predictor out"),
        (lambda x, y: (x[:, [0, 0]] * [1, 3] + 5, y), "first, second: each follows exactly from the others"),
        (lambda x, y: (x, np.zeros(24, bool)), "0 positive and 24 negative cases: both classes are needed"),
        (lambda x, y: (x[:, :1], y), "predictors of shape"),
    ],
)
def test_what_no_model_can_be_fitted_to_is_said_in_one_line(change, message):
    x, positive = change(*overlapping())
    with pytest.raises(ValueError, match=message) as raised:
        fit_logistic(x, positive, NAMES)
    assert "\n" not in str(raised.value)


def test_separated_data_have_no_maximum_likelihood():
    with pytest.raises(ValueError, match="complete separation"):
        fit_logistic(*SEPARATED, ["x"], method="ml")


def test_doubts_are_said():
    x, positive = overlapping()
    assert events_note(positive, 1) == ""
    assert events_note(np.arange(164) < 36, 16).startswith("36 cases of the rarer class, 2.2 for each of 16 candidate")
    assert fit_logistic(x, positive, NAMES).notes == (events_note(positive, 2),)
    rng = np.random.default_rng(0)
    near = np.column_stack([x[:, 0], x[:, 0] + 0.05 * rng.normal(size=24)])
    assert any(note.startswith("second: variance inflation") for note in fit_logistic(near, positive, NAMES).notes)


def test_variance_inflation_is_that_of_regressions_and_of_statsmodels():
    x, _, _ = cohort()
    x[:, 2] += 0.0002 * x[:, 1]
    rest = np.column_stack([np.ones(len(x)), x[:, :2]])
    left = x[:, 2] - rest @ np.linalg.lstsq(rest, x[:, 2], rcond=None)[0]
    said = variance_inflation(x)
    assert said[2] == pytest.approx(x[:, 2].var() / left.var())
    theirs = pytest.importorskip("statsmodels.stats.outliers_influence").variance_inflation_factor
    assert said[2] == pytest.approx(theirs(np.column_stack([np.ones(len(x)), x]), 3), rel=1e-6)


def test_a_turned_score_is_said_and_swapped_labels_swap_the_rates():
    rng = np.random.default_rng(0)
    positive = rng.random(80) < 0.3
    score = positive + 0.5 * rng.normal(size=80)
    assert polarity_note(positive, score, "image score") == ""
    assert polarity_note(positive, rng.normal(size=80), "noise") == ""
    assert polarity_note(~positive, score, "image score").startswith("image score: area under the ROC curve 0.")
    called = score > 0.5
    right, swapped = rates(positive, called), rates(~positive, ~called)
    assert (right["sensitivity"], right["ppv"]) == (swapped["specificity"], swapped["npv"])


def test_classes_that_all_but_separate_get_firth_too():
    x = np.concatenate([np.linspace(-1, 0, 10), np.linspace(-1e-5, 1, 10)])[:, None]
    positive = np.arange(20) >= 10
    assert separation(x, positive) == "none"
    fit = fit_logistic(x, positive, ["x"])
    assert fit.method == "firth"
    assert fit.notes[0] == "near separation of the classes by x: Firth's likelihood"
    with pytest.raises(ValueError, match="nearly separate the classes"):
        fit_logistic(x, positive, ["x"], method="ml")


def test_hard_data_have_bounds_where_the_penalised_likelihood_has_fallen():
    """Few cases and strong effects give likelihoods with saddles and several maxima."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(14, 3))
        x[:, 0] = rng.random(14) < 0.3
        positive = rng.random(14) < 1 / (1 + np.exp(-6 * x.sum(1)))
        if not 0 < positive.sum() < 14 or np.ptp(x[:, 0]) == 0:
            continue
        design, _ = standardised(x)
        top = maximise(design, positive, penalised=True)
        for column in (1, 2, 3):
            low, high = profile_interval(design, positive, column, top, penalised=True)
            assert low < top.coefficients[column] < high
            for bound in (low, high):
                start = np.where(np.arange(4) == column, bound, top.coefficients)
                held = maximise(design, positive, penalised=True, start=start, held=column)
                assert 2 * (top.log_likelihood - held.log_likelihood) >= stats.chi2.ppf(0.95, 1) - 1e-6


def test_recentred_firth_has_the_mean_of_the_cases_and_the_same_odds():
    x, positive = overlapping()
    rare = np.concatenate([x, x - [3, 0], x - [3, 0], x - [3, 0]]), np.concatenate([positive, np.zeros(72, bool)])
    fit = fit_logistic(*rare, NAMES, method="firth")
    assert fit.predict(rare[0]).mean() > rare[1].mean() + 0.003
    moved = recentred(fit, *rare)
    assert moved.predict(rare[0]).mean() == pytest.approx(rare[1].mean(), abs=1e-10)
    assert np.array_equal(moved.coefficients, fit.coefficients)
    plain = fit_logistic(*rare, NAMES, method="ml")
    assert recentred(plain, *rare).intercept == pytest.approx(plain.intercept, abs=1e-8)
    apart = fit_logistic(*SEPARATED, ["x"])
    assert recentred(apart, *SEPARATED).intercept == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("penalised", [False, True])
def test_a_search_that_ends_beside_the_maximum_is_told(penalised, monkeypatch):
    generator = np.random.default_rng(0)
    x = generator.normal(size=60)
    positive, design = generator.random(60) < expit(x), np.stack([np.ones(60), x], 1)
    top = maximise(design, positive, penalised=penalised)
    monkeypatch.setattr(likelihood, "minimize", lambda *_, **__: OptimizeResult(x=np.zeros(2)))
    with pytest.raises(ValueError, match="no maximum within reach"):  # three steps from 0: a score of 2e-5 is left
        maximise(design, positive, penalised=penalised)
    monkeypatch.setattr(likelihood, "minimize", lambda *_, **__: OptimizeResult(x=top.coefficients + 0.1))
    assert maximise(design, positive, penalised=penalised).coefficients == pytest.approx(top.coefficients, abs=1e-6)
