"""A nomogram of a table as a module: fitted by `finalize`, then only read."""

import csv

import numpy as np
import pytest
import torch

from medzoo.callbacks.writers.nomogram import case_rows
from medzoo.datamodules import FetalHeartTable, TableDataModule
from medzoo.evaluation.nomogram.axes import Categorical
from medzoo.evaluation.nomogram.reading import read_nomogram
from medzoo.evaluation.nomogram.study import judge
from medzoo.evaluation.regression.image_score import folds_by_case
from medzoo.evaluation.regression.learners.comparators import learners, regression
from medzoo.lightning_modules import NomogramModule, NomogramSettings

NAMES = ["LV_diameter", "LA_RA_area_ratio", "LV_RV_area_ratio", "bright_lining"]
SETTINGS = NomogramSettings(folds=3, resamples=4, draws=3, seed=1)


def table(folder, seed=0, stage="fit", **options):
    own = {"missing": 0.15} if options.get("missing") == "impute" else {}
    phantom = FetalHeartTable(60, 30, seed=seed, **own)
    made = TableDataModule(
        root=folder, phantom=phantom, outcome="HLHS", class_names=["normal", "HLHS"], predictors=NAMES, **options
    )
    made.prepare_data()
    if stage == "test":  # of a model that has seen others
        made.evaluate_as({**dict.fromkeys(("train", "val", "test", "unused", "names"), torch.empty(0)), "patients": 0})
    made.setup(stage)
    return made


def fitted(data):
    module = NomogramModule(SETTINGS).eval()
    module.finalize(data)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@pytest.fixture(scope="module")
def made(folder):
    return fitted(table(folder))


@pytest.fixture(scope="module")
def filling(folder):
    return fitted(table(folder, missing="impute"))


def test_what_is_kept_is_what_was_fitted(made, filling, folder):
    for module, data, draws in ((made, table(folder), 0), (filling, table(folder, missing="impute"), 3)):
        cases = module.case_table(data, "train", "val")
        other = module.case_table(table(folder, 7, "test", missing=data.missing), "test")
        said = module.case_probabilities(other)
        assert [*said] == ["nomogram", *learners(NAMES)]
        for name, fit in {"nomogram": regression(NAMES, draws, 1), **learners(NAMES, 1)}.items():
            assert np.abs(said[name] - fit(cases.x, cases.positive)(other.x)).max() < 1e-9, name


def test_another_cohort_changes_no_buffer(made, folder):
    before = {name: value.clone() for name, value in made.state_dict().items()}
    data = table(folder, 7, "test")
    cases = made.case_table(data, "test")
    judge(cases.positive, made.case_probabilities(cases), read_nomogram(made.nomogram).thresholds)
    made.set_prediction(prevalence=0.001)
    case_rows(made, cases)
    made.set_prediction(prevalence=None)
    assert before.keys() == made.state_dict().keys()
    for name, value in made.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_state_is_all_that_another_module_needs(made, folder, tmp_path):
    torch.save(made.state_dict(), tmp_path / "state.pt")
    other = NomogramModule(SETTINGS)
    with pytest.raises(ValueError, match="NomogramPart has not been fitted"):
        read_nomogram(other.nomogram)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    cases = made.case_table(table(folder, 7, "test"), "test")
    for name, prob in made.case_probabilities(cases).items():
        assert np.array_equal(other.case_probabilities(cases)[name], prob)
    assert read_nomogram(other.nomogram).record == read_nomogram(made.nomogram).record


def test_axes_have_units_ranges_and_levels(made, folder):
    data, reading = table(folder), read_nomogram(made.nomogram)
    axes = {axis.name: axis for axis in reading.nomogram.axes}
    assert axes["LV_diameter"].unit == "mm"
    x = data.cases("train").values["LV_diameter"]
    assert (axes["LV_diameter"].low, axes["LV_diameter"].high) == (x.min(), x.max())
    assert isinstance(axes["bright_lining"], Categorical)
    assert [label for label, _ in axes["bright_lining"].ticks] == ["0", "1"]
    assert reading.share == pytest.approx(1 / 3)
    assert reading.share_told == "at the study's share of HLHS (33%)"


def test_rows_of_predictions_say_what_was_filled_and_what_lies_beyond(filling, folder, tmp_path):
    reading = read_nomogram(filling.nomogram)
    file = tmp_path / "new.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["bright_lining", "LV_RV_area_ratio", "LA_RA_area_ratio", "LV_diameter [mm]", "id"])
        writer.writerows([[1, 0.5, "", 6, "gap"], [0, 0.6, 0.6, 500, "far"]])
    data = table(folder, missing="impute")
    data.set_predict_input(file)
    filling.check_cases(data, "predict")
    gap, far = case_rows(filling, filling.predicted_table(data, {}))
    assert (gap["id"], gap["imputed"], gap["warnings"]) == ("gap", "LA_RA_area_ratio", "")
    assert far["imputed"] == ""
    assert far["warnings"].startswith("LV_diameter 500 is outside ")
    for row in (gap, far):
        linear = reading.model.intercept + sum(
            coefficient * float(row[name]) for name, coefficient in zip(NAMES, reading.model.coefficients, strict=True)
        )
        assert float(row["p_HLHS"]) == pytest.approx(1 / (1 + np.exp(-linear)), rel=1e-6)
    assert reading.nomogram.points({name: float(gap[name]) for name in NAMES})["bright_lining"] in (
        0.0,
        pytest.approx(reading.model.coefficients[3] * reading.nomogram.points_per_unit),
    )


def test_what_cannot_be_read_is_told_in_one_line(made, folder, tmp_path):
    file = tmp_path / "new.csv"
    file.write_text("case,LV_diameter,LA_RA_area_ratio,LV_RV_area_ratio,bright_lining\na,5,,0.4,1\n")
    data = table(folder)
    data.set_predict_input(file)
    with pytest.raises(ValueError, match=r"LA_RA_area_ratio of case a is missing .*missing=refuse: fill it") as raised:
        made.check_cases(data, "predict")
    assert "\n" not in str(raised.value)
    file.write_text("case,LV_diameter,LV_RV_area_ratio,bright_lining\na,5,0.4,1\n")
    with pytest.raises(ValueError, match="no column LA_RA_area_ratio; there are LV_diameter"):
        data.set_predict_input(file)
    data.predictors = NAMES[:2]
    with pytest.raises(ValueError, match="the nomogram has LV_diameter, LA_RA_area_ratio, LV_RV_area_ratio"):
        made.check_cases(data, "test")
    with pytest.raises(ValueError, match="prevalence=2 must lie between 0 and 1"):
        made.set_prediction(prevalence=2)


def test_thresholds_are_of_held_out_predictions(made, folder):
    cases = made.case_table(table(folder), "train", "val")
    fold = folds_by_case(cases.positive, np.array(cases.names), 3, 1)
    prob = np.empty(len(fold))
    for number in range(3):
        held = fold == number
        prob[held] = regression(NAMES)(cases.x[~held], cases.positive[~held])(cases.x[held])
    threshold = read_nomogram(made.nomogram).thresholds["nomogram"]
    assert np.abs(prob - threshold).min() < 1e-12
    best = max((cases.positive[prob >= t].sum() / 30 - (~cases.positive[prob >= t]).sum() / 60) for t in prob)
    own = cases.positive[prob >= threshold].sum() / 30 - (~cases.positive[prob >= threshold]).sum() / 60
    assert own == pytest.approx(best)
