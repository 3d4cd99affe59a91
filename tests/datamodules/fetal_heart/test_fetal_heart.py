"""The phantom cohort of fetal hearts, and the datamodule that reads such folders."""

import csv
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.special import expit

from medzoo.datamodules import FetalHeartDataModule, FetalHeartPhantom
from medzoo.datamodules.phantoms.fetal_heart.causal import COEFFICIENTS, READERS, draw_hearts, read_by
from medzoo.datamodules.transforms import BatchAugment
from medzoo.evaluation.regression.logistic import fit_logistic
from medzoo.evaluation.regression.odds import multivariate_table
from medzoo.evaluation.scores.diagnostic import delong
from tests.conftest import call_verb

PHANTOM = FetalHeartPhantom(20, 12, views=2, size=64)


def module(root, phantom=None, **options):
    said = {"image_size": [32, 32], "mean": 0.0, "std": 1.0, "batch_size": 8, "smaller_in_positive": "LV_RV_area_ratio"}
    return FetalHeartDataModule(root, phantom=phantom, test_share=0.3, val_share=0.2, **{**said, **options})


def ready(*arguments, **options):
    made = module(*arguments, **options)
    made.prepare_data()
    made.setup()
    return made


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("hearts")
    PHANTOM.write(root / "cohort")
    return root / "cohort"


@pytest.fixture
def own(cohort, tmp_path):
    """A copy that a test may spoil."""
    return shutil.copytree(cohort, tmp_path / "own")


def rewrite(file, change):
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    rows = change(rows)
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_same_seed_writes_the_same_cohort(cohort, tmp_path):
    PHANTOM.write(tmp_path / "again")
    for name in ("cases.csv", "readers.csv", "truth.csv", "images/H0003_1.png", "masks/H0003_1.png"):
        assert (tmp_path / "again" / name).read_bytes() == (cohort / name).read_bytes()


def test_masks_measure_what_the_causal_model_drew(tmp_path):
    made = ready(tmp_path, FetalHeartPhantom(20, 12, views=2, size=128))
    with (made.root / "truth.csv").open() as opened:
        truth = {row["case"]: row for row in csv.DictReader(opened)}
    for split in ("train", "val", "test"):
        cases = made.cases(split)
        for name in made.predictors:
            true = np.array([float(truth[case][name]) for case in cases.names])
            assert cases.values[name] == pytest.approx(true, rel=0.05)


def test_intervals_of_coefficients_hold_the_true_ones():
    names = [*COEFFICIENTS]
    true = np.array([*COEFFICIENTS.values()])
    held = np.zeros(len(names))
    for seed in range(50):
        hearts = draw_hearts(161, 52, seed=seed)
        x = np.stack([hearts.predictors[name] for name in names], axis=1)
        rows = multivariate_table(fit_logistic(x, hearts.positive, names), x, hearts.positive)
        low, high = (np.log([row[key] for row in rows]) for key in ("low", "high"))
        held += (low <= true) & (true <= high)
    assert (held / 50 >= 0.9).all(), dict(zip(names, held / 50, strict=True))


def test_what_masks_measure_and_images_show_comes_near_the_best_possible_area():
    names = [*COEFFICIENTS]
    fitted, tested = (draw_hearts(483, 156, seed=seed) for seed in (1, 2))
    x, new = (np.stack([hearts.predictors[name] for name in names], axis=1) for hearts in (fitted, tested))
    best = delong(tested.positive, tested.logit)["auc"]
    full = delong(tested.positive, fit_logistic(x, fitted.positive, names).predict(new))["auc"]
    without = fit_logistic(x[:, :3], fitted.positive, names[:3]).predict(new[:, :3])
    assert best - full < 0.01
    assert best - delong(tested.positive, without)["auc"] > 0.03, "the sign that only images show is needed"


def test_readers_get_better_with_years():
    hearts = draw_hearts(1500, 500, seed=1)
    areas = [delong(hearts.positive, scores)["auc"] for scores, _ in read_by(hearts).values()]
    assert areas == sorted(areas)
    assert [*READERS] == ["3 years", "6 years", "10 years"]
    assert areas[-1] < delong(hearts.positive, expit(hearts.logit))["auc"]


def test_a_case_is_in_one_split_with_all_its_images(cohort):
    made = ready(cohort)
    assert len(made.cases("train", "val").names) == 32 - len(made.cases("test").names)
    homes = {}
    for split, ids in made.split.items():
        for name in ids:
            homes.setdefault(made.case_of(name), set()).add(split)
    assert all(len(home) == 1 for home in homes.values())
    assert len(homes) == 32
    assert [made.cases(split).positive.sum() for split in ("train", "val", "test")] == [6, 2, 4]


def test_masks_are_channels_and_stay_binary_under_augmentation(cohort):
    made = ready(cohort, channels="grey_and_masks", augment=BatchAugment(rotate=20.0, contrast=0.3))
    image = next(iter(made.train_dataloader()))["image"]
    assert image.shape[1:] == (5, 32, 32)
    assert set(image[:, 1:].unique().tolist()) == {0.0, 1.0}
    assert (image[:, 1:].sum(1) <= 1).float().mean() > 0.95
    with pytest.raises(ValueError, match="channels=grey"):
        made.set_predict_input(cohort / "images")


def test_a_cohort_may_lack_masks_and_readers_if_the_table_measures(own):
    sizes = {name: iter(np.linspace(3, 9, 32) * k) for k, name in enumerate(("LV_diameter", "LA_diameter"), 1)}

    def measured(rows):
        rng = np.random.default_rng(0)
        return [{**row, **{name: next(each) + rng.normal() for name, each in sizes.items()}} for row in rows]

    rewrite(own / "cases.csv", measured)
    shutil.rmtree(own / "masks")
    (own / "readers.csv").unlink()
    made = ready(own, predictors=["LV_diameter", "LA_diameter"], smaller_in_positive=None)
    assert made.cases("test").readers == {}
    with pytest.raises(ValueError, match=r"LV_RV_area_ratio: no column .* there are no masks"):
        ready(own, predictors=["LV_RV_area_ratio"])


def with_value(name, value):
    return lambda rows: [{**row, name: value(k, row)} for k, row in enumerate(rows)]


WRONG = {
    "constant": (with_value("LV_diameter", lambda k, row: 5), "LV_diameter: every case has 5"),
    "collinear": (with_value("age", lambda k, row: 2 * float(row["gestational_week"])), "each follows exactly"),
    "missing": (with_value("LV_diameter", lambda k, row: "" if k == 3 else k), "missing in 1 of 32 cases.*impute"),
    "word": (with_value("LV_diameter", lambda k, row: "wide"), "which is not a number"),
    "one class": (with_value("label", lambda k, row: 1), "0 normal and .* HLHS development cases; at least 3 of each"),
    "label": (with_value("label", lambda k, row: 2), "label is '2'; expected 0 or 1"),
    "polarity": (with_value("LV_RV_area_ratio", lambda k, row: float(row["label"]) + 0.1 * (k % 7)), "swapped"),
    "two splits": (
        lambda rows: [*({**row, "split": "train"} for row in rows), {**rows[0], "split": "test"}],
        "occurs twice, in lines 2 and 34; keep one",
    ),
    "near miss": (with_value("case", lambda k, row: row["case"].lower()), "none of 'H0000' but one of 'h0000'"),
    "no image": (lambda rows: [*rows, {**rows[0], "case": "H9999"}], "H9999 has no image"),
    "no row": (lambda rows: rows[1:], "no row for case .*, which has an image"),
    "no labels": (lambda rows: [{k: v for k, v in row.items() if k != "label"} for row in rows], "no column label"),
}


def refused(own, run):
    """The one line that a user gets who trains on such a cohort."""
    predictors = "[LV_diameter,LA_RA_area_ratio,LV_RV_area_ratio,age,gestational_week]"
    small = ["datamodule.image_size=[32,32]", "lightning_module.net={channels:[8,8],latent_features:8}", "logger=none"]
    given = [f"datamodule.root={own}", f"datamodule.predictors={predictors}", "datamodule.candidates=[]"]
    done = call_verb("train", "experiment=hlhs", *given, *small, f"hydra.run.dir={run}")
    assert done.code == 2, done.output
    assert len(done.error) == 1, done.output
    assert not list(run.glob("checkpoints/*"))
    return done.error[0]


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_a_table_is_told_in_a_line(own, what, tmp_path):
    change, told = WRONG[what]
    rewrite(own / "cases.csv", change)
    assert re.search(told, refused(own, tmp_path / "run"))


def test_a_mask_with_other_labels_is_named(own, tmp_path):
    file = own / "masks" / "H0002_0.png"
    labels = np.array(Image.open(file))
    labels[0, 0] = 9
    Image.fromarray(labels).save(file)
    assert "H0002_0.png: holds the values 9; expected label values 0 to 4" in refused(own, tmp_path / "run")


def test_gaps_are_let_through_where_they_are_imputed(own):
    rewrite(own / "cases.csv", with_value("age", lambda k, row: "" if k == 3 else row["age"]))
    made = ready(own, predictors=["age"], missing="impute", smaller_in_positive=None)
    assert np.isnan(made.cases("train", "val", "test").values["age"]).sum() == 1


def test_images_are_learnt_without_labels(own):
    rewrite(own / "cases.csv", lambda rows: [{"case": row["case"]} for row in rows])
    shutil.rmtree(own / "masks")
    made = ready(own, predictors=[], smaller_in_positive=None)
    assert len(made.split["train"]) == 32
