"""A CSV of cases: what becomes a predictor, and what is told before anything is fitted."""

import csv

import numpy as np
import openpyxl
import pytest

from medzoo.datamodules import FetalHeartTable, TableDataModule
from medzoo.datamodules.phantoms.fetal_heart import causal
from medzoo.datamodules.table.columns import named, numbers_of, tells_outcome, unit_of


def written(folder, columns, name="cases.csv"):
    file = folder / name
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return file


def columns(count=60, seed=0, **more):
    rng = np.random.default_rng(seed)
    label = (rng.uniform(size=count) < 0.4).astype(int)
    return {
        "id": [f"p{k}" for k in range(count)],
        "label": label,
        "age [years]": rng.normal(50, 10, count).round(1) + 5 * label,
        "sex": rng.choice(["m", "f"], count),
        "size (mm)": rng.normal(20, 5, count).round(2),
        **more,
    }


def ready(file, stage="fit", **options):
    made = TableDataModule(file, **options)
    made.prepare_data()
    made.setup(stage)
    return made


def test_a_table_that_was_trained_on_is_no_test(tmp_path):
    file = written(tmp_path, columns())
    first, again = ready(file), TableDataModule(file)
    again.evaluate_as(first.seen)
    with pytest.raises(ValueError, match="trained on all patients that could be tested; name other data"):
        again.setup("test")


@pytest.mark.parametrize(
    ("column", "name", "unit"),
    [("age [years]", "age", "years"), ("size (mm)", "size", "mm"), ("ratio", "ratio", ""), (" x [ ] ", "x", "")],
)
def test_a_unit_stands_behind_the_name(column, name, unit):
    assert (named(column), unit_of(column)) == (name, unit)


def test_two_values_become_0_and_1_with_their_names():
    cases = ["a", "b", "c", "d"]
    assert numbers_of(["1", "0", "", "1.0"], "x", cases)[1] is None
    values, levels = numbers_of(["2", "1", "NA", "2.0"], "x", cases)
    assert levels == ("1", "2")
    assert np.array_equal(values, [1, 0, np.nan, 1], equal_nan=True)
    values, levels = numbers_of(["m", "f", " m ", ""], "x", cases)
    assert levels == ("f", "m")
    values, levels = numbers_of(["m", "f", "m", ""], "x", cases, ("m", "f"))
    assert np.array_equal(values, [0, 1, 0, np.nan], equal_nan=True)
    with pytest.raises(ValueError, match="x of case c is 'w'; expected f or m"):
        numbers_of(["m", "f", "w", ""], "x", cases, ("f", "m"))
    with pytest.raises(ValueError, match=r"stage of case a is 'I', which is not a number; .* column of 0 and 1"):
        numbers_of(["I", "II", "III", "I"], "stage", cases)


def test_plus_and_minus_are_two_levels():
    values, levels = numbers_of(["+", "-", "", "+"], "x", [*"abcd"])
    assert levels == ("+", "-")
    assert np.array_equal(values, [0, 1, np.nan, 0], equal_nan=True)
    assert np.isnan(numbers_of(["1", "-", "2", "3"], "x", [*"abcd"])[0][1])


def test_tables_of_excel_are_read_as_the_plain_one_is(tmp_path):
    plain = columns()
    first = ready(written(tmp_path, plain))
    commas = {name: [str(value).replace(".", ",") for value in cells] for name, cells in plain.items()}
    commas["label"] = [f"{value}.0" for value in plain["label"]]
    german = tmp_path / "german.csv"
    lines = [";".join(map(str, line)) for line in zip(*commas.values(), strict=True)]
    german.write_text("\n".join([";".join(commas), *lines]))
    book = openpyxl.Workbook()
    for line in [[*plain], *zip(*plain.values(), strict=True)]:
        book.active.append([cell.item() if isinstance(cell, np.generic) else cell for cell in line])
    book.save(tmp_path / "cases.xlsx")
    for file in (german, tmp_path / "cases.xlsx"):
        made = ready(file)
        assert made.levels == first.levels
        assert made.cases("train").positive.tolist() == first.cases("train").positive.tolist()
        for name, values in first.cases("train").values.items():
            assert made.cases("train").values[name].tolist() == values.tolist()


def test_a_predictor_in_another_unit_than_in_the_training_is_told(tmp_path):
    first = ready(written(tmp_path, columns()))
    other = columns(12, 1)
    other["age (months)"] = other.pop("age [years]") * 12
    second = TableDataModule("none")
    second.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="age is in months, and in the training it was in years; convert it"):
        second.set_predict_input(written(tmp_path, other, "b.csv"))


def test_every_column_that_can_be_one_is_a_predictor(tmp_path, caplog):
    table = columns(again=[])
    label = np.asarray(table["label"])
    nearly = label.copy()
    nearly[0] = 1 - nearly[0]
    table["again"] = np.where(label == 1, "yes", "no")
    table |= {"nearly": nearly, "opposite": 1 - label, "site": ["A", "B", "C"] * 20, "one": [1] * 60}
    made = ready(written(tmp_path, table))
    assert made.predictors == ["age", "sex", "size"]
    assert made.units == {"age": "years", "size": "mm"}
    assert made.levels == {"sex": ("f", "m")}
    for why in ("again (label)", "nearly (label)", "opposite (label)", "site (words)", "one (constant)"):
        assert why in caplog.text
    assert made.cases("train", "val").names[:2] == ["p0", "p1"]
    assert made.cases("test").names == []


def test_the_outcome_in_other_words_is_refused(tmp_path):
    table = columns()
    table["malignancy"] = np.where(np.asarray(table["label"]) == 1, "malignant", "benign")
    file = written(tmp_path, table)
    with pytest.raises(ValueError, match="malignancy is label in other words"):
        ready(file, predictors=["age", "malignancy"])
    with pytest.raises(ValueError, match="label is the outcome"):
        TableDataModule(file, predictors=["age", "Label"])
    made = ready(file, outcome="malignancy", positive="malignant", predictors=["age", "sex"])
    assert made.class_names == ["not malignant", "malignant"]
    assert made.cases("train").positive.tolist() == (np.asarray(table["label"]) == 1).tolist()


def test_a_strong_predictor_is_not_taken_for_the_outcome():
    positive = np.arange(100) < 40
    assert not tells_outcome(np.where(positive, 5.0, 0.0) + np.linspace(0, 1, 100), positive)
    assert not tells_outcome((np.arange(100) < 45).astype(float), positive)
    assert tells_outcome((np.arange(100) < 41).astype(float), positive)


def test_new_tables_are_read_as_the_first_one_was(tmp_path):
    first = ready(written(tmp_path, columns()))
    other = columns(12, 1, weight=[70.5 + k for k in range(12)])
    other["sex"] = ["m"] * 12  # one of two levels
    file = written(tmp_path, {name: other[name] for name in reversed(other)}, "b.csv")
    second = TableDataModule(file)
    second.load_state_dict(first.state_dict())
    second.evaluate_as(first.seen)
    second.setup("test")
    assert second.predictors == ["age", "sex", "size"]
    assert second.cases("test").values["sex"].tolist() == [1] * 12
    assert len(second.cases("test").names) == 12, "a table that is only tested is tested as a whole"
    assert second.cases("test").values["age"].max() > 1
    few = {name: values[:2] for name, values in other.items()}
    second.set_predict_input(written(tmp_path, few, "few.csv"))
    assert second.cases("predict").values["age"].tolist() == [float(age) for age in few["age [years]"]], "no levels"
    second.set_predict_input(file)
    assert next(iter(second.predict_dataloader()))["x"].shape == (12, 3)


def test_a_column_of_splits_is_followed(tmp_path):
    made = ready(written(tmp_path, columns(split=["train", "val", "test"] * 20)))
    assert [len(ids) for ids in made.split.values()] == [20, 20, 20]
    assert "split" not in made.predictors


@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        ({"label": [0] * 60}, {}, "60 no label and 0 label development cases; at least 3 of each"),
        ({"label": ["sick", "well"] * 30}, {}, r"label is sick, well; say which .* datamodule.positive"),
        ({"label": ["", *[0, 1] * 29, 1]}, {}, "label of case p0 is missing"),
        ({}, {"outcome": "death"}, "no column death; set datamodule.outcome to one of label, age, sex, size"),
        ({}, {"predictors": ["height"]}, "no column height; there are label, age, sex, size"),
        ({}, {"case": "nr"}, "no column nr"),
        ({"size (mm)": ["", *range(59)]}, {}, "size: missing in 1 of 60 cases; .* datamodule.missing=impute"),
        ({"id": ["p0", *[f"p{k}" for k in range(59)]]}, {}, "id p0 occurs twice, in lines 2 and 3"),
        ({"split": ["train", "dev"] * 30}, {}, "split of p1 is 'dev'; expected train, val or test"),
        ({}, {"predictors": ["age", "age [years]"]}, "is named twice"),
        ({"age (months)": [1] * 60}, {}, r"age \[years\] and age \(months\) are both age"),
        ({"size (mm)": ["1,234"] * 60}, {"predictors": ["size"]}, "size of case p0 is '1,234': is that 1.234, or 1234"),
        ({"size (mm)": ["#DIV/0!", *range(59)]}, {"predictors": ["size"]}, "an error of Excel"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(tmp_path, change, options, told):
    file = written(tmp_path, {**columns(), **change})
    with pytest.raises(ValueError, match=told) as raised:
        ready(file, **options)
    assert "\n" not in str(raised.value)


def test_rows_without_names_are_numbered(tmp_path):
    table = columns()
    del table["id"]
    assert ready(written(tmp_path, table)).cases("train").names[:2] == ["row 2", "row 3"]


def test_the_phantom_is_the_causal_model(tmp_path):
    made = ready(None, root=tmp_path, phantom=FetalHeartTable(40, 20, seed=3), outcome="HLHS")
    hearts = causal.draw_hearts(40, 20, seed=3)
    cases = made.cases("train")
    assert made.phantom
    assert cases.positive.tolist() == hearts.positive.tolist()
    assert cases.values["LV_diameter"] == pytest.approx(hearts.predictors["LV_diameter"], abs=6e-4)
    assert cases.probability.mean() == pytest.approx(20 / 60, abs=1e-3)
    assert "HLHS" not in made.predictors
    assert not ready(tmp_path / FetalHeartTable(40, 20, seed=3).name / "cases.csv", outcome="HLHS").phantom
    parts = ready(None, root=tmp_path, phantom=FetalHeartTable(40, 20, test_share=0.3), outcome="HLHS").split
    assert [0, 8] <= [len(parts["val"]), len(parts["test"])] <= [0, 30]
    gaps = FetalHeartTable(40, 20, missing=0.2, seed=3)
    gaps.write(tmp_path / "gaps")
    x = ready(tmp_path / "gaps" / "cases.csv", outcome="HLHS", missing="impute").cases("train").values["age"]
    assert 0.05 < np.isnan(x).mean() < 0.4
