"""Signs of expansion in the head phantom: published odds ratios, what only the scan tells, and confounding."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from medzoo.datamodules import HeadPhantom
from medzoo.datamodules.phantoms.head import causal, simulate
from medzoo.datamodules.phantoms.head.signs import SIGNS, draw_signs, signs_given, treat
from medzoo.evaluation.measures.bleed import SIGNS as MEASURED
from medzoo.evaluation.measures.bleed import bleed_signs
from medzoo.evaluation.regression.growth import fit_growth, growth_of
from medzoo.evaluation.regression.risk import fit_risk, risk_of
from medzoo.evaluation.scores.classification import auc
from medzoo.evaluation.scores.forecasts import crps

LOW, HIGH = np.array([*causal.CLINICAL.values()]).T


def cohort(count, *, confounded=False, seed=0):
    """Columns, and follow-up volumes."""
    rng = np.random.default_rng(seed)
    columns = causal.draw_clinical(rng, count) | draw_signs(rng, count)
    columns = treat(columns, rng) if confounded else columns
    return columns, causal.realised_volume(columns, causal.draw_noise(rng, count), confounded=confounded)


def table(columns, *more):
    scaled = (np.stack([columns[name] for name in causal.CLINICAL], 1) - LOW) / (HIGH - LOW)
    return np.column_stack([scaled, *(columns[name] for name in more)])


def test_signs_have_their_published_odds_ratios():
    columns, volume = cohort(60_000)
    expanded = causal.is_expansion(columns["IPH_baseline_ml"], volume)
    known = np.column_stack(
        [
            np.log(columns["time_from_onset_to_CT"]),
            np.log(columns["IPH_baseline_ml"]),
            columns["Anticoagulant"],
            *(columns[name] for name in SIGNS),
        ]
    )
    found = np.exp(LogisticRegression(C=1e6, max_iter=1000).fit(known, expanded).coef_[0, 3:])
    assert found == pytest.approx([ratio for _, ratio in SIGNS.values()], rel=0.1)
    shares = [columns[name].mean() for name in SIGNS]
    assert shares == pytest.approx([share for share, _ in SIGNS.values()], abs=0.01)


def test_a_table_cannot_reach_who_sees_the_scan():
    columns, volume = cohort(4_000)
    before, expanded = columns["IPH_baseline_ml"], causal.is_expansion(columns["IPH_baseline_ml"], volume)
    seen = causal.followup_volumes(columns, 200, seed=1)
    unseen = causal.followup_volumes(signs_given(columns, 200, confounded=False), 200, seed=1)
    assert crps(seen, volume).mean() < 0.9 * crps(unseen, volume).mean()
    rule = fit_growth(table(columns), np.log(volume / before), expanded.astype(int))
    growth, weights = growth_of(rule, table(columns), regression=True)
    tabled = crps(before[:, None] * np.exp(growth), volume, weights).mean()
    assert tabled > crps(seen, volume).mean() + 0.2, "mL, although fitted to these very patients"
    chance = causal.expansion_probability(columns)
    risk = risk_of(table(columns), rule["risk_weight"], float(rule["risk_bias"]), rule["risk_fill"])
    assert auc(expanded, chance)[0] > auc(expanded, risk)[0] + 0.02


def test_what_a_table_knows_of_signs_is_their_share_given_the_pressure():
    columns, _ = cohort(60_000, confounded=True)
    low = columns["Systolic"] < 150
    drawn = signs_given(columns, 4, confounded=True)
    for name in SIGNS:
        assert drawn[name][:, low].mean() == pytest.approx(columns[name][low].mean(), abs=0.02)
        assert drawn[name][:, ~low].mean() == pytest.approx(columns[name][~low].mean(), abs=0.02)
    assert columns["spot"][low].mean() > columns["spot"][~low].mean() + 0.1, "doctors lower it where they see a spot"


def test_a_naive_table_is_wrong_on_treatment_and_the_scan_puts_it_right():
    columns, volume = cohort(40_000, confounded=True)
    expanded = causal.is_expansion(columns["IPH_baseline_ml"], volume).astype(int)

    def change(chance):
        """Mean change of the probability of expansion from 190 to 140 mmHg."""
        return np.mean(chance(causal.do(columns, Systolic=140.0)) - chance(causal.do(columns, Systolic=190.0)))

    def fitted(*more):
        weight, bias, fill = fit_risk(table(columns, *more), expanded)
        return change(lambda rows: risk_of(table(rows, *more), weight, bias, fill))

    true = change(lambda rows: causal.expansion_probability(rows, confounded=True))
    assert true < -0.1
    assert fitted() > 0.7 * true, "the table alone underestimates it"
    assert fitted(*SIGNS) == pytest.approx(true, rel=0.1)


def test_without_signs_nothing_changes_and_the_pressure_is_a_nuisance():
    plain = causal.draw_clinical(np.random.default_rng(0), 100)
    assert np.array_equal(
        causal.expansion_probability(causal.do(plain, Systolic=100.0)), causal.expansion_probability(plain)
    )
    neutral = plain | {name: np.full(100, share) for name, (share, _) in SIGNS.items()}
    assert np.allclose(causal.expansion_probability(neutral), causal.expansion_probability(plain))
    one = {name: column[:1] for name, column in plain.items()} | {"spot": np.ones(1)}
    chance = causal.expansion_probability({name: column[:1] for name, column in plain.items()})
    expected = expit(np.log(chance / (1 - chance)) + 0.8 * np.log(SIGNS["spot"][1]))
    assert causal.expansion_probability(one) == pytest.approx(expected)


def measured(patient):
    spacing = tuple(np.linalg.norm(patient.affine[:3, :3], axis=0)[::-1])
    ct, bleed = patient.baseline.ct.T.clip(0, 100).astype(float), patient.baseline.iph.T > 0
    return dict(zip(MEASURED, bleed_signs(ct, bleed, spacing), strict=True))


def test_signs_show_on_the_scan_and_can_be_measured():
    found = {sign: {True: [], False: []} for sign in ("spot", "blend", "swirl")}
    dented = []
    for number in range(40):
        patient = simulate((3, number), signs="published", skull=False)
        values = measured(patient)
        for sign, measure in {"spot": "bright", "blend": "lopsided", "swirl": "dark"}.items():
            found[sign][sign in patient.shown].append(values[measure])
        if "irregular" in patient.shown:
            dented.append(values["irregular"] - measured(simulate((3, number), skull=False))["irregular"])
    for sign, values in found.items():
        shown = np.r_[np.ones(len(values[True])), np.zeros(len(values[False]))]
        assert auc(shown, np.r_[values[True], values[False]])[0] > 0.85, sign
    assert np.mean(np.array(dented) > 0) > 0.8, "than the same bleed without the sign"


def test_the_scan_of_a_patient_is_the_same_under_every_do():
    one, other = (simulate((3, 5), signs="confounded", do={"Systolic": value}) for value in (120.0, 220.0))
    assert np.array_equal(one.baseline.ct, other.baseline.ct)
    assert one.p_expansion < other.p_expansion
    with pytest.raises(ValueError, match="signs=bright: choose from mottled, published, confounded"):
        simulate((3, 5), signs="bright")


def test_the_cohort_knows_its_signs(tmp_path):
    phantom = HeadPhantom({"Aare": 3}, signs="published")
    phantom.write(tmp_path / phantom.name)
    shown = phantom.shown(tmp_path / phantom.name, ["Aare_003", "Aare_001"])
    assert [*shown] == [*SIGNS]
    assert all(set(column) <= {0.0, 1.0} and column.shape == (2,) for column in shown.values())
    columns = {name: np.full(2, value) for name, value in zip(causal.CLINICAL, (2, 20, 0, 0, 70, 12, 170), strict=True)}
    spotted = {**{name: np.zeros(2) for name in SIGNS}, "spot": np.array([0.0, 1.0])}
    volumes = phantom.followup_volumes(columns, 400, {}, spotted).mean(1)
    assert volumes[1] > volumes[0] + 1
    without = phantom.followup_volumes(columns, 400, {}).mean(1)
    assert volumes[0] < without[0] < volumes[1]
    assert HeadPhantom({"Aare": 3}, signs=True).name == HeadPhantom({"Aare": 3}, signs="mottled").name
