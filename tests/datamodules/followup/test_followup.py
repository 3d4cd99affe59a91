import csv
import shutil

import nibabel as nib
import numpy as np
import pytest
import torch

from medzoo.datamodules import FollowupDataModule
from medzoo.datamodules.followup.batches import PairBatches, Region, SliceBatches, patient_batch
from medzoo.datamodules.followup.clinical import CLINICAL, read_clinical, scale_clinical
from medzoo.datamodules.followup.cohort import read_patient
from medzoo.datamodules.followup.files import fitted, put_back, read_scan
from medzoo.datamodules.phantoms.head import write_head_cohort

HOSPITALS = {"Aare": 4, "Emme": 2, "Kander": 2}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort") / "root"
    write_head_cohort(root, patients=HOSPITALS, image_size=48, spacing_mm=4.0, slices=12, seed=1)
    rows = list(csv.DictReader((root / "clinical.csv").open()))
    first = [row for row in rows if row["Hospital"] == "Aare"]
    first[0]["Expansion_classic"], first[1]["Expansion_classic"] = "1", "0"  # both kinds, whatever was drawn
    write_table(root, rows)
    return root


@pytest.fixture
def copied(cohort, tmp_path):
    return shutil.copytree(cohort, tmp_path / "root")


def write_table(root, rows):
    with (root / "clinical.csv").open("w", newline="") as opened:
        writer = csv.DictWriter(opened, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def table(root):
    return list(csv.DictReader((root / "clinical.csv").open()))


def datamodule(root, tmp_path, **options):
    options = {"val_hospitals": ["Emme"], "test_hospitals": ["Kander"], "image_size": 48, "batch_size": 4, **options}
    data = FollowupDataModule(root, **options)
    data.store_dir = tmp_path / "store"
    return data


def folder_of(root, index=0):
    return sorted(path.parent for path in root.glob("*/*/baseline"))[index]


def test_splits_are_by_hospital(cohort, tmp_path):
    data = datamodule(cohort, tmp_path)
    data.setup()
    assert {name: len(ids) for name, ids in data.split.items()} == {"train": 4, "val": 2, "test": 2}
    assert {patient.hospital for patient in data._items["test"]} == {"Kander"}


def test_a_stack_is_fitted_and_put_back():
    stack = np.random.default_rng(0).normal(size=(7, 12, 10))
    for size in (8, 16):
        array = fitted(stack, size)
        assert array.shape == (7, size, size)
        if size == 16:
            assert array.sum() == pytest.approx(stack.sum()), "padding loses nothing"
        assert np.array_equal(put_back(array, stack), stack), "what was cropped is taken from the background"


def test_context_is_counted_in_millimetres():
    assert Region(5.0, 0).context(10, 30, 5.0) == [9, 10, 11]
    assert Region(5.0, 0).context(10, 30, 1.25) == [6, 10, 14]
    assert Region(5.0, 0).context(10, 30, 8.0) == [9, 10, 11], "at least one slice apart"
    assert Region(5.0, 0).context(0, 30, 2.5) == [0, 0, 2], "clamped at the ends"


def test_the_forecast_region_is_the_bleed_and_a_margin():
    bleeds = np.zeros(12, bool)
    bleeds[5:7] = True
    assert np.flatnonzero(Region(5, 10.0).slices(bleeds, 5.0)).tolist() == [3, 4, 5, 6, 7, 8]
    assert np.flatnonzero(Region(5, 0.0).slices(bleeds, 5.0)).tolist() == [5, 6]
    assert np.flatnonzero(Region(5, 10.0).slices(bleeds, 4.0)).tolist() == [3, 4, 5, 6, 7, 8]
    assert np.flatnonzero(Region(5, 10.0, True).slices(bleeds, 4.0)).tolist() == [*range(2, 10)]
    assert np.flatnonzero(Region(5, 10.0, True).slices(bleeds, 5.0)).tolist() == [3, 4, 5, 6, 7, 8]


def test_windows_and_masks_survive_the_store(cohort, tmp_path):
    data = datamodule(cohort, tmp_path)
    data.setup()
    again = datamodule(cohort, tmp_path)
    again.setup()
    patient, same = data._items["train"][0], again._items["train"][0]
    assert patient.baseline.file == same.baseline.file
    scan = read_scan(patient.folder / "baseline", 48, need_iph=True)
    assert np.abs(patient.baseline[:, 0] / 2.55 - scan.ct.clip(0, 100)).max() < 0.21
    assert np.array_equal(patient.baseline[:, 1] > 0, scan.iph)


def test_pairs_are_balanced_and_mirrored_together(cohort, tmp_path):
    data = datamodule(cohort, tmp_path)
    data.setup()
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (4, 9, 48, 48)
    assert batch["followup"].shape == (4, 3, 48, 48)
    assert batch["label"].sum() == 2
    plain = PairBatches(data._items["train"], Region(5, 10), batch_size=4)
    mirrored = PairBatches(data._items["train"], Region(5, 10), batch_size=4)
    before, after = plain._pair(data._items["train"][0], 4, False)
    before_m, after_m = mirrored._pair(data._items["train"][0], 4, True)
    assert np.array_equal(before_m, before[..., ::-1])
    assert np.array_equal(after_m, after[..., ::-1])


def test_training_pairs_are_of_the_region_or_of_all_slices(cohort, tmp_path):
    pairs = {}
    for train_on in ("region", "all"):
        data = datamodule(cohort, tmp_path, train_on=train_on)
        data.setup()
        pairs[train_on] = [len(loader._items) for loader in (data.train_dataloader(), data.val_dataloader())]
    assert pairs["all"][0] == sum(len(patient.baseline) for patient in data._items["train"]) > pairs["region"][0]
    assert pairs["all"][1] == pairs["region"][1], "validation stays as it is"


def test_the_margin_of_whole_slices_reaches_training_and_test(cohort, tmp_path):
    slices = {}
    for whole in (False, True):
        data = datamodule(cohort, tmp_path, margin_mm=1.0, whole_slices=whole)
        data.setup()
        slices[whole] = len(data.train_dataloader()._items), len(next(iter(data.test_dataloader()))["slices"])
    assert slices[True][0] > slices[False][0]
    assert slices[True][1] == slices[False][1] + 2


def test_latents_stand_in_for_images(cohort, tmp_path):
    data = datamodule(cohort, tmp_path)
    data.setup()
    calls = []

    def encode(image):
        calls.append(len(image))
        return image[:, :1, ::4, ::4]

    data.cache_latents(encode, "a")
    with_latents = next(iter(data.train_dataloader()))
    data._latents = None
    with_images = next(iter(data.train_dataloader()))
    assert with_latents["id"] == with_images["id"]
    centre = with_images["image"].unflatten(1, (3, 3))[:, :, 0, ::4, ::4]
    flipped = with_images["image"].unflatten(1, (3, 3))[:, :, 0].flip(-1)[..., ::4, ::4].flip(-1)
    near = [torch.allclose(a, b, atol=1e-3) or torch.allclose(a, c, atol=1e-3)
            for a, b, c in zip(with_latents["latent"], centre, flipped, strict=True)]  # fmt: skip
    assert sum(near) >= 1
    for batch in (with_images, with_latents):
        assert torch.equal(batch["iph"], with_images["image"].unflatten(1, (3, 3))[:, 1, 1] > 0.5), "mirrored alike"
    again = datamodule(cohort, tmp_path)
    again.setup()
    before = len(calls)
    again.cache_latents(encode, "a")
    assert len(calls) == before, "the same encoder's latents are read from disk"
    again.cache_latents(encode, "b")
    assert len(calls) > before


def test_slices_of_a_batch_are_balanced_by_kind_of_bleed(cohort, tmp_path):
    data = datamodule(cohort, tmp_path, batches="slices", batch_size=6)
    data.setup()
    with_ivh = any(patient.baseline[:, 2].any() or patient.followup[:, 2].any() for patient in data._items["train"])
    for batch in data.train_dataloader():
        ivh = batch["image"][:, 2].flatten(1).any(1)
        iph = batch["image"][:, 1].flatten(1).any(1)
        assert ivh.sum() == (2 if with_ivh else 0)
        assert (iph & ~ivh).sum() == (2 if with_ivh else 3)
    every = [name for batch in SliceBatches(data._items["val"], batch_size=5) for name in batch["id"]]
    brains = sum((p.baseline[:, 0].any((1, 2)).sum() + p.followup[:, 0].any((1, 2)).sum()) for p in data._items["val"])
    assert len(every) == brains


def test_two_ranks_share_what_one_process_has(cohort, tmp_path):
    data = datamodule(cohort, tmp_path)
    data.setup()
    options = {"region": Region(5, 10), "shuffle": True}
    patients = data._items["train"]
    whole = [batch["label"] for batch in PairBatches(patients, batch_size=4, **options)]
    parts = [[b["label"] for b in PairBatches(patients, batch_size=2, rank=r, world_size=2, **options)] for r in (0, 1)]
    for one, left, right in zip(whole, *parts, strict=True):
        assert sorted(one.tolist()) == sorted([*left.tolist(), *right.tolist()])


def test_a_patient_batch_is_whole(cohort, tmp_path):
    data = datamodule(cohort, tmp_path)
    data.setup()
    patient = data._items["test"][0]
    batch = patient_batch(patient, Region(5.0, 10.0))
    assert batch["image"].shape == (*patient.baseline.shape,)
    assert batch["context"].shape == (len(batch["slices"]), 3)
    assert torch.equal(batch["context"][:, 1], batch["slices"])
    assert batch["spacing"].tolist() == pytest.approx(patient.grid.spacing[::-1])


def test_missing_values_stay_unknown(copied):
    rows = table(copied)
    rows[0]["GCS"], rows[1]["Age"] = "", "NA"
    write_table(copied, rows)
    read = read_clinical(copied / "clinical.csv")
    scaled = scale_clinical(read[rows[0]["Patient_ID"]].values)
    assert np.isnan(scaled[list(CLINICAL).index("GCS")])
    assert np.isfinite(scaled).sum() == 6


def test_decimal_commas_of_a_german_excel_are_read(copied):
    rows, plain = table(copied), read_clinical(copied / "clinical.csv")
    lines = [";".join(rows[0]), *(";".join(row.values()).replace(".", ",") for row in rows)]
    (copied / "clinical.csv").write_bytes("\r\n".join([*lines, ";;"]).encode("utf-16"))
    read = read_clinical(copied / "clinical.csv")
    assert [*read] == [*plain]
    for name, row in read.items():
        assert np.array_equal(row.values, plain[name].values, equal_nan=True)
        assert row.expansion == plain[name].expansion
        assert float(row.columns["IPH_baseline_ml"]) == float(plain[name].columns["IPH_baseline_ml"])


def test_prediction_finds_its_rows_or_says_whose_it_does_not(copied, tmp_path, caplog):
    rows, folder = table(copied), folder_of(copied)
    (copied / "clinical.csv").rename(copied / "clinical.tsv")
    data = datamodule(copied, tmp_path)
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    (copied / "clinical.tsv").write_text("\n".join(lines))
    data.set_predict_input(folder)
    assert np.isfinite(data._predict[0].clinical).all()
    assert "unknown of" not in caplog.text
    rest = [line for line in lines if not line.startswith(f"{folder.name}\t")]
    (copied / "clinical.tsv").write_text("\n".join(rest))
    data.set_predict_input(folder)
    assert f"all clinical variables but the volume are unknown of 1 patients: {folder.name}" in caplog.text
    (copied / "clinical.tsv").write_text("\n".join(lines).replace(f"{folder.name}\t", f"{folder.name} \t".lower()))
    with pytest.raises(ValueError, match=f"none of '{folder.name}' but one of '{folder.name.lower()}'"):
        data.set_predict_input(folder)


def test_the_slice_tree_of_the_original_is_read(cohort, tmp_path):
    source = folder_of(cohort)
    root = tmp_path / "tree"
    for kind in ("ct", "iph", "ivh"):
        image = nib.load(source / "baseline" / f"{kind}.nii.gz")
        target = root / "slices" / "H1" / "H1_7" / "baseline" / kind
        target.mkdir(parents=True)
        for z in range(image.shape[2]):
            part = nib.Nifti1Image(np.asarray(image.dataobj)[:, :, z : z + 1], image.affine)
            nib.save(part, target / f"slice_{z:03d}.nii.gz")
    thickness = float(nib.load(source / "baseline" / "ct.nii.gz").header.get_zooms()[2])
    (root / "slice_thickness.csv").write_text(f"Patient_ID,slice_thickness\n7,{thickness}\n")
    tree = read_patient(root / "slices" / "H1" / "H1_7", "7", None, 48)
    (root / "slice_thickness.csv").write_text("Patient_ID,slice_thickness\nH1_007,5\n")
    with pytest.raises(ValueError, match="none of 'H1_7' but one of 'H1_007'"):
        read_patient(root / "slices" / "H1" / "H1_7", "7", None, 48)
    (root / "slice_thickness.csv").write_text("Patient_ID,slice_thickness\n7,500\n")
    with pytest.raises(ValueError, match="slice_thickness is 500, outside"):
        read_patient(root / "slices" / "H1" / "H1_7", "7", None, 48)
    layout = read_patient(source, "x", None, 48)
    assert np.array_equal(tree.baseline, layout.baseline)
    assert tree.grid.spacing == pytest.approx(layout.grid.spacing)


def save(folder, kind, change):
    file = folder / f"{kind}.nii.gz"
    image = nib.load(file)
    data, affine = change(np.asarray(image.dataobj).copy(), image.affine.copy())
    nib.save(nib.Nifti1Image(data, affine), file)


def shifted(data, affine):
    affine[0, 3] += 3
    return data, affine


def empty(data, affine):
    return np.zeros_like(data), affine


def labels(data, affine):
    return data * 3, affine


def not_finite(data, affine):
    data = data.astype(np.float32)
    data[3, 3, 3] = np.nan
    return data, affine


def not_hu(data, affine):
    return (data / 100).clip(0, 1).astype(np.float32), affine


@pytest.mark.parametrize(
    ("time", "kind", "change", "said"),
    [
        ("baseline", "iph", shifted, "lies on another grid than ct"),
        ("baseline", "iph", empty, "empty"),
        ("followup", "ivh", labels, "label 3; expected 0, 1"),
        ("followup", "ct", not_finite, "NaN"),
        ("baseline", "ct", not_hu, "expected HU"),
    ],
)
def test_a_bad_image_is_named(copied, time, kind, change, said):
    folder = folder_of(copied)
    if change is labels:
        save(folder / time, kind, lambda data, affine: (np.ones_like(data), affine))
    save(folder / time, kind, change)
    with pytest.raises(ValueError, match=said) as told:
        read_patient(folder, "x", None, 48)
    assert f"{time}/{kind}" in str(told.value)


def test_a_followup_on_another_grid_is_an_error(copied):
    folder = folder_of(copied)
    for kind in ("ct", "iph", "ivh"):
        save(folder / "followup", kind, shifted)
    with pytest.raises(ValueError, match="not on the grid of the baseline"):
        read_patient(folder, "x", None, 48)


def test_a_crop_that_cuts_the_bleed_is_an_error(copied):
    folder = folder_of(copied)
    save(folder / "baseline", "iph", lambda data, affine: (np.ones_like(data), affine))
    with pytest.raises(ValueError, match="cuts the bleed"):
        read_patient(folder, "x", None, 32)


def test_a_patient_without_followup_is_left_out_and_told(copied, tmp_path, caplog):
    gone = folder_of(copied, 2)
    shutil.rmtree(gone / "followup")
    data = datamodule(copied, tmp_path)
    data.setup()
    assert gone.name in caplog.text
    assert gone.name not in data.split["train"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: {**row, "GCS": "2"}, r"line 2 \(Patient_ID .*\): GCS is 2, outside 3 to 15"),
        (lambda row: {**row, "Age": "old"}, "not a number"),
        (lambda row: {**row, "Anticoagulant": "0.5"}, "Anticoagulant is '0.5'; expected 0 or 1"),
        (lambda row: {**row, "Expansion_classic": "0.5"}, "Expansion_classic is '0.5'; expected 0 or 1"),
        (lambda row: {name: value for name, value in row.items() if name != "Systolic"}, "no column Systolic; it has"),
        (lambda row: {**row, "Patient_ID": row["Patient_ID"].lower()}, "rows of almost the same ids: none of 'A"),
    ],
)
def test_a_bad_table_is_named(copied, tmp_path, change, said):
    write_table(copied, [change(row) for row in table(copied)])
    with pytest.raises(ValueError, match=said):
        datamodule(copied, tmp_path).setup()


def test_a_misspelt_hospital_is_told(cohort, tmp_path):
    with pytest.raises(ValueError, match="no hospital Kandr; it has Aare, Emme, Kander"):
        datamodule(cohort, tmp_path, test_hospitals=["Kandr"]).setup()
    with pytest.raises(ValueError, match="in both val_hospitals and test_hospitals"):
        datamodule(cohort, tmp_path, test_hospitals=["Emme"])


def test_a_single_patient_is_read_for_prediction(cohort, tmp_path):
    data = datamodule(cohort, tmp_path)
    data.set_predict_input(folder_of(cohort))
    (batch,) = list(data.predict_dataloader())
    assert np.isfinite(batch["clinical"]).all(), "the table is found two folders above"
    alone = shutil.copytree(folder_of(cohort), tmp_path / "alone")
    data.set_predict_input(alone)
    (batch,) = list(data.predict_dataloader())
    assert np.isnan(batch["clinical"]).sum() == 6, "without a table all but the measured volume is unknown"
