"""Public data sets of the liver with the traps that they hold on disk, written small."""

import csv
import gzip
import logging

import nibabel as nib
import numpy as np
import pytest

from medzoo.datamodules.preparation.liver import (
    CirrMRI600CohortPreparation,
    CirrMRI600Preparation,
    LiTS17Preparation,
    TCGALIHCPreparation,
)
from medzoo.datamodules.preparation.liver.cirrmri600 import find_cirrmri600
from medzoo.datamodules.preparation.liver.tcga_lihc import read_expression, read_patients
from medzoo.datamodules.segmentation.cases import geometry
from medzoo.datamodules.segmentation.files import read_dataset

SPACED = np.diag([0.8, 0.7, 2.5, 1.0])


def save(file, data, affine=SPACED):
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), file)


def volume(shape=(6, 5, 4), seed=0):
    return np.random.default_rng(seed).integers(-200, 300, shape).astype(np.int16)


def labels(shape=(6, 5, 4), top=2):
    mask = np.zeros(shape, np.uint8)
    mask[1:4, 1:4, 1:3] = 1
    mask[2, 2, 2] = top
    return mask


def table(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


# LiTS17


@pytest.fixture
def lits(tmp_path):
    """A nested and a flat one, one compressed, one mirrored, one without its spacing; and a test volume."""
    root = tmp_path / "lits"
    save(root / "Training Batch 1" / "volume-0.nii", volume())
    save(root / "Training Batch 1" / "segmentation-0.nii", labels())
    mirrored = SPACED @ np.diag([-1, -1, 1, 1])
    save(root / "volume-10.nii.gz", volume()[::-1, ::-1].copy(), mirrored)
    save(root / "segmentation-10.nii.gz", labels()[::-1, ::-1].copy(), mirrored)
    save(root / "deep" / "er" / "volume-28.nii", volume(), np.eye(4))
    save(root / "deep" / "er" / "segmentation-28.nii", labels(), np.eye(4))
    save(root / "test-volume-0.nii", volume())
    return root


def test_lits_is_found_wherever_mirrors_put_it(lits, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        LiTS17Preparation(str(lits), str(tmp_path / "out")).run()
    files = read_dataset(tmp_path / "out")
    assert [case.id for case in files.train] == ["lits_000", "lits_010", "lits_028"]
    assert files.classes == ("background", "liver", "tumour")
    assert "volumes 28 say 1 mm" in caplog.text
    assert geometry(files.train[2])[0] == pytest.approx((1, 1, 1))


def test_lits_volumes_all_point_one_way(lits, tmp_path):
    LiTS17Preparation(str(lits), str(tmp_path / "out")).run()
    straight, mirrored, _ = read_dataset(tmp_path / "out").train
    for one in (straight, mirrored):
        image, mask = nib.load(one.images[0]), nib.load(one.mask)
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
        assert np.array_equal(image.get_fdata(), volume())
        assert np.array_equal(mask.get_fdata(), labels())


def test_lits_spacing_can_be_put_in(lits, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        LiTS17Preparation(str(lits), str(tmp_path / "out"), {28: [0.7, 0.6, 1.5]}).run()
    assert "1 mm" not in caplog.text
    case = read_dataset(tmp_path / "out").train[2]
    assert geometry(case)[0] == pytest.approx((1.5, 0.6, 0.7))
    assert nib.load(case.mask).header.get_zooms() == pytest.approx((0.7, 0.6, 1.5))
    with pytest.raises(ValueError, match="volume 99, which is not in"):
        LiTS17Preparation(str(lits), str(tmp_path / "other"), {99: [1, 1, 1]}).run()


@pytest.mark.parametrize(
    ("file", "data", "message"),
    [
        ("segmentation-0.nii.gz", labels(), "are both segmentation 0"),
        ("volume-3.nii", volume(), "has no segmentation-3"),
        ("Training Batch 1/segmentation-0.nii", labels(top=4), "label 4; expected 0, 1, 2"),
        ("Training Batch 1/segmentation-0.nii", labels((6, 5, 5)), "its image has"),
    ],
)
def test_what_is_wrong_in_lits_is_said(lits, tmp_path, file, data, message):
    save(lits / file, data)
    with pytest.raises(ValueError, match=message):
        LiTS17Preparation(str(lits), str(tmp_path / "out")).run()
    assert not (tmp_path / "out").exists()


def test_a_set_is_never_written_over(lits, tmp_path):
    save(tmp_path / "out" / "mine.nii", volume())
    with pytest.raises(FileExistsError, match="not empty"):
        LiTS17Preparation(str(lits), str(tmp_path / "out")).run()
    with pytest.raises(FileNotFoundError, match="no volume-<number>"):
        LiTS17Preparation(str(tmp_path / "out"), str(tmp_path / "new")).run()


# CirrMRI600+


@pytest.fixture
def cirrmri(tmp_path):
    """T1 nested and T2 not; patient 7 in other splits of both; a healthy person called 7 too; a table with a mark."""
    root = tmp_path / "cirr"
    t1, t2 = root / "Cirrhosis_T1_3D" / "Cirrhosis_T1_3D", root / "Cirrhosis_T2_3D"
    places = [(t1, "train", 7), (t1, "valid", 8), (t1, "test", 9), (t2, "test", 7), (t2, "train", 9), (t2, "train", 11)]
    for top, split, name in places:
        affine = SPACED if top == t1 else np.diag([1.6, 1.4, 2.5, 1.0])
        shape = (6, 5, 4) if top == t1 else (3, 3, 4)
        save(top / f"{split}_images" / f"{name}.nii.gz", abs(volume(shape, name)), affine)
        save(top / f"{split}_masks" / f"{name}.nii.gz", labels(shape, top=1), affine)
    for weighting in ("T1", "T2"):
        folder = root / "Healthy_subjects" / f"{weighting}_W_Healthy"
        save(folder / f"{weighting}_images" / "7.nii.gz", abs(volume()))
        save(folder / f"{weighting}_masks" / "7.nii.gz", labels(top=1))
    rows = "\ufeffPatient ID,Age,Gender,Radiological Evaluation\n7,61,1,3\n8,55,2,1\n9,48,2,2\n"
    (root / "CirrMRI600+_CompleteData_age_gender_evaluation.csv").write_text(rows, encoding="utf-8")
    return root


def test_cirrmri_is_found_nested_or_not_and_ids_do_not_collide(cirrmri):
    people = {one.id: one for one in find_cirrmri600(cirrmri)}
    assert sorted(people) == ["cirrhosis_11", "cirrhosis_7", "cirrhosis_8", "cirrhosis_9", "healthy_7"]
    assert set(people["healthy_7"].scans) == {"t1", "t2"}
    assert people["cirrhosis_7"].scans["t1"][0] != people["healthy_7"].scans["t1"][0]


def test_a_patient_of_cirrmri_has_one_split_in_both_weightings(cirrmri, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        CirrMRI600Preparation(str(cirrmri), str(tmp_path / "out")).run()
    assert "2 patients have different splits" in caplog.text
    files = read_dataset(tmp_path / "out")
    assert files.channels == ("T1", "T2")
    assert [case.id for case in files.train] == ["cirrhosis_7", "healthy_7"]
    assert [case.id for case in files.test] == ["cirrhosis_9"]
    first, second = (nib.load(file) for file in files.train[0].images)
    assert first.shape == second.shape
    assert np.allclose(first.affine, second.affine)


def test_t2_lies_where_it_lay_after_resampling(cirrmri, tmp_path):
    ramp = np.broadcast_to(np.arange(3, dtype=np.float32)[:, None, None] * 1.6, (3, 3, 4)).copy()  # x in mm
    save(cirrmri / "Cirrhosis_T2_3D" / "test_images" / "7.nii.gz", ramp, np.diag([1.6, 1.4, 2.5, 1.0]))
    CirrMRI600Preparation(str(cirrmri), str(tmp_path / "out")).run()
    moved = nib.load(tmp_path / "out" / "imagesTr" / "cirrhosis_7_0001.nii.gz").get_fdata()
    assert moved[:5, 0, 0] == pytest.approx(np.arange(5) * 0.8, abs=1e-5)


def test_one_weighting_keeps_its_own_split(cirrmri, tmp_path):
    CirrMRI600Preparation(str(cirrmri), str(tmp_path / "out"), "t2").run()
    files = read_dataset(tmp_path / "out")
    assert [case.id for case in files.test] == ["cirrhosis_7"]
    assert [case.id for case in files.train] == ["cirrhosis_11", "cirrhosis_9", "healthy_7"]


def test_the_table_of_cirrmri_is_read_with_its_mark(cirrmri, tmp_path):
    CirrMRI600CohortPreparation(str(cirrmri), str(tmp_path / "out")).run()
    rows = {row["id"]: row for row in table(tmp_path / "out" / "patients.csv")}
    assert rows["cirrhosis_7"] == {
        "id": "cirrhosis_7", "split": "train", "age": "61", "sex": "F", "label": "2", "time_months": "", "event": "",
    }  # fmt: skip
    assert rows["cirrhosis_9"]["sex"] == "M"
    assert rows["cirrhosis_11"]["label"] == ""
    there = {file.name for file in (tmp_path / "out" / "cirrhosis_7").iterdir()}
    assert there == {"t1.nii.gz", "t2.nii.gz", "liver.nii.gz"}


# TCGA-LIHC


@pytest.fixture
def tcga(tmp_path):
    """Three patients with expression, one of whom also has normal tissue and a second vial; survival; tiles."""
    root = tmp_path / "tcga"
    root.mkdir()
    samples = ["TCGA-AA-0001-11A", "TCGA-AA-0001-01B", "TCGA-AA-0001-01A", "TCGA-AA-0002-01A", "TCGA-AA-0003-11A"]
    genes = {"ENSG01.5": [9, 8, 1, 2, 9], "ENSG02.1": [0, 0, 3, 4, 0], "ENSG02.2": [0, 0, 5, 4, 0]}
    lines = ["\t".join(["Ensembl_ID", *samples])] + ["\t".join([gene, *map(str, row)]) for gene, row in genes.items()]
    with gzip.open(root / "TCGA-LIHC.star_fpkm.tsv.gz", "wt") as stream:
        stream.write("\n".join(lines) + "\n")
    survival = "sample\tOS\t_PATIENT\tOS.time\nTCGA-AA-0001-01A\t1\tTCGA-AA-0001\t609\n"
    (root / "TCGA-LIHC.survival.tsv").write_text(survival + "TCGA-AA-0002-01A\t0\tTCGA-AA-0002\t1218\n")
    for slide in ("TCGA-AA-0001-01Z-00-DX1.f00d", "TCGA-AA-0002-01A-01-TS1.beef", "TCGA-AA-0002-11Z-00-DX1.cafe"):
        folder = root / "tiles" / slide
        folder.mkdir(parents=True)
        (folder / "a.png").write_bytes(b"picture")
    return root


def biotab(root):
    """The BCR's table: a header, the same again in other words, codes, then patients; limits that look like values."""
    names = "bcr_patient_uuid bcr_patient_barcode age_at_initial_pathologic_diagnosis albumin_result_lower_limit"
    names += " albumin_result_specified_value bilirubin_upper_limit fibrosis_ishak_score ajcc_pathologic_tumor_stage"
    names += " vital_status fetoprotein_outcome_value"
    rows = [
        names.split(),
        [f"x_{name}" for name in names.split()],
        [f"CDE_ID:{number}" for number in range(10)],
        ["u1", "TCGA-AA-0001", "61", "3.5", "4.1", "1.0", "3,4 - Fibrous Septa", "Stage IIIA", "Dead", "12"],
        ["u2", "TCGA-AA-0002", "[Not Available]", "3.5", "3.9", "1.0", "[Unknown]", "Stage II", "Alive", "7"],
    ]
    text = "\n".join("\t".join(row) for row in rows)
    (root / "nationwidechildrens.org_clinical_patient_lihc.txt").write_text(text + "\n")


def test_one_tumour_sample_of_each_patient_is_kept(tcga):
    genes, patients, values = read_expression(tcga / "TCGA-LIHC.star_fpkm.tsv.gz")
    assert patients == ["TCGA-AA-0001", "TCGA-AA-0002"]
    assert genes == ["ENSG01", "ENSG02"]
    assert np.log2(values + 1) == pytest.approx(np.array([[1, 2], [4, 4]]))


def test_limits_of_assays_and_outcomes_are_no_predictors(tcga, tmp_path):
    biotab(tcga)
    TCGALIHCPreparation(str(tcga), str(tmp_path / "out")).run()
    rows = {row["id"]: row for row in table(tmp_path / "out" / "patients.csv")}
    assert set(rows) == {"TCGA-AA-0001", "TCGA-AA-0002"}
    first = rows["TCGA-AA-0001"]
    assert not {"albumin_result_lower_limit", "bilirubin_upper_limit", "vital_status"} & set(first)
    assert first["albumin_result_specified_value"] == "4.1"
    assert first["fetoprotein_outcome_value"] == "12"
    assert first["fibrosis_ishak_score"] == "3,4 - Fibrous Septa"
    assert (first["label"], first["time_months"], first["event"]) == ("1", "20.01", "1")
    assert rows["TCGA-AA-0002"]["label"] == "0"
    assert rows["TCGA-AA-0002"]["age_at_initial_pathologic_diagnosis"] == ""
    assert [file.name for file in (tmp_path / "out").glob("*/tiles/*")] == ["tile_00000.png"]
    assert (tmp_path / "out" / "TCGA-AA-0001" / "tiles").is_dir()
    assert (tmp_path / "out" / "genomics.tsv").read_text().splitlines()[0] == "gene\tTCGA-AA-0001\tTCGA-AA-0002"


def test_cbioportal_is_read_below_its_comments(tcga, tmp_path):
    head = "#a\tb\n#c\td\n#e\tf\n#1\t1\n"
    names = "PATIENT_ID\tAGE\tAJCC_PATHOLOGIC_TUMOR_STAGE\tOS_STATUS\tOS_MONTHS\tDFS_STATUS\n"
    rows = "TCGA-AA-0003\t70\tSTAGE IV\t1:DECEASED\t3.5\t1:Recurred\n"
    (tcga / "data_clinical_patient.txt").write_text(head + names + rows)
    assert set(read_patients(tcga / "data_clinical_patient.txt")) == {"TCGA-AA-0003"}
    TCGALIHCPreparation(str(tcga), str(tmp_path / "out")).run()
    row = table(tmp_path / "out" / "patients.csv")[0]
    assert (row["age"], row["label"], row["time_months"], row["event"]) == ("70", "1", "3.5", "1")
    assert "os_status" not in row
    assert "dfs_status" not in row


def test_what_is_wrong_in_tcga_is_said(tcga, tmp_path):
    with pytest.raises(FileNotFoundError, match="no clinical table"):
        TCGALIHCPreparation(str(tcga), str(tmp_path / "out")).run()
    (tcga / "TCGA-LIHC.clinical.tsv").write_text("name\tage\nJohn\t3\n")
    with pytest.raises(ValueError, match="no column of barcodes"):
        TCGALIHCPreparation(str(tcga), str(tmp_path / "out")).run()
    counts = "Ensembl_ID\tTCGA-AA-0001-01A\nENSG01.1\t5000\n"
    (tcga / "TCGA-LIHC.star_fpkm.tsv").write_text(counts)
    with pytest.raises(ValueError, match=r"expected log2\(FPKM \+ 1\)"):
        read_expression(tcga / "TCGA-LIHC.star_fpkm.tsv")
