"""The general layout of cohorts with several modalities: what is read, what is refused, what is learnt from whom."""

import csv
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

from medzoo.datamodules import LiverCohortDataModule, LiverPhantom
from medzoo.datamodules.liver.columns import Columns
from medzoo.datamodules.liver.preprocessing import fit_clinical, scaled_clinical
from medzoo.datamodules.liver.records import Outcome, read_patients
from medzoo.datamodules.outcomes import check_predictors
from medzoo.datamodules.transforms import BatchAugment

SIZE, SPACING = (12, 24, 24), (13.0, 14.0, 14.0)
CLINICAL = {
    "age_years": [18, 100],
    "sex": {"F": 0, "M": 1},
    "viral_hepatitis": {"0": 0, "1": 1},
    "afp_ng_ml": [0, 1e6],
    "albumin_g_dl": [0.5, 7],
}
OPTIONS = {
    "clinical": CLINICAL, "logarithm": ["afp_ng_ml"], "label": "hcc", "class_names": ["benign", "hcc"],
    "months": "time_months", "event": "event", "spatial_size": SIZE, "spacing_mm": SPACING, "tiles": 3, "tile_size": 24,
    "genes": 20, "batch_size": 8,
}  # fmt: skip


@pytest.fixture(scope="module")
def phantom():
    return LiverPhantom(
        patients=60, size=SIZE, tiles=3, tile_size=24, scanner_b=0.4, missing_cells=0.1, missing_modalities=0.2
    )


@pytest.fixture(scope="module")
def cohort(phantom, tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort") / "root"
    phantom.write(root)
    return root


@pytest.fixture
def copy(cohort, tmp_path):
    """The cohort in a folder of its own, to be spoilt."""
    return shutil.copytree(cohort, tmp_path / "copy")


def ready(root, **options):
    data = LiverCohortDataModule(root, **{**OPTIONS, **options})
    data.prepare_data()
    data.setup()
    return data


def everything(batches):
    parts = list(batches)
    return {
        key: torch.cat([part[key] for part in parts]) if key != "id" else [name for part in parts for name in part[key]]
        for key in parts[0]
    }


def edit(root, change):
    """Rows of patients.csv changed in place."""
    with (root / "patients.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        change(number, row)
    with (root / "patients.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_batch_holds_what_the_contract_says(cohort):
    data = ready(cohort)
    batch = next(iter(data.train_dataloader()))
    size = len(batch["id"])
    assert size == 8
    shapes = {
        "ct": (1, *SIZE), "mr": (2, *SIZE), "histology": (3, 3, 24, 24), "clinical": (10,), "genomics": (20,),
        "present": (5,), "label": (), "time": (), "event": (), "scanner": (),
    }  # fmt: skip
    assert {key: tuple(value.shape[1:]) for key, value in batch.items() if key != "id"} == shapes
    types = {"present": torch.bool, "event": torch.bool, "label": torch.int64, "scanner": torch.int64}
    assert all(value.dtype == types.get(key, torch.float32) for key, value in batch.items() if key != "id")
    for key in ("ct", "mr", "histology"):
        assert 0 <= batch[key].min() < batch[key].max() <= 1
    assert data.modalities == ("ct", "mr", "histology", "clinical", "genomics")
    assert (data.in_channels, data.spatial_size) == ({"ct": 1, "mr": 2, "histology": 3}, list(SIZE))
    assert (data.num_clinical, len(data.clinical_names), data.num_genes, len(data.gene_names)) == (10, 10, 20, 20)
    assert (data.num_classes, data.class_names) == (2, ["benign", "hcc"])


def test_sizes_are_known_before_anything_is_written(phantom, tmp_path):
    data = LiverCohortDataModule(tmp_path, phantom=phantom, **OPTIONS)
    assert (data.num_clinical, data.num_genes, data.in_channels["mr"]) == (10, 20, 2)
    assert data.phantom
    assert not any(tmp_path.iterdir())


def test_what_is_missing_is_zero_and_said_so(cohort):
    data = ready(cohort)
    batch = everything(data.test_dataloader())
    missing = ~batch["present"]
    assert missing.any()
    assert batch["present"].any(1).all()
    for number, name in enumerate(data.modalities):
        assert (batch[name][missing[:, number]] == 0).all()
        assert batch[name][batch["present"][:, number]].flatten(1).any(1).all()


def test_training_images_are_augmented_and_every_tile_for_itself(cohort):
    plain, changed = ready(cohort), ready(cohort, augment=BatchAugment(flip=[2]), augment_tiles=BatchAugment(flip=[1]))
    before, after = (everything(data.train_dataloader()) for data in (plain, changed))
    assert before["id"] == after["id"]
    for name in ("ct", "mr", "histology"):
        turned = (before[name] != after[name]).flatten(2 if name == "histology" else 1).any(-1)
        mirrored = torch.where(
            turned[(..., *[None] * (before[name].ndim - turned.ndim))], before[name].flip(-1), before[name]
        )
        assert torch.equal(mirrored, after[name])
        assert 0 < turned.float().mean() < 1
    assert (turned.any(1) & ~turned.all(1)).any()  # of one bag some are mirrored and some are not
    assert torch.equal(everything(plain.val_dataloader())["ct"], everything(changed.val_dataloader())["ct"])


def test_patients_are_split_once_over_all_modalities(cohort):
    data = ready(cohort)
    names = [set(ids) for ids in data.split.values()]
    assert not (names[0] & names[1] | names[0] & names[2] | names[1] & names[2])
    assert sum(map(len, names)) == 60
    assert ready(cohort, seed=5, use=["clinical", "ct"]).split["train"] != []
    assert ready(cohort, seed=5).split == data.split
    assert ready(cohort, split_seed=1).split != data.split


def test_batches_of_the_store_are_those_of_images_in_memory(cohort):
    options = {"augment": BatchAugment(flip=[2]), "missing_rate": 0.2, "around": "lesion"}
    kept, plain = ready(cohort, **options), ready(cohort, **options)
    _, genes = read_patients(plain.root, plain.columns, plain.outcome)
    plain._data = {split: plain._read(patients, genes) for split, patients in plain._items.items()}
    rows = plain._data["train"]["modalities"]["ct"].rows
    assert {type(row) for row in rows} == {np.ndarray, type(None)}
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        ours, theirs = (getattr(data, name)() for data in (kept, plain))
        again = pickle.loads(pickle.dumps(ours))  # as a worker process gets it
        for _ in range(2):
            for one, other, third in zip(ours, theirs, again, strict=True):
                assert one.pop("id") == other.pop("id") == third.pop("id")
                for key, values in one.items():
                    assert torch.equal(values.nan_to_num(-1), other[key].nan_to_num(-1)), key
                    assert torch.equal(values.nan_to_num(-1), third[key].nan_to_num(-1)), key


def test_a_rehearsal_reads_two_patients_of_each_split(cohort, tmp_path):
    data = LiverCohortDataModule(cohort, **OPTIONS)
    data.store_dir = tmp_path
    data.setup("rehearse")
    assert {name: len(ids) for name, ids in data.split.items()} == {"train": 2, "val": 2, "test": 2}
    for split, patients in data._items.items():
        assert {patient.label for patient in patients} == {0, 1}, split
    batch = next(iter(data.train_dataloader()))
    assert batch["present"][0].all(), "of each class a patient with most modalities"
    assert len(data.store.entries()) <= 18
    assert data.state_dict() == ready(cohort).state_dict(), "tables are learnt from all"


def test_the_table_may_say_the_split(copy):
    edit(copy, lambda number, row: row.update(split=["train", "val", "test"][number % 3]))
    assert ready(copy).split["val"] == [f"liver_{number:04d}" for number in range(2, 61, 3)]
    edit(copy, lambda number, row: row.update(split="" if number == 4 else row["split"]))
    with pytest.raises(ValueError, match="patient liver_0005 has no split"):
        ready(copy)


def test_scanners_can_be_kept_apart(cohort):
    data = ready(cohort, train_scanners=["A"], test_scanners=["B"], test_share=0.4)
    assert everything(data.train_dataloader())["scanner"].unique().tolist() == [0]
    assert everything(data.test_dataloader())["scanner"].unique().tolist() == [1]
    with pytest.raises(ValueError, match="no patient of scanner C; it has A, B"):
        ready(cohort, test_scanners=["C"])


def test_a_site_can_be_the_test_and_nothing_is_learnt_from_it(copy):
    edit(copy, lambda number, row: row.update(site=["north", "east", "west"][number % 3]))
    before = ready(copy, test_sites=["west"])
    west = [f"liver_{number:04d}" for number in range(3, 61, 3)]
    assert before.split["test"] == west
    assert not set(west) & {*before.split["train"], *before.split["val"]}
    assert len(before.split["train"]) + len(before.split["val"]) == 40
    assert len(before.split["val"]) == 6
    changes = {"age_years": "99", "albumin_g_dl": "7"}
    edit(copy, lambda number, row: row.update(changes if row["site"] == "west" and row["age_years"] else {}))
    after = ready(copy, test_sites=["west"])
    assert (after.split, after.state_dict()) == (before.split, before.state_dict())
    values = [everything(data.test_dataloader())["clinical"] for data in (before, after)]
    assert not torch.equal(*values)
    two = ready(copy, test_sites=["west", "north"], val_share=0.3)
    assert len(two.split["test"]) == 40
    assert len(two.split["val"]) == 6


def test_a_site_that_cannot_be_the_test_is_told(copy):
    with pytest.raises(ValueError, match="no patient of site west; it has no column site"):
        ready(copy, test_sites=["west"])
    edit(copy, lambda number, row: row.update(site=["north", "east"][number % 2]))
    with pytest.raises(ValueError, match="no patient of site west; it has east, north"):
        ready(copy, test_sites=["west", "east"])
    edit(copy, lambda number, row: row.update(site=row["site"] if number else ""))
    with pytest.raises(ValueError, match="liver_0001 has no site, others have"):
        ready(copy, test_sites=["east"])
    edit(copy, lambda number, row: row.update(site="east", split=["train", "val", "test"][number % 3]))
    with pytest.raises(ValueError, match="both test_sites and the column split"):
        ready(copy, test_sites=["east"])


def test_survival_alone_needs_no_class(copy):
    edit(copy, lambda number, row: row.update(hcc="", event="" if number == 3 else row["event"]))
    data = ready(copy, label=None)
    assert data.class_names == ["no event", "event"]
    batch = everything(data.train_dataloader())
    assert torch.equal(batch["label"], batch["event"].long())
    assert not batch["time"].isnan().any()
    assert sum(map(len, data.split.values())) == 59, "who is in no risk set is left out"
    shares = [data.table(split)["event"].mean() for split in ("train", "test")]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)
    with pytest.raises(ValueError, match="give the columns months and event"):
        ready(copy, label=None, months=None)
    with pytest.raises(ValueError, match="clinical: "):
        ready(copy, label=None, clinical={**CLINICAL, "event": [0, 1]})


def test_more_is_missing_at_a_higher_rate_and_the_same_every_time(cohort):
    present = {
        rate: everything(ready(cohort, missing_rate=rate).test_dataloader())["present"] for rate in (0, 0.3, 0.5)
    }
    assert not (present[0.3] & ~present[0]).any()
    assert not (present[0.5] & ~present[0.3]).any()
    assert present[0.5].sum() < present[0.3].sum() < present[0].sum()
    assert all(each.any(1).all() for each in present.values())
    again = everything(ready(cohort, missing_rate=0.3, seed=9).test_dataloader())["present"]
    assert torch.equal(again, present[0.3])


def test_a_subset_of_modalities_leaves_out_who_has_none_of_them(cohort):
    data = ready(cohort, use=["genomics", "ct"])
    assert data.modalities == ("ct", "genomics")
    assert data.in_channels == {"ct": 1}
    batch = everything(data.test_dataloader())
    assert set(batch) == {"ct", "genomics", "present", "label", "time", "event", "scanner", "id"}
    assert batch["present"].shape[1] == 2
    assert batch["present"].any(1).all()


def test_tables_are_learnt_from_training_patients_alone(copy):
    before = ready(copy)
    test = set(before.split["test"])

    def spoil(number, row):
        if row["id"] in test and row["age_years"]:
            row["age_years"] = "99"

    edit(copy, spoil)
    after = ready(copy)
    assert after.split == before.split
    assert after.state_dict() == before.state_dict()
    values = [everything(data.test_dataloader())["clinical"] for data in (before, after)]
    assert not torch.equal(*values)


def test_the_state_is_plain_and_prepares_new_patients_alike(cohort, tmp_path):
    trained = ready(cohort)
    state = json.loads(json.dumps(trained.state_dict()))
    edit_root = shutil.copytree(cohort, tmp_path / "new")
    edit(edit_root, lambda number, row: row.update(hcc="", time_months="", event=""))
    fresh = LiverCohortDataModule(tmp_path / "nowhere", **OPTIONS)
    fresh.load_state_dict(state)
    fresh.set_predict_input(edit_root)
    fresh.prepare_data()
    fresh.setup("predict")
    new, old = everything(fresh.predict_dataloader()), everything(trained.test_dataloader())
    places = [new["id"].index(name) for name in old["id"]]
    for key in ("ct", "histology", "clinical", "genomics", "present", "scanner"):
        assert torch.equal(new[key][places], old[key]), key
    assert (new["label"] == -1).all()
    assert new["time"].isnan().all()


def test_half_known_follow_up_is_left_out_and_told(copy, caplog):
    cells = [("12.5", "1"), ("12.5", "0"), ("", "1"), ("NA", "0"), ("7", ""), ("", "")]
    read = Outcome("hcc", ("benign", "hcc"), "months", "event").read
    said = [read({"hcc": "1", "months": months, "event": event}, "x") for months, event in cells]
    assert said[:2] == [(1, 12.5, True), (1, 12.5, False)]
    assert all(label == 1 and np.isnan(months) and not event for label, months, event in said[2:])
    changes = {
        2: {"time_months": "", "event": "1"},
        5: {"time_months": "9", "event": ""},
        8: {"time_months": "", "event": "1"},
    }
    edit(copy, lambda number, row: row.update(changes.get(number, {})))
    data = ready(copy)
    assert (
        "2 patients with event 1 have no time_months, 1 with time_months have no event: they are left out of"
        in caplog.text
    )
    assert sum(np.isnan(data.table(split)["time"]).sum() for split in ("train", "val", "test")) == 3


def test_words_of_a_layout_are_no_missing_cells():
    read = Outcome("lesion", ("none", "hcc")).read
    said = [read({"lesion": cell}, "x")[0] for cell in ("None", "hcc", "1.0", "0", "", "NA")]
    assert said == [0, 1, 1, 0, -1, -1]
    parse = Columns({"virus": {"-": 0, "+": 1}, "grade": {1: 1, 2: 2}}).parse
    assert parse({"virus": "-", "grade": "2.0"}, "x").tolist() == [0, 2]
    assert np.isnan(parse({"virus": "", "grade": "-"}, "x")).all()


def test_gaps_are_filled_as_scikit_learn_fills_them():
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(80, 5)) @ rng.normal(size=(5, 5)) * [1, 10, 100, 1, 5] + [0, 50, 3, 1, 2]
    gaps = np.where(rng.uniform(size=mixed.shape) < 0.2, np.nan, mixed)
    learnt = json.loads(json.dumps(fit_clinical(gaps[:60], "abcde")))
    mean, spread = np.nanmean(gaps[:60], 0), np.nanstd(gaps[:60], 0)
    oracle = IterativeImputer(max_iter=50, random_state=0).fit((gaps[:60] - mean) / spread)
    said = scaled_clinical(learnt, gaps[60:])
    assert said[:, :5] == pytest.approx(oracle.transform((gaps[60:] - mean) / spread), abs=1e-5)
    assert np.array_equal(said[:, 5:], np.isnan(gaps[60:]))


# What is refused


@pytest.mark.parametrize(
    "name",
    ["OS", "OS.time", "vital_status", "days_to_death", "Death_1_StillAliveorLostToFU_0", "Censored_0_progressed_1",
     "TTP", "1_mRECIST_FU", "2_EASL_BL", "Interval_BL", "new_tumor_event_after_initial_treatment", "hcc", "time_months",
     "albumin_result_lower_limit", "bilirubin_upper_limit", "1_survives_0_dies", "DFS_STATUS", "days_to_last_followup"],
)  # fmt: skip
def test_columns_that_know_the_outcome_are_no_predictors(name):
    with pytest.raises(ValueError, match="clinical: ") as told:
        LiverCohortDataModule("x", **{**OPTIONS, "clinical": {**CLINICAL, name: [0, 1]}})
    assert name in str(told.value)
    assert "age_years" not in str(told.value)


def test_measurements_are_predictors():
    check_predictors(["AFP", "fetoprotein_outcome_value", "Ascites degree", "albumin_result_specified_value", "BCLC",
                      "Number of Nodules", "diagnosis_age", "Major dimension of nodule (cm)", "Cirrhosis"])  # fmt: skip


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        ("age_years", "610", "age_years is 610, outside 18 to 100; correct the unit"),
        ("age_years", "old", "age_years is 'old', which is not a number"),
        ("sex", "x", "sex is 'x'; expected one of F, M"),
        ("hcc", "2", "hcc is '2'; expected 0, 1, benign, hcc"),
        ("time_months", "-3", "time_months is -3, outside 0 to 1200; correct the unit"),
        ("event", "dead", "event is 'dead'; expected 0 or 1"),
        ("id", "../other", "is no name of a folder"),
        ("id", "liver_0002", "occurs twice, in lines 2 and 3"),
        ("id", "Liver_1", "none of 'liver_0001' but one of 'Liver_1'"),
        ("time_months", "36500", "outside 0 to 1200; correct the unit"),
        ("age_years", "#VALUE!", "age_years is '#VALUE!', an error of Excel"),
    ],
)
def test_a_wrong_cell_is_named(copy, column, text, message):
    edit(copy, lambda number, row: row.update({column: text}) if number == 0 else None)
    with pytest.raises(ValueError, match=message):
        ready(copy)


def test_files_that_are_not_what_they_should_be_are_named(copy):
    (copy / "genomics.tsv").write_text("gene\tliver_0001\nA\t-1\n")
    with pytest.raises(ValueError, match=r"expected FPKM or TPM"):
        ready(copy)
    (copy / "genomics.tsv").write_text("gene\tliver_1\nA\t1\n")
    with pytest.raises(ValueError, match="none of 'liver_1' but one of 'liver_0001'"):
        ready(copy)
    (copy / "genomics.tsv").write_text("gene\tliver_0001\nA\t1\t2\n")
    with pytest.raises(ValueError, match="line 2: 3 cells under 2 names"):
        ready(copy)
    with pytest.raises(ValueError, match="use="):
        ready(copy, use=["xray"])
    (copy / "patients.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no .*patients\.csv"):
        ready(copy)


# Real files
