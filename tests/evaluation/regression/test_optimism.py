import numpy as np
import pytest

from medzoo.evaluation.regression.imputation import training_filler
from medzoo.evaluation.regression.logistic import fit_logistic
from medzoo.evaluation.regression.optimism import optimism_table
from medzoo.evaluation.scores.classification import auc


def noise(cases=60, predictors=12, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(cases, predictors)), rng.random(cases) < 0.4


def pipeline(x, positive):
    """The whole of it: the three predictors that differ most between the classes are chosen on the rows given."""

    def fit(rows):
        gap = x[rows][positive[rows]].mean(0) - x[rows][~positive[rows]].mean(0)
        chosen = np.argsort(-np.abs(gap))[:3]
        model = fit_logistic(x[rows][:, chosen], positive[rows], [str(k) for k in chosen])
        return lambda some: model.predict(x[some][:, chosen])

    return fit


def by_measure(rows):
    return {row["measure"]: row for row in rows}


def test_correction_finds_that_noise_says_nothing():
    corrected, apparent, slopes = [], [], []
    for seed in range(12):
        x, positive = noise(seed=seed)
        said = by_measure(optimism_table(pipeline(x, positive), positive, resamples=40, seed=seed))
        apparent.append(said["auc"]["apparent"])
        corrected.append(said["auc"]["corrected"])
        slopes.append(said["calibration_slope"])
    assert np.mean(apparent) > 0.65
    assert np.mean(corrected) == pytest.approx(0.5, abs=0.06)
    assert all(row["apparent"] == pytest.approx(1, abs=0.02) for row in slopes)
    assert np.mean([row["corrected"] for row in slopes]) < 0.6
    assert all(np.isnan([row["low"], row["high"]]).all() for row in slopes)


def test_corrected_area_is_near_the_area_in_new_cases():
    corrected, truth, apparent = [], [], []
    for seed in range(12):
        x, positive = noise(2080, 8, seed)
        positive = np.random.default_rng(seed + 99).random(2080) < 1 / (1 + np.exp(-x[:, 0]))
        small, small_positive = x[:80], positive[:80]
        fit = pipeline(small, small_positive)
        row = by_measure(optimism_table(fit, small_positive, resamples=40, seed=seed))["auc"]
        gap = small[small_positive].mean(0) - small[~small_positive].mean(0)
        chosen = np.argsort(-np.abs(gap))[:3]
        model = fit_logistic(small[:, chosen], small_positive, ["a", "b", "c"])
        truth.append(auc(positive[80:], model.predict(x[80:, chosen]))[0])
        corrected.append(row["corrected"])
        apparent.append(row["apparent"])
    assert np.mean(apparent) - np.mean(truth) > 0.02
    assert np.mean(corrected) == pytest.approx(np.mean(truth), abs=0.025)


def test_values_are_those_of_a_slow_loop():
    x, positive = noise(50, 4)
    fit = pipeline(x, positive)
    rows = optimism_table(fit, positive, resamples=15, seed=3)
    rng, gains, inside = np.random.default_rng(3), [], []
    for _ in range(15):
        drawn = rng.integers(0, 50, 50)
        predict = fit(drawn)
        inside.append(auc(positive[drawn], predict(drawn))[0])
        gains.append(inside[-1] - auc(positive, predict(np.arange(50)))[0])
    row = by_measure(rows)["auc"]
    assert row["optimism"] == pytest.approx(np.mean(gains))
    assert row["corrected"] == pytest.approx(row["apparent"] - np.mean(gains))
    assert [row["low"], row["high"]] == pytest.approx(np.percentile(inside, [2.5, 97.5]) - np.mean(gains))
    assert (row["resamples"], row["redrawn"]) == (15, 0)


def test_rows_of_a_case_are_drawn_together():
    cases = np.array(["a", "b", "b", "c", "c", "c", "d", "e"])
    positive = np.array([1, 0, 0, 1, 1, 1, 0, 1], bool)
    seen = []

    def fit(rows):
        seen.append(rows)
        return lambda some: np.linspace(0.2, 0.8, len(positive))[some]

    optimism_table(fit, positive, cases=cases, resamples=20)
    for rows in seen[1:]:
        counts = {case: [np.sum(rows == k) for k in np.flatnonzero(cases == case)] for case in "abcde"}
        assert all(len(set(count)) == 1 for count in counts.values())
        assert sum(count[0] for count in counts.values()) == 5


def test_gaps_are_filled_inside_the_pipeline_and_refused_draws_are_counted():
    x, positive = noise(40, 2)
    x[3, 0] = np.nan
    x[:, 1] = np.arange(40) < 2  # constant in some resamples

    def fit(rows):
        fill = training_filler(x[rows], ["a", "b"])
        model = fit_logistic(fill(x[rows]), positive[rows], ["a", "b"])
        return lambda some: model.predict(fill(x[some]))

    rows = optimism_table(fit, positive, resamples=10)
    assert rows[0]["redrawn"] > 0
    assert rows[0]["resamples"] == 10


def test_separated_classes_have_no_calibration_line_and_say_so():
    positive = np.arange(30) >= 15
    x = np.arange(30.0)[:, None]

    def fit(rows):
        model = fit_logistic(x[rows], positive[rows], ["x"])
        return lambda some: model.predict(x[some])

    said = by_measure(optimism_table(fit, positive, resamples=5))
    assert said["auc"]["corrected"] == pytest.approx(1, abs=0.02)
    assert np.isnan(said["calibration_slope"]["apparent"])
    assert said["calibration_slope"]["resamples"] == 0


def test_a_pipeline_that_refuses_most_draws_is_named():
    def fit(rows):
        if len(np.unique(rows)) < len(rows):
            raise ValueError("age: too few")
        return lambda some: np.linspace(0, 1, 20)[some]

    with pytest.raises(ValueError, match="resamples could not be fitted, the last: age: too few"):
        optimism_table(fit, np.arange(20) > 9, resamples=5)
