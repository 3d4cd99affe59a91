"""Raw head CT to the follow-up layout, against an analytic head."""

import csv
import json
import logging
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medzoo.datamodules.followup.files import find_patients
from medzoo.datamodules.followup.files import read_scan as read_prepared
from medzoo.datamodules.preparation import HeadCTPreparation, RigidRegistration, SkullStrip
from medzoo.datamodules.preparation.scan import with_pixel_size
from medzoo.datamodules.preparation.skull_strip import _peel
from tests.datamodules.preparation.analytic_head import (
    BLEED_RADIUS,
    SPACING,
    ellipsoid,
    grid,
    head,
    in_bleed,
    in_brain,
    milliliters,
    moved,
    painted,
    places,
)

CLINICAL = ["time_from_onset_to_CT", "IPH_baseline_ml", "Anticoagulant", "Antiplatelet", "Age", "GCS", "Systolic"]


# Skull strip


def test_skull_strip_finds_the_brain_and_cuts_the_cord():
    image = painted(head, grid())
    brain, truth = SkullStrip()(image, "head"), in_brain(places(image))
    assert 2 * (brain & truth).sum() / (brain.sum() + truth.sum()) > 0.99
    assert not brain[places(image)[..., 2] < -70].any()
    assert sitk.GetArrayFromImage(image)[brain].max() < 150


def test_peel_takes_dense_surface_but_no_dense_core():
    brain = np.zeros((1, 40, 40), bool)
    brain[0, 5:35, 5:35] = True
    dense = np.zeros_like(brain)
    dense[0, 5:7, 5:35] = dense[0, 15:20, 15:20] = True
    peeled = _peel(brain, dense, 1.0)
    np.testing.assert_array_equal(peeled, brain & ~(dense & (np.arange(40)[None, :, None] < 10)))
    dense[0, :, 5:35] = True  # no deeper than 3 mm, or a superficial bleed would go
    assert _peel(brain, dense, 1.0)[0, 20, 9]


def test_no_skull_no_brain():
    with pytest.raises(ValueError, match="scan one: no brain found"):
        SkullStrip()(painted(ellipsoid, grid()), "scan one")


def test_external_tool(tmp_path):
    tool = tmp_path / "tool.py"
    tool.write_text(
        "import sys, SimpleITK as sitk\nimage = sitk.ReadImage(sys.argv[1])\nsitk.WriteImage(image > 60, sys.argv[2])\n"
    )
    image = painted(head, grid())
    strip = SkullStrip(peel=None, command=f"{sys.executable} {tool} {{input}} {{mask}} ; touch {tmp_path}/shell")
    np.testing.assert_array_equal(strip(image, "head"), sitk.GetArrayFromImage(image) > 60)
    assert not (tmp_path / "shell").exists()
    tool.write_text("raise SystemExit('no licence')")
    with pytest.raises(ValueError, match=r"head: .* ended with code 1: no licence"):
        strip(image, "head")
    with pytest.raises(FileNotFoundError, match="no program 'mri_nostrip'"):
        SkullStrip(command="mri_nostrip -i {input} -m {mask}")
    with pytest.raises(ValueError, match="braces"):
        SkullStrip(command="mri_synthstrip {in} {mask}")


# Registration


def test_registration_recovers_a_known_movement():
    truth = moved()
    baseline = painted(head, grid())
    followup = painted(head, grid(center=(5, -8, 2)), move=truth)
    found = RigidRegistration()(baseline, followup, "p1")
    points = places(grid())[in_brain(places(grid()))][::500]
    error = [np.subtract(found.TransformPoint(p), truth.TransformPoint(p)) for p in points.tolist()]
    assert np.linalg.norm(error, axis=1).max() < 1  # mm
    turn = np.reshape(found.GetMatrix(), (3, 3)).T @ np.reshape(truth.GetMatrix(), (3, 3))
    assert np.degrees(np.arccos(min(1, (np.trace(turn) - 1) / 2))) < 1
    with pytest.raises(ValueError, match="p1: follow-up cannot be registered"):
        RigidRegistration(max_rotation=0.01, iterations=1)(baseline, followup, "p1")
    once, again = (RigidRegistration(iterations=3)(baseline, followup, "p1").GetParameters() for _ in range(2))
    np.testing.assert_allclose(once, again, atol=1e-6)


def test_pixel_size_keeps_places():
    ramp = painted(lambda p: p @ np.array([3.0, 2.0, 5.0]), grid(), noise=0)
    coarse = with_pixel_size(ramp, 3.1)
    inside = (slice(2, -2),) * 3
    expected = (places(coarse) @ np.array([3.0, 2.0, 5.0]))[inside]
    np.testing.assert_allclose(sitk.GetArrayFromImage(coarse)[inside], expected, atol=1.5)
    np.testing.assert_allclose(coarse.GetSpacing(), (3.1, 3.1, 4))
    edges = [
        np.reshape(i.GetDirection(), (3, 3)) @ np.multiply(i.GetSpacing(), -0.5) + i.GetOrigin() for i in (ramp, coarse)
    ]
    np.testing.assert_allclose(*edges, atol=1e-6)  # the corner of the field of view


# The whole of it


def write_scan(folder, on, move=None):
    folder.mkdir(parents=True)
    sitk.WriteImage(painted(head, on, move=move), str(folder / "ct.nii.gz"))
    sitk.WriteImage(painted(in_bleed, on, np.uint8, move), str(folder / "iph.nii.gz"))


def write_table(file, names, **changes):
    values = dict(zip(CLINICAL, ("2.5", "17.2", "0", "1", "70", "", "160"), strict=True)) | changes
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["Patient_ID", "Name", "Hospital", *values, "Expansion_classic"])
        writer.writerows([[name, "Jane Doe", "north", *values.values(), ""] for name in names])


@pytest.fixture(scope="module")
def raw_once(tmp_path_factory):
    """One patient with both scans, the follow-up a moved head on another grid."""
    root = tmp_path_factory.mktemp("raw")
    folder = root / "north" / "p1"
    write_scan(folder / "baseline", grid())
    write_scan(folder / "followup", grid((104, 112, 46), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)), moved())
    write_table(root / "clinical.csv", ["p1", "p2"])
    return root


@pytest.fixture
def raw(raw_once, tmp_path):
    return shutil.copytree(raw_once, tmp_path / "raw")


class Known(RigidRegistration):
    """Answers with the truth, for tests that do not ask about registration."""

    def __call__(self, baseline, followup, name):
        return moved()


def preparation(raw, **options):
    return HeadCTPreparation(
        raw, raw.parent / "out", **{"skull_strip": SkullStrip(), "registration": Known(), **options}
    )


def test_cohort_is_prepared_once_and_read_by_the_datamodule(raw, caplog):
    write_scan(raw / "north" / "p2" / "baseline", grid())
    caplog.set_level(logging.INFO)
    options = {"registration": RigidRegistration(sampling=0.03)}
    preparation(raw, **options).run()
    out = raw.parent / "out"
    assert "prepared for prediction only: p2" in caplog.text
    assert "no ivh.nii.gz" in caplog.text
    assert find_patients(out) == {name: out / "north" / name for name in ("p1", "p2")}
    assert "Doe" not in (out / "clinical.csv").read_text()
    assert not (out / ".partial").exists()
    scans = [read_prepared(out / "north" / "p1" / time, 96, need_iph=True) for time in ("baseline", "followup")]
    np.testing.assert_array_equal(scans[0].grid.affine, scans[1].grid.affine)
    truth = 4 / 3 * np.pi * BLEED_RADIUS**3 / 1000
    for scan in scans:
        assert milliliters(scan.iph, SPACING) == pytest.approx(truth, rel=0.04)
        assert scan.ct[scan.iph].mean() == pytest.approx(65, abs=5)
        assert scan.ct.max() < 150
        assert scan.ct.min() > -50
    assert 2 * (scans[0].iph & scans[1].iph).sum() / sum(s.iph.sum() for s in scans) > 0.9
    record = json.loads((out / "north" / "p1" / "preparation.json").read_text())
    assert record["brain_dice"] > 0.95
    assert record["baseline"]["iph_ml"] == pytest.approx(truth, rel=0.04)
    written = {file: file.stat().st_mtime_ns for file in out.rglob("*.nii.gz")}
    preparation(raw, **options).run()
    assert "2 patients are prepared already, skipped" in caplog.text
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*.nii.gz")} == written
    with pytest.raises(ValueError, match=r"prepared with other pixel_size; set another preparation.output"):
        preparation(raw, pixel_size=1.0, **options).run()


def test_a_follow_up_that_comes_later_is_added_and_a_kill_leaves_no_half_patient(raw, monkeypatch):
    followup, aside, out = raw / "north" / "p1" / "followup", raw.parent / "aside", raw.parent / "out" / "north" / "p1"
    followup.rename(aside)
    preparation(raw).run()
    before = (out / "baseline" / "ct.nii.gz").read_bytes()
    aside.rename(followup)
    real, calls = sitk.WriteImage, []

    def killed(*arguments, **options):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(sitk, "WriteImage", killed)
        with pytest.raises(KeyboardInterrupt):
            preparation(raw).run()
    assert not (out / "followup").exists()
    assert find_patients(raw.parent / "out") == {"p1": out}
    preparation(raw).run()
    assert (out / "followup" / "iph.nii.gz").is_file()
    assert (out / "baseline" / "ct.nii.gz").read_bytes() == before


def overwrite(change):
    """Read a raw image, change it, write it back."""
    return lambda file: sitk.WriteImage(change(sitk.ReadImage(str(file))), str(file))


@pytest.mark.parametrize(
    ("name", "change", "match"),
    [
        (
            "iph.nii.gz",
            overwrite(lambda mask: mask[1:, :, :]),
            r"iph.nii.gz: 99 x 116 x 44 .* not the grid of .*ct.nii.gz",
        ),
        ("iph.nii.gz", overwrite(lambda mask: mask * 0), r"baseline/iph.nii.gz: empty"),
        ("iph.nii.gz", overwrite(lambda mask: mask * 255), r"iph.nii.gz: label 255; expected 0, 1"),
        ("iph.nii.gz", Path.unlink, r"iph.nii.gz: no such file"),
        ("ct.nii.gz", Path.unlink, r"baseline: no CT; expected a folder ct/"),
        (
            "ct.nii.gz",
            overwrite(lambda ct: sitk.Clamp(ct, lowerBound=0, upperBound=100)),
            "ct.nii.gz: values from 0 to 100",
        ),
        ("ct.nii.gz", lambda file: file.write_bytes(file.read_bytes()[:500]), r"ct.nii.gz.* cut short or damaged"),
        ("ct.nii.gz", overwrite(lambda ct: ct[:, :, 0]), r"ct.nii.gz: size .* expected one 3-D volume"),
    ],
)
def test_a_broken_patient_is_told_in_one_line(raw, caplog, name, change, match):
    change(raw / "north" / "p1" / "baseline" / name)
    with pytest.raises(ValueError, match=r"1 of 1 patients could not be prepared \(p1\); the log says why"):
        preparation(raw).run()
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "\n" not in errors[0]
    assert re.search(match, errors[0]), errors[0]
    assert not (raw.parent / "out" / "north").exists()


def test_table_and_folders_must_fit(raw):
    table = raw / "clinical.csv"
    write_table(table, ["p2"])
    with pytest.raises(ValueError, match="no row with Patient_ID p1"):
        preparation(raw).run()
    write_table(table, ["P1"])
    with pytest.raises(ValueError, match="none of 'p1' but one of 'P1'"):
        preparation(raw).run()
    write_table(table, ["p1"], Age="170")
    with pytest.raises(ValueError, match="Age is 170, outside 0 to 100"):
        preparation(raw).run()
    table.write_text(table.read_text().replace("170", "70").replace("north", "south"))
    with pytest.raises(ValueError, match="Hospital of p1 is south"):
        preparation(raw).run()
    table.unlink()
    with pytest.raises(FileNotFoundError, match="clinical"):
        preparation(raw).run()
    (raw / "north" / "p1" / "baseline").rename(raw / "north" / "p1" / "first")
    with pytest.raises(FileNotFoundError, match="no folder baseline/"):
        preparation(raw).run()
    with pytest.raises(FileNotFoundError, match=r"no file or folder .* preparation.input"):
        preparation(raw / "nothing").run()
    assert not (raw.parent / "out").exists()
