import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from medzoo.evaluation.regression.logistic import fit_logistic
from medzoo.evaluation.scores.classification import bootstrap_auc
from medzoo.evaluation.scores.diagnostic import (
    calibration_intervals,
    calibration_line,
    decision_curve,
    delong,
    delong_test,
    mcnemar,
    net_benefit,
    rates,
    youden_threshold,
)
from medzoo.evaluation.scores.intervals import percentile_interval
from tests.evaluation.golden import overlapping

# npj Digital Medicine 2025, s41746-025-02213-w, table 3: TP, FP, FN, TN rebuilt from published rates and counts, then
# sensitivity, specificity, accuracy, NPV, PPV as published.
PUBLISHED = {
    "train 1:1": ((143, 192, 75, 693), (0.656, 0.783, 0.758, 0.902, 0.427), (0.517, 0.720)),
    "train 1:2": ((148, 183, 70, 702), (0.679, 0.793, 0.771, 0.909, 0.447), (0.539, 0.736)),
    "train 1:4": ((138, 174, 80, 711), (0.633, 0.803, 0.770, 0.899, 0.442), (0.521, 0.718)),
    "external 1, 1:1": ((71, 105, 41, 296), (0.634, 0.738, 0.715, 0.878, 0.403), (0.493, 0.686)),
    "external 1, 1:2": ((74, 92, 38, 309), (0.661, 0.771, 0.747, 0.890, 0.446), (0.532, 0.716)),
    "external 1, 1:4": ((70, 114, 42, 287), (0.625, 0.716, 0.696, 0.872, 0.380), (0.473, 0.670)),
    "external 2, 1:1": ((52, 96, 29, 227), (0.642, 0.703, 0.691, 0.887, 0.351), (0.454, 0.672)),
    "external 2, 1:2": ((51, 79, 30, 244), (0.630, 0.755, 0.730, 0.891, 0.392), (0.483, 0.693)),
    "external 2, 1:4": ((50, 87, 31, 236), (0.617, 0.731, 0.708, 0.884, 0.365), (0.459, 0.674)),
}


def sample(n=200, seed=0, ties=False):
    rng = np.random.default_rng(seed)
    positive = rng.random(n) < 0.3
    score = rng.normal(size=n) + positive
    return positive, np.round(score, 1) if ties else score


def calls(tp, fp, fn, tn):
    return np.repeat([True, False, True, False], [tp, fp, fn, tn]), np.repeat(
        [True, True, False, False], [tp, fp, fn, tn]
    )


@pytest.mark.parametrize("row", PUBLISHED)
def test_published_rates_come_of_their_counts(row):
    counts, published, ours = PUBLISHED[row]
    said = rates(*calls(*counts))
    names = ("sensitivity", "specificity", "accuracy", "npv", "ppv")
    assert [said[name] for name in names] == pytest.approx(published, abs=6e-4)
    assert [said["f1"], said["balanced_accuracy"]] == pytest.approx(ours, abs=6e-4)
    assert (said["tp"], said["fp"], said["fn"], said["tn"]) == counts


def test_intervals_of_rates_are_wilsons():
    said = rates(*calls(9, 3, 1, 27))
    p, n, z = 0.9, 10, 1.959964
    middle, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert said["sensitivity_low"] == pytest.approx((middle - half) / (1 + z**2 / n), rel=1e-5)
    assert said["sensitivity_high"] == pytest.approx((middle + half) / (1 + z**2 / n), rel=1e-5)
    assert said["f1"] == pytest.approx(2 * 9 / (2 * 9 + 3 + 1))
    assert said["f1_low"] < said["f1"] < said["f1_high"]
    assert np.isnan(rates(np.zeros(4, bool), np.zeros(4, bool))["sensitivity"])


@pytest.mark.parametrize("ties", [False, True])
def test_area_and_its_variance_are_those_of_the_slow_formula(ties):
    positive, score = sample(60, ties=ties)
    said = delong(positive, score)
    assert said["auc"] == pytest.approx(roc_auc_score(positive, score))
    x, y = score[positive], score[~positive]
    wins = np.array([[(a > b) + 0.5 * (a == b) for b in y] for a in x], float)
    slow = wins.mean(1).var(ddof=1) / len(x) + wins.mean(0).var(ddof=1) / len(y)
    assert said["standard_error"] == pytest.approx(np.sqrt(slow))
    assert 0 < said["auc_low"] < said["auc"] < said["auc_high"] < 1


def test_interval_is_near_the_bootstrap():
    positive, score = sample(500)
    said = delong(positive, score)
    low, high = percentile_interval(bootstrap_auc(positive, score, resamples=2000))
    assert said["auc_low"] == pytest.approx(low, abs=0.01)
    assert said["auc_high"] == pytest.approx(high, abs=0.01)
    perfect = delong(np.array([0, 0, 1, 1], bool), np.array([1, 2, 3, 4.0]))
    assert perfect["auc"] == perfect["auc_high"] == 1
    assert perfect["auc_low"] == pytest.approx(0.025 ** (1 / 2))
    wrong = delong(np.repeat([True, False], [10, 32]), np.arange(42.0))
    assert (wrong["auc"], wrong["auc_low"]) == (0, 0)
    assert wrong["auc_high"] == pytest.approx(1 - 0.025 ** (1 / 10))
    with pytest.raises(ValueError, match="0 positive and 3 negative"):
        delong(np.zeros(3, bool), np.arange(3.0))


def test_paired_test_has_the_covariance_of_the_slow_formula():
    positive, score = sample(50)
    other = score + np.random.default_rng(1).normal(size=50)
    parts = []
    for each in (score, other):
        wins = (each[positive][:, None] > each[~positive][None]).astype(float)
        parts.append((wins.mean(1), wins.mean(0)))
    variance = (parts[0][0] - parts[1][0]).var(ddof=1) / positive.sum()
    variance += (parts[0][1] - parts[1][1]).var(ddof=1) / (~positive).sum()
    said = delong_test(positive, score, other)
    assert said["z"] == pytest.approx(said["difference"] / np.sqrt(variance))
    assert said["p"] == pytest.approx(2 * stats.norm.sf(abs(said["z"])))
    assert delong_test(positive, score, score)["p"] == 1


def test_paired_test_keeps_its_level():
    """Two equally good scores differ significantly in about one of twenty data sets."""
    rejected = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        positive = rng.random(80) < 0.4
        common = rng.normal(size=80) + positive
        rejected.append(delong_test(positive, *(common + rng.normal(size=80) for _ in range(2)))["p"] < 0.05)
    assert 0.02 <= np.mean(rejected) <= 0.09


@pytest.mark.parametrize("ties", [False, True])
def test_threshold_is_the_best_of_all(ties):
    positive, score = sample(ties=ties)
    false, true, levels = roc_curve(positive, score, drop_intermediate=False)
    best = levels[np.argmax(true - false)]
    said = youden_threshold(positive, score)
    gain = {level: (score[positive] >= level).mean() - (score[~positive] >= level).mean() for level in (best, said)}
    assert gain[said] == pytest.approx(gain[best])


def test_calibration_line_of_probabilities_that_are_known():
    rng = np.random.default_rng(0)
    true = 1 / (1 + np.exp(-rng.normal(-1, 1.5, 100_000)))
    positive = rng.random(len(true)) < true
    said = calibration_line(positive, true)
    assert said["calibration_slope"] == pytest.approx(1, abs=0.03)
    assert said["calibration_intercept"] == pytest.approx(0, abs=0.03)
    assert said["brier"] == pytest.approx((true * (1 - true)).mean(), abs=0.003)
    logit = np.log(true / (1 - true))
    extreme = calibration_line(positive, 1 / (1 + np.exp(-2 * logit)))
    assert extreme["calibration_slope"] == pytest.approx(0.5, abs=0.02)
    low = calibration_line(positive, 1 / (1 + np.exp(-(logit - 0.7))))
    assert low["calibration_intercept"] == pytest.approx(0.7, abs=0.03)


def test_net_benefit_is_counted_case_by_case():
    positive, score = sample(40)
    prob, thresholds = 1 / (1 + np.exp(-score)), np.array([0.1, 0.3, 0.7])
    said = decision_curve(positive, prob, thresholds)
    for index, t in enumerate(thresholds):
        gain = sum((1 if yes else -t / (1 - t)) for yes, p in zip(positive, prob, strict=True) if p >= t) / 40
        assert said["model"][index] == pytest.approx(gain)
    assert decision_curve(positive, np.ones(40), thresholds)["model"] == pytest.approx(said["all"])


def test_readers_are_compared_where_one_is_wrong():
    model, reader = np.ones(32, bool), np.ones(32, bool)  # where each is right
    reader[:6] = False
    one_sided = sum(1 for flips in itertools.product([0, 1], repeat=6) if sum(flips) in (0, 6)) / 2**6
    assert mcnemar(model, reader) == pytest.approx(one_sided)
    assert mcnemar(model, model) == 1


def test_golden_areas_and_their_test():
    """The two predictors of the golden data as scores; the numbers are those of MLstatkit 0.1.91."""
    x, positive = overlapping()
    one, other = delong(positive, x[:, 0]), delong(positive, x[:, 1])
    assert [one["auc"], other["auc"]] == pytest.approx([0.74125874, 0.48251748], abs=1e-8)
    assert one["standard_error"] ** 2 == pytest.approx(0.01179846, abs=1e-8)
    assert other["standard_error"] ** 2 == pytest.approx(0.01588505, abs=1e-8)
    assert [one["auc_low"], one["auc_high"]] == pytest.approx([0.48563, 0.89684], abs=1e-5)
    half = stats.norm.ppf(0.975) * one["standard_error"]
    assert [one["auc"] - half, one["auc"] + half] == pytest.approx([0.52837, 0.95415], abs=1e-5)
    said = delong_test(positive, x[:, 0], x[:, 1])
    assert said["z"] == pytest.approx(1.5599645394122, abs=1e-12)  # in exact fractions too
    assert said["p"] == pytest.approx(0.1187682612756, abs=1e-12)
    error = said["difference"] / said["z"]
    covariance = (one["standard_error"] ** 2 + other["standard_error"] ** 2 - error**2) / 2
    assert covariance == pytest.approx(8.63938e-5, abs=1e-10)


def test_paired_test_is_that_of_mlstatkit():
    theirs = pytest.importorskip("MLstatkit").Delong_test
    for seed in range(5):
        positive, score = sample(60, seed, ties=seed > 2)
        other = score + np.random.default_rng(seed + 50).normal(size=60)
        said = delong_test(positive, score, other)
        z, p = theirs(positive.astype(int), score, other, return_ci=False, return_auc=False)[:2]
        assert abs(said["z"]) == pytest.approx(abs(z), abs=1e-10)
        assert said["p"] == pytest.approx(p, abs=1e-10)


def test_golden_net_benefit():
    x, positive = overlapping()
    prob = fit_logistic(x, positive, ("first", "second")).predict(x)
    said = decision_curve(positive, prob, np.array([0.1, 0.3, 0.5]))
    assert said["model"] == pytest.approx([0.398148, 0.309524, 0.125], abs=1e-6)
    assert said["all"] == pytest.approx([0.398148, 0.226190, -0.083333], abs=1e-6)


def test_net_benefit_is_that_of_dcurves():
    dcurves, pandas = pytest.importorskip("dcurves"), pytest.importorskip("pandas")
    x, positive = overlapping()
    prob = fit_logistic(x, positive, ("first", "second")).predict(x)
    thresholds = np.array([0.1, 0.25, 0.4])
    table = dcurves.dca(
        data=pandas.DataFrame({"positive": positive.astype(int), "prob": prob}),
        outcome="positive",
        modelnames=["prob"],
        thresholds=thresholds,
    )
    theirs = table[table["model"] == "prob"].sort_values("threshold")["net_benefit"].to_numpy()[-3:]
    assert decision_curve(positive, prob, thresholds)["model"] == pytest.approx(theirs, abs=1e-9)


def test_published_counts_of_the_nomogram_for_hypoplastic_left_hearts():
    """Released output of Rany-0/HLHS-Multimodal-AI: 42 test cases at 0.5, area .9906 3 of 320 pairs wrong."""
    said = rates(*calls(7, 1, 3, 31))
    published = (0.70, 0.969, 0.875, 0.912, 0.905)
    assert [said[name] for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy")] == pytest.approx(
        published, abs=5e-4
    )
    assert [said["sensitivity_low"], said["sensitivity_high"]] == pytest.approx([0.40, 0.89], abs=5e-3)
    positive = np.arange(42) >= 32
    score = np.arange(42.0)
    score[[32, 33, 34]] = 30.5  # three positives below one negative
    area = delong(positive, score)
    assert area["auc"] == pytest.approx(1 - 3 / 320)
    assert area["standard_error"] == pytest.approx(0.0105, abs=5e-5)
    assert area["auc_high"] < 1 < area["auc"] + 1.96 * area["standard_error"] == pytest.approx(1.011, abs=5e-4)


def test_intervals_of_the_calibration_line_are_those_of_statsmodels():
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(3)
    linear = rng.normal(-1, 1.5, 300)
    positive = rng.uniform(size=300) < 1 / (1 + np.exp(-0.4 - 0.7 * linear))
    prob = 1 / (1 + np.exp(-linear))
    line, ends = calibration_line(positive, prob), calibration_intervals(positive, prob)
    both = sm.Logit(positive.astype(float), sm.add_constant(linear)).fit(disp=0)
    assert line["calibration_slope"] == pytest.approx(both.params[1], abs=1e-4)
    told = [ends["calibration_slope_low"], ends["calibration_slope_high"]]
    assert told == pytest.approx(both.conf_int()[1], abs=1e-3)
    large = sm.GLM(positive.astype(float), np.ones(300), offset=linear, family=sm.families.Binomial()).fit()
    assert line["calibration_intercept"] == pytest.approx(large.params[0], abs=1e-6)
    told = [ends["calibration_intercept_low"], ends["calibration_intercept_high"]]
    assert told == pytest.approx(large.conf_int()[0], abs=1e-5)


def test_separated_probabilities_have_no_intervals_of_calibration():
    ends = calibration_intervals(np.array([0, 0, 1, 1], bool), np.array([0.1, 0.2, 0.8, 0.9]))
    assert np.isnan([*ends.values()]).all()


def test_missing_scores_are_told_in_one_line():
    positive, gap = np.array([0, 1, 0, 1], bool), np.array([0.1, np.nan, 0.3, 0.9])
    for judge in (delong, calibration_line):
        with pytest.raises(ValueError, match=r"^1 of 4 scores are missing or infinite: leave these cases out"):
            judge(positive, gap)


def test_net_benefit_at_a_threshold_is_on_the_decision_curve():
    positive, prob = np.array([0, 1, 0, 1, 1], bool), np.array([0.1, 0.4, 0.6, 0.7, 0.9])
    curve = decision_curve(positive, prob, np.array([0.3]))
    assert net_benefit(positive, prob, 0.3) == {"net_benefit": curve["model"][0], "net_benefit_all": curve["all"][0]}
