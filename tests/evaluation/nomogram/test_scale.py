from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from medzoo.evaluation.figures import nomogram_html
from medzoo.evaluation.nomogram.axes import Categorical, Continuous
from medzoo.evaluation.nomogram.pretty import pretty
from medzoo.evaluation.nomogram.scale import Nomogram, nomogram_of
from medzoo.evaluation.regression.imputation import fit_imputed, impute
from medzoo.evaluation.regression.logistic import fit_logistic
from tests.evaluation.golden import SEPARATED, cohort

GOLDEN = Nomogram(
    0.7,
    [
        Continuous("LV_diameter", -1.2, 0.3, 1.4),
        Continuous("LV_area", 0.5, 0.2, 2.0),
        Continuous("LA_RA_area_ratio", -0.8, 0.4, 1.6),
        Continuous("LV_RV_area_ratio", -1.5, 0.1, 1.5),
        Continuous("image_score", 0.9, 0.0, 1.0),
    ],
)
CASE = {"LV_diameter": 0.6, "LV_area": 0.5, "LA_RA_area_ratio": 0.7, "LV_RV_area_ratio": 0.5, "image_score": 0.8}


@pytest.mark.parametrize(
    ("low", "high", "intervals", "expected"),
    [
        (2.3, 17.9, 10, np.arange(2, 19, 2)),
        (-1.234, 5.678, 10, np.arange(-3, 13) / 2),
        (0, 250, 10, np.arange(0, 261, 20)),
        (0.1, 1.5, 10, np.arange(1, 16) / 10),
        (1, 10, 5, [0, 2, 4, 6, 8, 10]),
        (1, 10, 21, np.arange(2, 21) / 2),
        (1, 20, 2, [0, 10, 20]),
        (0, 0, 5, [-1, 0]),
        (1e-9, 3e-9, 10, np.arange(10, 31, 2) / 1e10),
        (-250, 0, 10, np.arange(-260, 1, 20)),
    ],
)
def test_round_values_are_those_of_r(low, high, intervals, expected):
    assert pretty(low, high, intervals) == pytest.approx(expected, rel=1e-12, abs=1e-20)


def test_round_values_cover_and_are_about_as_many_as_wished():
    rng = np.random.default_rng(0)
    for _ in range(500):
        low = rng.normal() * 10 ** rng.uniform(-6, 6)
        high = low + abs(rng.normal()) * 10 ** rng.uniform(-6, 6)
        values = pretty(low, high, 10)
        gaps = np.diff(values)
        assert values[0] <= low + 1e-9 * gaps[0]
        assert values[-1] >= high - 1e-9 * gaps[0]
        assert gaps == pytest.approx(gaps[0], rel=1e-6, abs=1e-14 * np.abs(values).max())
        assert 3 <= len(gaps) <= 20
    for value in (0.0, 7.3, -1e6):
        assert len(pretty(value, value)) >= 4
    with pytest.raises(ValueError, match="no axis runs"):
        pretty(2, 1)


def test_golden_geometry():
    assert GOLDEN.points_per_unit == pytest.approx(47.6190476, abs=1e-7)
    assert GOLDEN.base == pytest.approx(-4.41, abs=1e-12)
    most = [max(points for _, points in GOLDEN.ticks(axis)) for axis in GOLDEN.axes]
    assert most == pytest.approx([62.857, 42.857, 45.714, 100, 42.857], abs=1e-3)
    assert sum(most) == pytest.approx(294.286, abs=1e-3)
    asked = np.array([0.01, 0.1, 0.5, 0.9, 0.99])
    places = (np.log(asked / (1 - asked)) - GOLDEN.base) * GOLDEN.points_per_unit
    assert places == pytest.approx([-8.815, 105.370, 210, 314.630, 428.815], abs=1e-3)
    shown = GOLDEN.probability_ticks(asked)
    assert [probability for probability, _ in shown] == [0.1, 0.5]
    assert [points for _, points in shown] == pytest.approx([105.370, 210.000], abs=1e-3)
    assert GOLDEN.total_ticks() == [0, 50, 100, 150, 200, 250, 300]


def test_golden_case():
    said = GOLDEN.score(CASE)
    assert said.points == pytest.approx(192.857, abs=1e-3)
    assert said.linear_predictor == pytest.approx(-0.36, abs=1e-12)
    assert said.probability == pytest.approx(1 / (1 + np.exp(0.36)), abs=1e-15)
    assert sum(GOLDEN.points(CASE).values()) == pytest.approx(said.points)


@pytest.mark.parametrize("kind", ["ml", "firth", "pooled"])
def test_points_give_the_probability_of_the_model_for_every_row(kind):
    x, positive, names = cohort()
    x[:, 2] = x[:, 2] > 0.6
    if kind == "pooled":
        gaps = np.where(np.random.default_rng(0).random(x.shape) < 0.1, np.nan, x)
        fit = fit_imputed(impute(gaps, positive, names, draws=2), positive, names)
        nomogram = nomogram_of(fit, gaps)
        cases = [dict(zip(names, row, strict=True)) for row in x]
    else:
        fit = fit_logistic(x, positive, names, method=kind)
        nomogram = nomogram_of(fit, x, levels={"ratio": ("low", "high")})
        cases = [{"age": age, "area": area, "ratio": ("low", "high")[int(high)]} for age, area, high in x]
    said = np.array([nomogram.score(case).probability for case in cases])
    assert np.abs(said - fit.predict(x)).max() < 1e-12
    spans = [nomogram.ticks(axis) for axis in nomogram.axes]
    assert min(points for ticks in spans for _, points in ticks) == pytest.approx(0)
    assert max(points for ticks in spans for _, points in ticks) == pytest.approx(100)


def test_a_separated_fit_has_a_nomogram_too():
    x, positive = SEPARATED
    fit = fit_logistic(x, positive, ["x"])
    nomogram = nomogram_of(fit, x)
    said = [nomogram.score({"x": value}).probability for value in x[:, 0]]
    assert np.abs(said - fit.predict(x)).max() < 1e-12


def test_categories_have_points_and_a_protective_level_has_none():
    nomogram = Nomogram(-1.0, [Categorical("sex", {"male": 0.0, "female": -0.5}), Continuous("age", 0.02, 20, 44)])
    assert nomogram.points({"sex": "female", "age": 20}) == pytest.approx({"sex": 0, "age": 0})
    assert nomogram.points({"sex": "male", "age": 44}) == pytest.approx({"sex": 100, "age": 96})
    assert nomogram.score({"sex": "male", "age": 30}).linear_predictor == pytest.approx(-1 + 0.6)


def test_a_predictor_of_0_and_1_has_two_ticks_and_no_value_between():
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(size=80), rng.uniform(size=80) < 0.5], axis=1).astype(float)
    positive = x @ [1, 1] + rng.normal(size=80) > 0.5
    fit = fit_logistic(x, positive, ["age", "sex"])
    for levels, labels in (({}, ["0", "1"]), ({"sex": ("f", "m")}, ["f", "m"])):
        nomogram = nomogram_of(fit, x, levels=levels)
        assert [label for label, _ in nomogram.ticks(nomogram.axes[1])] == labels
        page = nomogram_html(nomogram)
        assert page.count('type="range"') == 1
        assert (
            "".join(f"<option>{label}</option>" for label in labels).replace("<option>", "<option selected>", 1) in page
        )
        said = [nomogram.score({"age": age, "sex": sex}).probability for age, sex in x]
        assert np.abs(said - fit.predict(x)).max() < 1e-12
    assert nomogram.points({"age": 0, "sex": "m"}) == nomogram.points({"age": 0, "sex": 1})
    with pytest.raises(ValueError, match=r"sex: 0.5 is not one of f, m"):
        nomogram.points({"age": 0, "sex": 0.5})


def test_total_axis_reaches_to_the_fitted_linear_predictors():
    short = Nomogram(GOLDEN.intercept, GOLDEN.axes, (-3.2, 0.1))
    assert short.total_ticks()[-1] == pretty(0, (0.5 + 4.41) * GOLDEN.points_per_unit)[-1]
    assert [value for value, _ in short.linear_ticks()] == pretty(-3.2, 0.1)
    for ticks in (short, GOLDEN):
        points = [place for _, place in ticks.linear_ticks()]
        assert points == sorted(points)
        assert points[-1] <= ticks.total_ticks()[-1]


def test_table_holds_every_tick_and_the_probabilities():
    rows = GOLDEN.table()
    assert {"axis": "LV_area", "value": "0.2", "points": 0.0} in rows
    assert sum(row["axis"] == "LV_RV_area_ratio" for row in rows) == 15
    last = [row for row in rows if row["axis"] == "Probability"]
    assert [float(row["value"]) for row in last] == [p for p, _ in GOLDEN.probability_ticks()]
    assert next(row["points"] for row in last if row["value"] == "0.5") == pytest.approx(210)


def test_ticks_at_one_place_share_a_label():
    level = Categorical("view", {"a": 0.0, "b": 0.0, "c": 1.0})
    nothing = Continuous("age", 0.0, 20, 45)
    nomogram = Nomogram(0.0, [level, nothing])
    assert nomogram.ticks(level) == [("a, b", 0.0), ("c", 100.0)]
    assert nomogram.ticks(nothing) == [("20 to 46", 0.0)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GOLDEN.score({"LV_area": 1.0}), "the case has no LV_diameter, LA_RA_area_ratio"),
        (lambda: GOLDEN.score(CASE | {"LV_area": float("nan")}), "LV_area: nan is not a number"),
        (lambda: GOLDEN.score(CASE | {"LV_area": "big"}), "LV_area: 'big' is not a number"),
        (lambda: Categorical("sex", {"m": 0.0, "f": 1.0}).contribution("x"), "sex: 'x' is not one of m, f"),
        (lambda: Categorical("sex", {"m": 0.0}), "sex: an axis needs two levels"),
        (lambda: Continuous("age", 1.0, 3, 3), "age: no axis from 3 to 3"),
        (lambda: Continuous("age", float("nan"), 3, 4), "age: no axis"),
        (lambda: Nomogram(0, [Continuous("age", 0.0, 3, 4)]), "age: no predictor has an effect"),
        (lambda: Nomogram(0, [Continuous("age", 1.0, 3, 4)] * 2), "different names"),
        (
            lambda: nomogram_of(fit_logistic(*SEPARATED, ["x"]), SEPARATED[0], units={"y": "mm"}),
            r"\['y'\]: the predictors are x",
        ),
    ],
)
def test_what_cannot_be_drawn_or_read_is_said_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("axis", [Continuous("age", 0.1, 20, 80), Categorical("sex", {"F": 0.0, "M": 0.5})])
def test_an_axis_cannot_be_changed_after_its_ticks_are_drawn(axis):
    assert axis.ticks
    with pytest.raises(FrozenInstanceError):
        axis.name = "another"
