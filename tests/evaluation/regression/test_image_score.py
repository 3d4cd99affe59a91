"""Scores of images and of cases, without a leak; comparators and the table of models."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier

from medzoo.evaluation.figures import decision_figure, models_roc_figure
from medzoo.evaluation.nomogram.study import (
    Part,
    aggregated,
    develop,
    equation,
    judge,
    odds_rows,
    optimism_rows,
    validation_rows,
)
from medzoo.evaluation.regression.image_score import (
    along_score,
    by_case,
    check_folds,
    fit_score,
    folds_by_case,
    image_scores,
    out_of_fold,
)
from medzoo.evaluation.regression.learners.comparators import held_out, learners, model_rows, regression
from medzoo.evaluation.scores.diagnostic import delong, mcnemar
from medzoo.evaluation.scores.summary import table_one, tripod_rows


def views(cases, signal, seed, latent=24):
    """Three images of each case: a latent that shows the class in one number, and the case in all."""
    rng = np.random.default_rng(seed)
    positive = np.arange(cases) % 4 == 0
    own = rng.normal(size=(cases, latent))
    own[:, 0] += signal * positive
    images = np.repeat(own, 3, axis=0) + 0.3 * rng.normal(size=(3 * cases, latent))
    names = np.array([f"c{k:03d}" for k in range(cases)])
    return images, rng.uniform(size=3 * cases), np.repeat(positive, 3), np.repeat(names, 3), names, positive


def areas(kind, signal, seed):
    """Of the scores of cases: out of fold, and by numbers fitted to the cases themselves."""
    latent, error, positive, case, names, truth = views(120, signal, seed)
    fold = folds_by_case(positive, case, 5)
    honest = out_of_fold(kind, latent, error, positive, case, fold)
    own = image_scores(kind, fit_score(kind, latent, positive, case), latent, error)
    return [roc_auc_score(truth, by_case(score, case, names, "mean")) for score in (honest, own)]


def test_a_score_of_shuffled_labels_says_nothing_out_of_fold():
    found = np.array([areas("probe", 0.0, seed) for seed in range(6)])
    assert abs(found[:, 0].mean() - 0.5) < 0.1
    assert found[:, 1].mean() > found[:, 0].mean() + 0.1, "in its own cases it would"


@pytest.mark.parametrize("kind", ["probe", "mahalanobis"])
def test_a_signal_is_found_out_of_fold(kind):
    assert areas(kind, 3.0, 0)[0] > {"probe": 0.9, "mahalanobis": 0.6}[kind]


def test_all_images_of_a_case_are_in_one_fold():
    _, _, positive, case, _, _ = views(40, 1.0, 0)
    fold = folds_by_case(positive, case, 5)
    check_folds(case, fold)
    fold[0] = (fold[0] + 1) % 5
    with pytest.raises(ValueError, match=r"case c000 is in folds \d and \d"):
        check_folds(case, fold)
    with pytest.raises(ValueError, match="has 10 cases"):
        folds_by_case(positive, case, 11)


def test_cases_take_the_largest_the_mean_or_the_top_of_their_images():
    score, case = np.array([1.0, 5.0, 3.0, 2.0]), ["b", "b", "b", "a"]
    said = {how: by_case(score, case, ["a", "b"], how).tolist() for how in ("max", "mean", "top")}
    assert said == {"max": [2, 5], "mean": [2, 3], "top": [2, 4]}


def test_what_goes_with_a_score_is_found_where_its_weights_mislead():
    """Two numbers share a disturbance; the weight of the second only cancels it."""
    rng = np.random.default_rng(0)
    sign, disturbance = rng.normal(size=(2, 4000))
    own = np.stack([sign + disturbance, disturbance, rng.normal(size=4000)], axis=1)
    latent = own + np.array([5, 6, 7])
    latents, scores = along_score(latent, latent @ [1, -1, 0], 5)
    assert scores == pytest.approx(np.linspace(*np.percentile(latent @ [1, -1, 0], [2, 98]), 5))
    slope = np.diff(latents, axis=0) / np.diff(scores)[:, None]
    assert slope == pytest.approx(np.tile([1.0, 0.0, 0.0], (4, 1)), abs=0.05)
    assert latents[2] == pytest.approx([5, 6, 7], abs=0.1)


def table(cases, seed, signal=1.5):
    rng = np.random.default_rng(seed)
    positive = rng.uniform(size=cases) < 0.3
    x = rng.normal(size=(cases, 3)) + signal * positive[:, None] * [0.7, 0.0, 1.0]
    return Part(x, positive, rng.normal(size=(cases, 1)))


def table_of_two(seed):
    part = table(40, seed)
    return Part(part.x[:, 1:], part.positive, part.candidates)


@pytest.fixture(scope="module")
def analysis():
    development, test = table(160, 0), table(120, 1)
    fold = folds_by_case(development.positive, np.arange(160), 4)
    made = develop(development, ["a", "b", "image_score"], fold, candidates=1)
    return made, development, test, predicted(made, test.x)


def predicted(made, x):
    return {name: fit(x[:, made.columns[name]]) for name, fit in made.fits.items()}


def test_the_nomogram_says_what_its_model_says(analysis):
    made, _, test, prob = analysis
    said = [made.nomogram.score(dict(zip(made.names, row, strict=True))).probability for row in test.x]
    assert np.abs(np.array(said) - prob["nomogram"]).max() < 1e-12
    assert equation(made.regression.model, "HLHS").startswith("logit P(HLHS) = ")
    numbers = judge(test.positive, prob, made.thresholds)
    assert numbers["auc"] > numbers["clinical_auc"]
    assert numbers["auc_decision_tree"] == pytest.approx(roc_auc_score(test.positive, prob["decision tree"]))
    assert {"auc_random_forest", "auc_svm", "auc_mlp"} <= {*numbers}


def test_rows_for_all_models_and_readers(analysis):
    made, development, test, prob = analysis
    calls = np.where(np.arange(120) < 10, np.nan, test.positive)
    rows = model_rows(test.positive, prob, made.thresholds, {"six years": (calls, calls)}, "nomogram")
    assert [row["model"] for row in rows] == [*prob, "reader, six years"]
    assert rows[-1]["cases"] == 110
    assert rows[0]["p (DeLong)"] == ""
    odds = odds_rows(made, development, ["c"])
    assert [(row["model"], row["predictor"]) for row in odds] == [
        *(("alone", name) for name in ("a", "b", "image_score", "c")),
        *(("together", name) for name in ("a", "b", "image_score")),
    ]
    assert float(odds[-1]["odds ratio of one SD (95% CI)"].split()[0]) == pytest.approx(
        np.exp(made.regression.fit.coefficients[2] * development.x[:, 2].std()), rel=0.01
    )
    assert odds[-1]["p"] == "<0.001"
    assert optimism_rows(development, made.names, 0, 20)[0]["optimism"] > 0


def test_other_cases_are_judged_beside_the_development(analysis):
    made, development, test, prob = analysis
    numbers = judge(test.positive, prob, made.thresholds)
    rows = validation_rows(optimism_rows(development, made.names, 0, 5), numbers)
    assert [row["measure"] for row in rows][:2] == ["auc", "brier"]
    assert rows[0]["test"] == numbers["auc"]
    assert rows[0]["test low"] < numbers["auc"] < rows[0]["test high"]
    assert rows[1]["test"] == pytest.approx(np.mean((prob["nomogram"] - test.positive) ** 2))
    assert "test" not in validation_rows(optimism_rows(development, made.names, 0, 5), {})[0]
    called, t = prob["nomogram"] >= numbers["threshold"], numbers["threshold"]
    benefit = (called & test.positive).mean() - (called & ~test.positive).mean() * t / (1 - t)
    assert numbers["net_benefit"] == pytest.approx(benefit)


@pytest.mark.parametrize("value", [False, True])
def test_cases_of_one_class_are_refused_in_one_line(value):
    truth, prob = np.full(6, value), {"nomogram": np.linspace(0.1, 0.9, 6)}
    with pytest.raises(ValueError, match=r"^all 6 cases are \w+: AUC and calibration need cases of both classes$"):
        judge(truth, prob, {"nomogram": 0.5})


def test_gaps_are_imputed_where_that_is_asked_for():
    part = table(120, 0)
    part.x[::7, 0] = np.nan
    made = regression(["a", "b", "s"], draws=2)(part.x, part.positive)
    assert np.isfinite(made(part.x)).all()
    with pytest.raises(ValueError, match="missing or infinite"):
        regression(["a", "b", "s"])(part.x, part.positive)


def test_learners_find_a_signal_and_nothing_in_noise():
    for signal, low, high in ((2.0, 0.8, 1.0), (0.0, 0.3, 0.7)):
        part = table(150, 3, signal)
        fold = folds_by_case(part.positive, np.arange(150), 3)
        for name, fit in learners(["a", "b", "s"]).items():
            area = delong(part.positive, held_out(fit, part.x, part.positive, fold))["auc"]
            least = (
                low - 0.1 if name == "decision tree" else low
            )  # fully grown, as the paper's: probabilities of 0 and 1
            assert least <= area <= high, name


def test_three_cases_of_a_class_are_enough_to_run():
    rng = np.random.default_rng(0)
    positive = np.arange(24) % 8 == 0
    part = Part(rng.normal(size=(24, 2)) + positive[:, None], positive, np.empty((24, 0)))
    fold = folds_by_case(positive, np.arange(24), 3)
    made = develop(part, ["a", "image_score"], fold)
    assert all(np.isfinite(prob).all() for prob in predicted(made, table_of_two(0).x).values())
    assert any("Firth" in note or "cases of the rarer class" in note for note in made.notes)


def test_a_threshold_of_one_has_no_net_benefit():
    positive = np.array([True, True, False, False])
    row = model_rows(positive, {"m": positive.astype(float)}, {"m": 1.0}, {}, "m")[0]
    assert (row["threshold"], row["net benefit"], row["Brier"]) == ("1.000", "", "0.000")


def test_the_tree_is_that_of_the_paper():
    part = table(150, 3)
    said = learners(["a", "b", "s"], seed=7)["decision tree"](part.x, part.positive)(part.x)
    tree = DecisionTreeClassifier(criterion="entropy", class_weight="balanced", random_state=7)
    assert np.array_equal(said, tree.fit(part.x, part.positive).predict_proba(part.x)[:, 1])


def test_each_way_to_combine_images_is_a_row_of_its_own():
    """What `develop` fits beside the nomogram is what it would fit with that aggregate in the nomogram's place."""
    part, rng = table(160, 0), np.random.default_rng(1)
    largest, same = part.x[:, 2] + rng.exponential(size=160), part.x[:, 2]
    names, fold = ["a", "b", "image_score"], folds_by_case(part.positive, np.arange(160), 4)
    both = develop(replace(part, aggregates={"mean": same, "max": largest}), names, fold)
    alone = develop(replace(part, x=np.column_stack([part.x[:, :2], largest])), names, fold)
    assert [name for name in both.fits if "images" in name] == ["nomogram, max of images", "image score, max of images"]
    assert both.columns["nomogram, max of images"] == [0, 1, 4]
    assert both.columns["image score, max of images"] == [4]
    for name in ("nomogram", "image score"):
        other, own = both.fits[aggregated(name, "max")].model, alone.fits[name].model
        assert (other.intercept, *other.coefficients) == (own.intercept, *own.coefficients)
        assert both.thresholds[aggregated(name, "max")] == alone.thresholds[name]


def test_boosting_is_that_of_xgboost_where_it_is_installed():
    pytest.importorskip("xgboost", reason="the extra `xgboost` is not installed")
    assert "XGBoost" in learners(["a"])
    assert "gradient boosting" not in learners(["a"])


def test_mcnemar_counts_who_alone_was_right():
    right, other = np.array([1, 1, 1, 1, 0, 0, 1], bool), np.array([0, 0, 0, 0, 1, 0, 1], bool)
    assert mcnemar(right, other) == pytest.approx(2 * (1 + 5) / 2**5)
    assert mcnemar(right, right) == 1


def test_turned_labels_swap_the_rates_and_mirror_the_area():
    part = table(100, 4)
    prob = part.x[:, 2]
    prob = 1 / (1 + np.exp(-prob))
    rows = [
        model_rows(truth, {"m": score}, {"m": 0.5}, {}, "m")[0]
        for truth, score in ((part.positive, prob), (~part.positive, prob))
    ]
    assert rows[0]["AUC (95% CI)"][:5] == f"{1 - float(rows[1]['AUC (95% CI)'][:5]):.3f}"


def test_figures_and_tables_are_drawn(analysis):
    _, _, test, prob = analysis
    figure = models_roc_figure(test.positive, prob, {"one": test.positive.astype(float)})
    assert "reader, one" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(decision_figure(test.positive, prob, compared=True).axes[0].lines) == len(prob) + 2
    values = {"train": {"a": np.array([1.0, np.nan, 3.0])}}
    rows = table_one(values, {"train": np.array([True, False, False])}, ["normal", "HLHS"])
    assert rows[1] == {"variable": "a", "train, normal": "3 (0), 1 missing", "train, HLHS": "1 (0)"}
    said = {row["item"]: row["said"] for row in tripod_rows({"7": ("data", "pixels")})}
    assert said["7."] == "pixels"
    assert said["17."] == "not provided"
