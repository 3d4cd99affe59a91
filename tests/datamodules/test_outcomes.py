"""Columns that know the outcome: by name, in the spellings of the tables that are about, and by what they say."""

import numpy as np
import pytest

from medzoo.datamodules import LiverCohortDataModule
from medzoo.datamodules.outcomes import check_predictors, check_telling, is_leak, telling
from tests.datamodules.fetal_heart import test_fetal_heart as hearts
from tests.datamodules.liver.test_cohort import CLINICAL, OPTIONS, LiverPhantom, edit, ready

KNOW = [
    *("Disease Free (Months)", "Disease Free Status", "DFS_STATUS", "DFS_MONTHS", "diseaseFreeMonths", "dfs_event"),
    *("New Neoplasm Event Post Initial Therapy Indicator", "New Tumor Event", "new_tumor_events", "NewTumorEvent"),
    *("Last Communication Contact from Initial Pathologic Diagnosis Date", "Days to Last Contact", "last known alive"),
    *("mortality", "30-day mortality", "In_hospital_mortality", "cause of death", "DeathDate", "patient_died", "Dead"),
    *("Overall Survival (Months)", "Overall Survival Status", "overallSurvivalDays", "OS", "OS.time", "os_days"),
    *("Progression Free Status", "Progress Free Survival (Months)", "PFI.1", "PFS", "TTP", "EFS", "RFS (months)"),
    *("Months of disease-specific survival", "Disease-specific Survival status", "DSS.time", "Event", "time to event"),
    *("dfsmonths", "OSstatus"),
    *("Patient's Vital Status", "Living status", "isAlive", "Deceased?", "Survived", "timeToEvent", "censored"),
    *("Person Neoplasm Cancer Status", "Tumor Status", "Relapse Free Status (Months)", "Relapsed", "recurrence"),
    *("Metastasis free interval", "Best overall response", "mRECIST", "Primary Therapy Outcome Success Type"),
    *("Follow up (months)", "FollowUpDays", "days_to_last_followup", "lost to follow-up", "necrosis_after_tace"),
    *("post-treatment AFP", "AFP after therapy", "POSTOPERATIVE_RX_TX", "remission", "hospital outcome", "readmission"),
]
HARMLESS = [
    *("Age", "Diagnosis Age", "sex", "AFP", "fetoprotein_outcome_value", "Ascites degree", "Cirrhosis", "Free T4"),
    *("Performance status", "ECOG", "Smoking status", "ER Status By IHC", "progesterone receptor status", "osmolality"),
    *("Family history of cancer", "Prior cancer diagnosis", "Neoplasm histologic grade", "Postmenopausal", "Fever"),
    *("time_from_onset_to_CT", "Onset to CT (hours)", "Days of symptoms", "year_of_diagnosis", "Living alone"),
    *("LV_diameter", "LA_RA_area_ratio", "gestational age", "Oxygen Saturation", "Operation type", "BCLC", "MELD"),
]


@pytest.mark.parametrize("name", KNOW)
def test_outcomes_are_known_by_name(name):
    assert is_leak(name)
    for spelt in (name.upper(), name.lower(), name.replace(" ", "_"), name.replace(" ", "-"), f" {name} "):
        assert is_leak(spelt), spelt


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_known_beforehand_is_not_refused(name):
    assert not is_leak(name)


def test_the_outcome_itself_is_refused_however_it_is_spelt():
    for spelt in ("hcc", "HCC", " Time-Months", "time months"):
        with pytest.raises(ValueError, match=r"clinical: .* tell the outcome"):
            check_predictors([spelt, "age"], ("hcc", "time_months"))
    check_predictors(["Recurrent infections"], known=["Recurrent infections"])
    with pytest.raises(ValueError, match="hcc tell"):
        check_predictors(["hcc"], ("hcc",), known=["hcc"])


def data(seed=0, count=60):
    rng = np.random.default_rng(seed)
    label, months = (np.arange(count) % 3 == 0).astype(int), rng.uniform(1, 80, count)
    return rng.normal(size=(count, 4)), label, months


def test_a_column_that_is_the_outcome_under_another_name_is_refused():
    values, label, months = data()
    names = ["age", "grade", "size", "marker"]
    assert telling(values, names, label) == {}
    check_telling(values, names, label, months)
    values[:, 1], values[:, 3] = -label + np.random.default_rng(1).normal(0, 0.01, 60), np.where(label == 1, 3, np.nan)
    values[:, 2] = months * 30.4 + 7
    with pytest.raises(
        ValueError, match=r"grade: its values .* 1\.000\); marker: being missing .*; size: it orders"
    ) as told:
        check_telling(values, names, label, months)
    assert "age" not in str(told.value)
    assert "datamodule.known_before" in str(told.value)
    check_telling(values, names, label, months, known=["grade", "size", "marker"])


def test_few_patients_tell_nothing():
    values, label, months = data(count=18)
    values[:, 0] = label
    check_telling(values, list("abcd"), label, months)
    values, label, months = data(count=40)
    label[:] = np.arange(40) < 3
    values[:, 0] = label
    check_telling(values, list("abcd"), label, months)


def test_a_liver_cohort_is_guarded_and_lets_the_user_say_otherwise(tmp_path):
    LiverPhantom(patients=60, size=(8, 12, 12), tiles=1, tile_size=16).write(tmp_path / "cohort")
    edit(tmp_path / "cohort", lambda _, row: row.update(viral_hepatitis=row["hcc"]))
    options = {"use": ["clinical"], "spatial_size": (8, 12, 12)}
    with pytest.raises(ValueError, match="clinical: viral_hepatitis: its values tell the class"):
        ready(tmp_path / "cohort", **options)
    ready(tmp_path / "cohort", **options, known_before=["viral_hepatitis"])
    named = {**OPTIONS, "clinical": {**CLINICAL, "recurrent_cholangitis": [0, 1]}}
    with pytest.raises(ValueError, match="recurrent_cholangitis tell the outcome"):
        LiverCohortDataModule("x", **named)
    LiverCohortDataModule("x", **named, known_before=["recurrent_cholangitis"])


def test_predictors_of_a_nomogram_are_guarded_by_name_and_told_by_value(tmp_path, caplog):
    for name in ("neonatal_mortality", "Outcome", "label"):
        with pytest.raises(ValueError, match=f"predictors and candidates: {name} tell the outcome"):
            hearts.module(tmp_path, candidates=[name])
    hearts.module(tmp_path, candidates=["Outcome"], known_before=["Outcome"])
    hearts.PHANTOM.write(tmp_path / "hearts")
    hearts.rewrite(
        tmp_path / "hearts" / "cases.csv",
        lambda rows: [{**row, "sign": float(row["label"]) + 0.01 * number} for number, row in enumerate(rows)],
    )
    hearts.ready(tmp_path / "hearts", predictors=["sign"], smaller_in_positive=None)
    assert "sign: its values tell the class" in caplog.text
