"""From a cohort's scans to slices: what is trained on, what is outlined by whom, what is cut and what is left out."""

import csv
import logging

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from medzoo.datamodules import CutSlicesDataModule, HeadPhantom, HematomaScansDataModule
from medzoo.datamodules.hematoma.cohort import Cohort
from medzoo.evaluation.measures.expansion import ExpansionRule

SPLIT = {"val_hospitals": ["B"], "test_hospitals": ["C"]}
PLAN = {
    "spacing": [5, 1, 1], "patch": [4, 16, 16], "batch_size": 2, "features": [4, 4],
    "strides": [[1, 1, 1], [2, 2, 2]], "kernels": [[3, 3, 3]] * 2,
}  # fmt: skip
AFFINE = np.diag([1.0, 1.0, 5.0, 1.0])


def scan(folder, voxels, mask=True, ivh=0):
    """A CT of 32 x 32 x 6 mm3 x 5 with a bleed of some voxels (5 mm3 each), drawn or not."""
    folder.mkdir(parents=True)
    bleed = np.zeros((32, 32, 6), np.uint8)
    for number in range(voxels):
        layer, place = divmod(number, 400)
        bleed[4 + place // 20, 4 + place % 20, (3, 2, 4, 1)[layer]] = 1
    ct = np.where(bleed, 60, 30).astype(np.int16)
    ct[4:8, 4:24][bleed[4:8, 4:24] > 0] = 80  # brighter at low y and x, so directions can be told
    nib.save(nib.Nifti1Image(ct, AFFINE), folder / "ct.nii.gz")
    if mask:
        nib.save(nib.Nifti1Image(bleed, AFFINE), folder / "iph.nii.gz")
        inside = np.zeros_like(bleed)
        inside[30, :ivh, 0] = 1
        nib.save(nib.Nifti1Image(inside, AFFINE), folder / "ivh.nii.gz")
    return bleed


def cohort(root, patients=4):
    """Half of the patients grow from 400 voxels (2 mL) to 800, the others do not."""
    for hospital in "ABC":
        for number in range(patients):
            folder = root / hospital / f"{hospital}{number}"
            scan(folder / "baseline", 400)
            scan(folder / "followup", 400 * (1 + number % 2))
    return root


def cut(tmp_path, **options):
    options = {"cohort": tmp_path / "cohort", "cut_size": 16, "image_size": 16, **SPLIT, **options}
    return CutSlicesDataModule(tmp_path / "out", **options)


def scans(tmp_path, **options):
    return HematomaScansDataModule(tmp_path / "cohort", folds=2, plan=PLAN, **{**SPLIT, **options})


def skipped(data):
    with (data.root / "skipped.csv").open() as opened:
        return list(csv.DictReader(opened))


def test_folds_are_of_training_hospitals_and_all_others_are_held_out(tmp_path):
    cohort(tmp_path / "cohort")
    (tmp_path / "cohort" / "A" / "A3" / "baseline" / "iph.nii.gz").unlink()
    held_out = {}
    for fold in (0, 1):
        data = scans(tmp_path, fold=fold)
        data.setup()
        split = {name: {case.split("_")[0] for case in cases} for name, cases in data.split.items()}
        assert split["test"] == {f"C{n}" for n in range(4)}
        assert not split["train"] & split["val"]
        assert split["train"] | split["val"] == {f"A{n}" for n in range(4)}
        names = {case.id for case in data.held_out_cases}
        held_out[fold] = {batch["id"][0] for batch in data.held_out_dataloader(names)}
        assert not held_out[fold] & {case for case in data.split["train"] if case.endswith("baseline")}
    assert held_out[0] & held_out[1] == {f"{h}{n}_baseline" for h in "BC" for n in range(4)}, "A3 was seen at follow-up"
    assert held_out[0] | held_out[1] == {f"{h}{n}_baseline" for h in "ABC" for n in range(4)}, (
        "no follow-ups with masks"
    )


def test_slices_are_cut_by_hospital_and_labelled_by_the_rule(tmp_path):
    cohort(tmp_path / "cohort")
    data = cut(tmp_path)
    data.prepare_data()
    data.setup()
    assert {s: {name[0] for name in ids} for s, ids in data.split.items()} == {
        "train": {"A"},
        "val": {"B"},
        "test": {"C"},
    }
    assert {file.stem for file in (data.root / "test" / "HE").iterdir()} == {
        f"C{number}_{name}" for number in (1, 3) for name in ("up", "max", "low")
    }
    picture = np.asarray(Image.open(data.root / "train" / "NHE" / "A0_max.png"))
    bright = np.argwhere(picture > 200)
    assert bright.mean(0)[1] > 8, "low x is the patient's left, which lies on the right"
    assert csv.DictReader((data.root / "skipped.csv").open()).fieldnames == ["patient", "split", "label", "why"]
    assert data.without_image == {}

    before = data.root.stat().st_ino
    cut(tmp_path).prepare_data()
    assert data.root.stat().st_ino == before, "cut once"
    scan(tmp_path / "cohort" / "A" / "A7" / "baseline", 400)
    scan(tmp_path / "cohort" / "A" / "A7" / "followup", 400)
    cut(tmp_path).prepare_data()
    assert list(data.root.rglob("A7_max.png")), "cut again where there is more"
    assert cut(tmp_path, margin_mm=2.0).root != data.root


def test_slices_are_cut_of_scans_in_capitals(tmp_path):
    cohort(tmp_path / "cohort")
    for file in [*(tmp_path / "cohort").rglob("ct.nii.gz")]:
        file.rename(file.with_name("CT.NII.GZ"))
    data = cut(tmp_path)
    data.prepare_data()
    data.setup()
    assert sum(map(len, data.split.values())) == 3 * 3 * 4


def test_another_rule_gives_other_labels(tmp_path):
    cohort(tmp_path / "cohort")
    labels = {
        rel: Cohort(tmp_path / "cohort", **SPLIT).known_labels(ExpansionRule(abs_ml=None, rel=rel)) for rel in (1, 1.1)
    }
    assert labels[1]["A1"]
    assert not labels[1.1]["A1"], "2 mL grow by 100%"
    with pytest.raises(ValueError, match="0 patients of class HE in train"):
        cut(tmp_path, expansion=ExpansionRule(abs_ml=3.0, rel=None)).prepare_data()
    folder = tmp_path / "cohort" / "A" / "A9"
    scan(folder / "baseline", 400, ivh=0)
    scan(folder / "followup", 400, ivh=20)
    rule = {inside: ExpansionRule(abs_ml=0.1, rel=None, include_ivh=inside) for inside in (False, True)}
    found = {inside: Cohort(tmp_path / "cohort", **SPLIT).known_labels(one)["A9"] for inside, one in rule.items()}
    assert found == {False: False, True: True}


def write_masks(tmp_path, fold, masks):
    folder = tmp_path / "run" / f"fold_{fold}" / "held_out"
    folder.mkdir(parents=True, exist_ok=True)
    for name, levels in masks.items():
        nib.save(nib.Nifti1Image(levels.astype(np.uint8), AFFINE), folder / f"{name}.nii.gz")


def test_masks_of_networks_are_waited_for_averaged_and_cut_by(tmp_path, caplog):
    cohort(tmp_path / "cohort")
    data = cut(tmp_path, masks=str(tmp_path / "run" / "fold_*" / "held_out"))
    data.prepare_data()
    assert "holds no mask of A0_baseline, A1_baseline, A2_baseline, A3_baseline, B0_baseline, ...: " in data.waiting
    with pytest.raises(FileNotFoundError):
        data.setup()

    low, high = np.zeros((32, 32, 6)), np.zeros((32, 32, 6))
    low[10:20, 10:20, 3], high[10:20, 10:20, 3] = 100, 160  # a mean of 130 of 255
    low[20:25, 10:20, 3] = 200  # of 100: not enough
    names = [f"{h}{n}_baseline" for h in "ABC" for n in range(4)]
    write_masks(tmp_path, 0, dict.fromkeys(names, low))
    write_masks(tmp_path, 1, {**dict.fromkeys(names, high), "B0_baseline": np.zeros((32, 32, 6))})
    write_masks(tmp_path, 0, {"B0_baseline": np.zeros((32, 32, 6)), "C0_baseline": low})
    said = data._mask(data.cohort.patients()[0], "baseline")
    mask = said.array
    assert said.spacing == (5, 1, 1)
    assert np.argwhere(mask).min(0).tolist() == [3, 10, 10]
    assert np.argwhere(mask).max(0).tolist() == [3, 19, 19]
    assert mask.sum() == 100

    scan(tmp_path / "cohort" / "B" / "B4" / "baseline", 400)
    scan(tmp_path / "cohort" / "B" / "B4" / "followup", 400)
    write_masks(tmp_path, 0, {"B4_baseline": high})
    assert not data.waiting
    with caplog.at_level(logging.WARNING):
        data.prepare_data()
    assert "1 patients have no slices" in caplog.text
    told = {"patient": "B0", "split": "val", "label": "NHE", "why": "the mask is empty"}
    assert skipped(data) == [told]
    assert not list(data.root.rglob("B0_*"))
    assert data.without_image == {}, "it is not of the test"
    data.setup()


def test_test_patients_without_a_bleed_are_known_by_their_label(tmp_path):
    def missed(*names):
        return dict.fromkeys((f"{name}_baseline" for name in names), np.zeros((32, 32, 6)))

    cohort(tmp_path / "cohort", patients=6)
    whole = np.zeros((32, 32, 6))
    whole[4:24, 4:24, 3] = 255
    masks = dict.fromkeys([f"{h}{n}_baseline" for h in "ABC" for n in range(6)], whole)
    write_masks(tmp_path, 0, masks | missed("A0", "B0", "C0", "C5"))
    given = {"masks": str(tmp_path / "run" / "fold_?" / "held_out")}
    data = cut(tmp_path, **given)
    data.prepare_data()
    data.setup()
    assert data.without_image == {"C0": 0, "C5": 1}
    again = cut(tmp_path, **given)
    again.evaluate_as(data.seen)
    again.prepare_data()
    again.setup()
    assert again.without_image == {"C0": 0, "C5": 1}, "as in the training, not those that it was trained on"


def test_of_a_patient_who_is_drawn_once_the_other_volume_is_predicted(tmp_path):
    cohort(tmp_path / "cohort", patients=6)
    (tmp_path / "cohort" / "A" / "A0" / "followup" / "iph.nii.gz").unlink()
    data = cut(tmp_path, masks=str(tmp_path / "run" / "fold_?" / "held_out"))
    levels = np.zeros((32, 32, 6))
    levels[:10, :10, 2] = 255  # 0.5 mL, where 2 were drawn
    write_masks(tmp_path, 0, {f"{h}{n}_baseline": levels for h in "ABC" for n in range(6)} | {"A0_followup": levels})
    data.prepare_data()
    assert list((data.root / "train" / "NHE").glob("A0_*")), "2 mL became 0.5, not 0.5 stayed 0.5"
    levels[:, :, 2:5] = 255
    write_masks(tmp_path, 0, {"A0_followup": levels})
    data.prepare_data()
    assert list((data.root / "train" / "HE").glob("A0_*"))


def test_volumes_of_predicted_masks_label_those_whom_nobody_has_drawn(tmp_path):
    cohort(tmp_path / "cohort", patients=6)
    for time in ("baseline", "followup"):
        for kind in ("iph", "ivh"):
            (tmp_path / "cohort" / "A" / "A0" / time / f"{kind}.nii.gz").unlink()
    data = cut(tmp_path, masks=str(tmp_path / "run" / "fold_*" / "held_out"))
    levels = np.full((32, 32, 6), 0)
    levels[:10, :10, 2] = 255
    write_masks(tmp_path, 0, {f"{h}{n}_baseline": levels for h in "ABC" for n in range(6)})
    assert "A0_followup" in data.waiting
    levels[:10, :10, 3] = 255
    write_masks(tmp_path, 0, {"A0_followup": levels})
    data.prepare_data()
    assert list((data.root / "train" / "HE").glob("A0_*")), "0.5 mL became 1"


def test_a_table_tells_of_those_without_a_follow_up(tmp_path):
    cohort(tmp_path / "cohort")
    folder = tmp_path / "cohort" / "A" / "A8"
    scan(folder / "baseline", 400)
    scan(tmp_path / "cohort" / "A" / "A9" / "baseline", 400)
    columns = "Patient_ID,time_from_onset_to_CT,IPH_baseline_ml,Anticoagulant,Antiplatelet,Age,GCS,Systolic"
    (tmp_path / "cohort" / "clinical.csv").write_text(f"{columns},Expansion_classic\nA8,1,2,0,0,60,15,140,1\n")
    data = cut(tmp_path)
    data.prepare_data()
    assert list((data.root / "train" / "HE").glob("A8_*"))
    assert skipped(data) == [{"patient": "A9", "split": "train", "label": "", "why": "no label"}]
    other = ExpansionRule(abs_ml=1.0)
    assert "A8" not in Cohort(tmp_path / "cohort", **SPLIT).known_labels(other), "the table has the classic rule"


def test_wrong_cohorts_are_told(tmp_path):
    with pytest.raises(ValueError, match="hospital C is named for validation and for the test"):
        cut(tmp_path, val_hospitals=["C"])
    with pytest.raises(FileNotFoundError, match=r"no folder .*cohort"):
        cut(tmp_path).prepare_data()
    cohort(tmp_path / "cohort", patients=2)
    with pytest.raises(ValueError, match="has no hospital D; it has A, B, C"):
        cut(tmp_path, val_hospitals=["D"]).prepare_data()
    with pytest.raises(ValueError, match="none is left to train on"):
        cut(tmp_path, val_hospitals=["A", "B"]).prepare_data()
    with pytest.raises(ValueError, match="1 patients of class NHE in train"):
        cut(tmp_path).prepare_data()
    lacking = tmp_path / "cohort" / "A" / "A5" / "baseline"
    lacking.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"A5/baseline has no ct.nii.gz"):
        cut(tmp_path).prepare_data()
    lacking.rmdir()
    lacking.parent.rmdir()
    for file in tmp_path.glob("cohort/A/*/*/iph.nii.gz"):
        file.unlink()
    with pytest.raises(ValueError, match=r"no patient of a training hospital has an iph.nii.gz"):
        scans(tmp_path).setup()


def test_the_phantom_is_a_cohort_like_any_other(tmp_path):
    phantom = HeadPhantom({"Aare": 14, "B": 20, "C": 20}, signs="mottled")
    data = cut(tmp_path, phantom=phantom, image_size=24)
    data.prepare_data()
    data.setup()
    assert data.phantom
    assert len(data.split["train"]) == 3 * 14
    assert data.cohort.root.name == phantom.name
