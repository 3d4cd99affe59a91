import numpy as np
import pytest
from scipy import stats

from medzoo.evaluation.regression.imputation import fit_imputed, impute, pool, pooled_table, training_filler
from medzoo.evaluation.regression.logistic import fit_logistic
from medzoo.evaluation.regression.odds import multivariate_table
from tests.evaluation.golden import SEPARATED, cohort


def with_gaps(x, share=0.2, seed=1):
    return np.where(np.random.default_rng(seed).random(x.shape) < share, np.nan, x)


def test_known_values_stay_and_gaps_differ_between_draws():
    x, positive, names = cohort(100)
    gaps = with_gaps(x)
    sets = impute(gaps, positive, names, draws=3, seed=4)
    known = np.isfinite(gaps)
    assert sets.shape == (3, 100, 3)
    assert np.isfinite(sets).all()
    assert all(np.array_equal(each[known], gaps[known]) for each in sets)
    assert (sets[0] != sets[1])[~known].all()
    assert np.array_equal(sets, impute(gaps, positive, names, draws=3, seed=4))


def test_draws_have_the_spread_and_the_associations_of_the_data():
    rng = np.random.default_rng(0)
    first = rng.normal(size=1500)
    x = np.stack([first, 0.8 * first + 0.6 * rng.normal(size=1500)], 1) * [1, 50] + [0, 300]
    positive = rng.random(1500) < 1 / (1 + np.exp(-first))
    hidden = np.where(np.stack([np.zeros(1500), first > 0.5], 1) == 1, np.nan, x)  # missing where the first is large
    sets = impute(hidden, positive, ("a", "b"), draws=5)
    assert np.mean([each[:, 1].std() for each in sets]) == pytest.approx(x[:, 1].std(), rel=0.06)
    assert np.mean([np.corrcoef(each.T)[0, 1] for each in sets]) == pytest.approx(0.8, abs=0.03)
    assert sets[:, :, 1].mean() == pytest.approx(x[:, 1].mean(), abs=0.1 * x[:, 1].std())


def test_rubins_rules_are_the_formulas():
    x, positive, names = cohort(120)
    fits = [fit_logistic(each, positive, names) for each in impute(with_gaps(x), positive, names, draws=4)]
    pooled = pool(fits)
    values, variances = [fit.coefficients[0] for fit in fits], [fit.standard_errors[1] ** 2 for fit in fits]
    mean, inner, outer = np.mean(values), np.mean(variances), np.var(values, ddof=1)
    total = inner + 5 / 4 * outer
    share = 5 / 4 * outer / total
    old, seen = 3 / share**2, (116 + 1) / (116 + 3) * 116 * (1 - share)
    degrees = old * seen / (old + seen)
    assert pooled.coefficients[0] == pytest.approx(mean)
    assert pooled.covariance[1, 1] == pytest.approx(total)
    assert pooled.degrees[1] == pytest.approx(degrees)
    ratio = 5 / 4 * outer / inner
    assert pooled.missing_information[1] == pytest.approx((ratio + 2 / (degrees + 3)) / (1 + ratio))
    row = pooled_table(pooled)[0]
    half = stats.t.ppf(0.975, degrees) * np.sqrt(total)
    assert np.log([row["low"], row["high"]]) == pytest.approx([mean - half, mean + half])
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(mean) / np.sqrt(total), degrees))


def test_pooled_covariance_is_that_of_statsmodels():
    api = pytest.importorskip("statsmodels.api")
    mice = pytest.importorskip("statsmodels.imputation.mice")
    x, positive, names = cohort(120)
    sets = impute(with_gaps(x), positive, names, draws=6)
    pooled = fit_imputed(sets, positive, names)
    model = mice.MICE("y ~ a", api.Logit, None)
    model.results_list = [api.Logit(positive.astype(float), api.add_constant(each)).fit(disp=0) for each in sets]
    model.exog_names, model.endog_names = ["const", *names], "positive"
    theirs = model.combine()
    assert pooled.coefficients == pytest.approx(theirs.params[1:], rel=1e-6)
    assert np.sqrt(np.diag(pooled.covariance)) == pytest.approx(theirs.bse, rel=1e-6)


def test_pooled_intervals_cover_and_are_wider_than_of_one_imputation():
    covered, wider = [], []
    for seed in range(20):
        x, positive, names = cohort(150, seed)
        pooled = fit_imputed(impute(with_gaps(x, 0.25, seed), positive, names, draws=5, seed=seed), positive, names)
        row = pooled_table(pooled)[0]
        covered.append(row["low"] <= np.exp(0.4) <= row["high"])
        wider.append(pooled.covariance[1, 1] > fit_logistic(x, positive, names).covariance[1, 1])
    assert np.mean(covered) >= 0.85
    assert np.mean(wider) > 0.8


def test_without_gaps_pooling_changes_nothing():
    x, positive, names = cohort(120)
    pooled, fit = fit_imputed(x[None], positive, names), fit_logistic(x, positive, names)
    assert pooled.coefficients == pytest.approx(fit.coefficients)
    assert pooled.covariance == pytest.approx(fit.covariance)
    assert pooled.missing_information == pytest.approx(0)
    assert pooled.predict(x) == pytest.approx(fit.predict(x))
    shared = set(multivariate_table(fit, x, positive)[0])
    assert set(pooled_table(pooled)[0]) == shared | {"missing_information"}


def test_one_separated_imputation_makes_all_firth():
    x, positive = SEPARATED
    other = x.copy()
    other[3], other[4] = 1.2, -1.2
    pooled = fit_imputed(np.stack([x, other]), positive, ["x"])
    assert pooled.method == "firth"
    expected = [fit_logistic(each, positive, ["x"], method="firth").coefficients[0] for each in (x, other)]
    assert pooled.coefficients[0] == pytest.approx(np.mean(expected))
    assert "separation" in pooled.notes[0]


def test_new_cases_are_filled_from_the_training_cases_alone():
    x, _, names = cohort(200)
    x[:, 2] = 0.6 + 0.0002 * (x[:, 1] - 900)
    fill = training_filler(with_gaps(x[:150], 0.1), names)
    new = x[150:].copy()
    new[:, 2] = np.nan
    filled = fill(new)
    assert np.array_equal(filled[:, :2], new[:, :2])
    assert filled[:, 2] == pytest.approx(x[150:, 2], abs=0.01)
    assert np.array_equal(fill(new[:1]), filled[:1])


def test_a_predictor_that_nobody_has_is_named():
    x, positive, names = cohort(20)
    x[:, 1] = np.nan
    with pytest.raises(ValueError, match="area: 0 of 20 values are known"):
        impute(x, positive, names)
    with pytest.raises(ValueError, match="area: 0 of 20"):
        training_filler(x, names)
