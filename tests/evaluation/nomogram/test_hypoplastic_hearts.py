"""From outlined chambers to a nomogram: every part of the analysis on hearts made of ellipses."""

import numpy as np
import pytest

from medzoo.evaluation.measures.morphology import morphology
from medzoo.evaluation.nomogram.scale import nomogram_of
from medzoo.evaluation.regression.imputation import fit_imputed, impute, pooled_table, training_filler
from medzoo.evaluation.regression.logistic import fit_logistic, recentred
from medzoo.evaluation.regression.odds import univariate_table
from medzoo.evaluation.regression.optimism import optimism_table
from medzoo.evaluation.regression.predictors import polarity_note
from medzoo.evaluation.scores.diagnostic import delong
from tests.evaluation.measures.test_morphology import HEART, drawn

NAMES = ("LV_diameter", "LA_RA_area_ratio", "LV_RV_area_ratio")
SPACING = (0.25, 0.25)


def sick(heart, rng, severe):
    """Every chamber varies by a fifth; the left ones are smaller in hypoplastic hearts, more or less."""
    left = 1 - severe * rng.uniform(0.1, 0.4)
    return {
        name: (centre, tuple(axis * rng.uniform(0.8, 1.2) * (left if name[0] == "L" else 1) for axis in axes), angle)
        for name, (centre, axes, angle) in heart.items()
    }


@pytest.fixture(scope="module")
def hearts():
    rng = np.random.default_rng(0)
    positive = np.arange(120) % 4 == 0
    measured = [morphology(drawn(sick(HEART, rng, severe), SPACING), SPACING) for severe in positive]
    assert all(notes == [] for _, notes in measured)
    return np.array([[values[name] for name in NAMES] for values, _ in measured]), positive


def test_small_left_hearts_raise_the_odds(hearts):
    x, positive = hearts
    rows = univariate_table(x, positive, NAMES, per=x.std(0))
    assert all(row["high"] < 1 and row["p"] < 0.05 for row in rows)
    assert "turned round" in polarity_note(positive, x[:, 2], "LV_RV_area_ratio")


def test_gaps_are_imputed_for_odds_and_filled_for_predictions(hearts):
    x, positive = hearts
    gaps = np.where(np.random.default_rng(1).random(x.shape) < 0.1, np.nan, x)
    with pytest.raises(ValueError, match=r"LV_diameter: .* missing or infinite; impute them first"):
        fit_logistic(gaps, positive, NAMES)
    rows = pooled_table(fit_imputed(impute(gaps, positive, NAMES, draws=3), positive, NAMES))
    assert [row["predictor"] for row in rows] == list(NAMES)
    assert all(0 < row["missing_information"] < 1 for row in rows)
    filled = training_filler(gaps[:60], NAMES)(gaps)
    assert np.isfinite(filled).all()


def test_the_nomogram_tells_hypoplastic_hearts_and_says_what_the_model_says(hearts):
    x, positive = hearts
    fit = recentred(fit_logistic(x, positive, NAMES), x, positive)
    nomogram = nomogram_of(fit, x, units={"LV_diameter": "mm"})
    said = np.array([nomogram.score(dict(zip(NAMES, row, strict=True))).probability for row in x])
    assert np.abs(said - fit.predict(x)).max() < 1e-12
    assert delong(positive, said)["auc"] > 0.85

    def pipeline(rows):
        model = fit_logistic(x[rows], positive[rows], NAMES)
        return lambda some: model.predict(x[some])

    row = optimism_table(pipeline, positive, resamples=30)[0]
    assert 0 < row["optimism"] < 0.05
    assert row["corrected"] > 0.85
    assert row["low"] < row["corrected"] < row["high"]
