import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from docs.figures_liver_phantom import measured
from medzoo.datamodules.io import read_table
from medzoo.datamodules.phantoms.liver import LiverPhantom, causal
from medzoo.datamodules.phantoms.liver.causal import EFFECTS, MODALITIES
from medzoo.evaluation.scores.diagnostic import delong


@pytest.fixture(scope="module")
def people():
    return causal.draw_people(np.random.default_rng(0), 40_000)


@pytest.fixture(scope="module")
def phantom():
    return LiverPhantom(patients=48, size=(24, 48, 48), tiles=6, tile_size=48, missing_cells=0.0, seed=2)


@pytest.fixture(scope="module")
def root(phantom, tmp_path_factory):
    root = tmp_path_factory.mktemp("liver") / phantom.name
    phantom.write(root)
    return root


def area(people, seen):
    return delong(people.cancer, causal.log_odds(people.viral, people.findings, seen))["auc"]


def test_every_modality_tells_something_and_together_they_tell_most(people):
    alone = {name: area(people, [name]) for name in MODALITIES}
    expected = {"ct": 0.78, "mr": 0.75, "histology": 0.68, "clinical": 0.70, "genomics": 0.68}
    assert alone == pytest.approx(expected, abs=0.012)
    together = area(people, MODALITIES)
    assert together == pytest.approx(0.953, abs=0.005)
    for left_out in MODALITIES:
        assert area(people, [name for name in MODALITIES if name != left_out]) < together - 0.005


def test_tiles_and_genes_need_another_modality_to_be_read(people):
    scores = [causal.log_odds(people.viral, people.findings, [name]) for name in MODALITIES]
    assert delong(people.cancer, np.sum(scores, axis=0))["auc"] < area(people, MODALITIES) - 0.03


@pytest.mark.parametrize(("strength", "best", "summed"), [(0, 0.916, 0.916), (1, 0.955, 0.915), (2, 0.991, 0.910)])
def test_the_stronger_the_interaction_the_further_is_the_sum_from_the_best(strength, best, summed):
    effects = causal.effects_of(strength)
    people = causal.draw_people(np.random.default_rng(1), 40_000, effects)
    whole = causal.log_odds(people.viral, people.findings, MODALITIES, effects)
    alone = [causal.log_odds(people.viral, people.findings, [name], effects) for name in MODALITIES]
    assert delong(people.cancer, whole)["auc"] == pytest.approx(best, abs=0.004)
    assert delong(people.cancer, np.sum(alone, axis=0))["auc"] == pytest.approx(summed, abs=0.004)
    if strength == 0:
        np.testing.assert_allclose(whole, np.sum(alone, axis=0), atol=1e-9)


def test_no_sum_of_functions_of_single_modalities_comes_near_the_best_score():
    """An additive logistic model of splines, fitted to 40,000 people with everything that the modalities show."""
    effects = causal.effects_of(2)
    train, test = (causal.draw_people(np.random.default_rng(seed), 40_000, effects) for seed in (2, 3))

    def columns(people):
        return np.stack([*people.findings.values(), people.viral], 1)

    model = make_pipeline(SplineTransformer(n_knots=6), LogisticRegression(max_iter=500))
    score = model.fit(columns(train), train.cancer).decision_function(columns(test))
    assert delong(test.cancer, score)["auc"] == pytest.approx(0.917, abs=0.005)


def test_the_log_odds_are_those_that_integration_gives(people):
    x, first = {name: values[:1] for name, values in people.findings.items()}, people.viral[:1]

    def likelihood(y, seen, viral):
        sign = 2 * y - 1
        return np.prod([norm.pdf(x[name][0] - sign * EFFECTS[name][viral] / 2) for name in seen])

    seen = ("histology", "genomics")  # neither shows the disease behind
    odds = sum(likelihood(1, seen, v) for v in (0, 1)) / sum(likelihood(0, seen, v) for v in (0, 1))
    assert causal.log_odds(first, x, seen)[0] == pytest.approx(np.log(odds))
    seen, viral = ("ct", "histology"), int(first[0])
    odds = likelihood(1, seen, viral) / likelihood(0, seen, viral)
    assert causal.log_odds(first, x, seen)[0] == pytest.approx(np.log(odds))
    assert causal.log_odds(first, x, ())[0] == 0


def test_the_log_odds_are_calibrated(people):
    score = causal.log_odds(people.viral, people.findings, ("mr", "genomics"))
    for low, high in ((-2, -1), (-0.3, 0.3), (1, 2)):
        inside = (score > low) & (score < high)
        assert people.cancer[inside].mean() == pytest.approx((1 / (1 + np.exp(-score[inside]))).mean(), abs=0.02)


def test_the_risk_is_the_expected_log_hazard(people):
    everything = causal.risk(people.viral, people.findings, MODALITIES)
    assert everything == pytest.approx(sum(causal.HAZARD[name] * x for name, x in people.findings.items()))
    some = causal.risk(people.viral, people.findings, ("ct", "clinical"))
    slope, intercept = np.polyfit(some, everything, 1)  # an expectation is unbiased wherever it says so
    assert slope == pytest.approx(1, abs=0.03)
    assert intercept == pytest.approx(0, abs=0.02)


def test_who_is_at_risk_dies_earlier(people):
    risk = causal.risk(people.viral, people.findings, MODALITIES)
    high = risk > np.median(risk)
    assert people.died[high].mean() > people.died[~high].mean() + 0.2
    assert 0.3 < people.died.mean() < 0.7
    # Death and censoring compete: the share of deaths by the model, at a hazard of exactly 1.
    scale = causal.MEDIAN_MONTHS / np.log(2) ** (1 / causal.SHAPE)
    low, top = causal.FOLLOWED_MONTHS
    share = quad(lambda t: 1 - np.exp(-((t / scale) ** causal.SHAPE)), low, top)[0] / (top - low)
    near = abs(risk) < 0.1
    assert people.died[near].mean() == pytest.approx(share, abs=0.03)


def test_the_files_say_what_the_model_says(root):
    truth = read_table(root / "truth.csv").rows
    columns = measured(root)
    fatty = columns.pop("fatty")
    assert abs(np.corrcoef(fatty, [float(row["viral"]) for row in truth])[0, 1]) > 0.85
    for name, values in columns.items():
        finding = np.array([float(row[name]) for row in truth])
        assert np.corrcoef(values, finding)[0, 1] > 0.85, name


def test_a_cohort_is_written_once_and_the_same_again(phantom, root, tmp_path):
    before = (root / "patients.csv").stat().st_mtime_ns
    phantom.write(root)
    assert (root / "patients.csv").stat().st_mtime_ns == before
    small = LiverPhantom(patients=2, size=(8, 16, 16), tiles=1, tile_size=16)
    for name in ("a", "b"):
        small.write(tmp_path / name)
    for file in ("patients.csv", "genomics.tsv", "liver_0002/ct.nii.gz", "liver_0001/tiles/tile_00.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    with pytest.raises(FileExistsError, match="holds something else"):
        LiverPhantom(patients=3, size=(8, 16, 16)).write(tmp_path / "a")


def test_modalities_and_cells_go_missing_at_their_rates(tmp_path):
    LiverPhantom(
        patients=150, size=(8, 8, 8), tiles=1, tile_size=16, missing_cells=0.2, missing_modalities=0.3, scanner_b=0.5
    ).write(tmp_path / "cohort")
    rows = read_table(tmp_path / "cohort" / "patients.csv").rows
    with_ct = [(tmp_path / "cohort" / row["id"] / "ct.nii.gz").is_file() for row in rows]
    assert np.mean(with_ct) == pytest.approx(0.7, abs=0.12)
    told = [row for row in rows if row["age_years"]]
    assert len(told) / len(rows) == pytest.approx(0.7, abs=0.12)
    gaps = np.array([row["inr"] == "" for row in told])
    assert gaps.mean() == pytest.approx(0.2, abs=0.1)
    assert all(row["viral_hepatitis"] for row in told)
    assert {row["scanner"] for row in rows} == {"A", "B"}


@pytest.mark.parametrize(
    "wrong", [{"patients": 0}, {"size": (4, 32, 32)}, {"size": (32, 32)}, {"missing_cells": 1.5}, {"tile_size": 4}]
)
def test_a_phantom_that_makes_no_abdomen_is_refused(wrong):
    with pytest.raises(ValueError, match="phantom"):
        LiverPhantom(**wrong)
