import csv
import json
import shutil
from types import SimpleNamespace

import lightning as L
import nibabel as nib
import numpy as np
import pytest
import torch

from medzoo.callbacks import FollowupReport, FollowupWriter
from medzoo.datamodules import FollowupDataModule, HeadPhantom
from medzoo.evaluation.regression.risk import fit_risk, risk_of
from tests.lightning_modules.diffusion.test_latent import module

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("head")
    phantom = HeadPhantom({"Aare": 8, "Emme": 1, "Kander": 3}, image_size=48, spacing_mm=4.0, slices=12, seed=3)
    hospitals = {"val_hospitals": ["Emme"], "test_hospitals": ["Kander"]}
    data = FollowupDataModule(root, phantom=phantom, **hospitals, image_size=48, batch_size=4)
    data.prepare_data()
    return data


@pytest.fixture
def model():
    model = module(expansion="risk", counterfactuals={"Anticoagulant": [0, 1], "Age": [50, 70]}, effect_samples=2)
    model.risk_model.take(weight=torch.linspace(-1, 1, 21), bias=-0.5, fill=torch.full((7,), 0.5))
    return model


def rows(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def trainer(folder, *callbacks):
    return L.Trainer(accelerator="cpu", default_root_dir=folder, callbacks=list(callbacks), **QUIET)


def test_the_report_has_every_number_and_its_tables(data, model, tmp_path):
    data.setup()
    model.finalize(data)
    run = trainer(tmp_path, FollowupReport(figures=2, resamples=20))
    run.test(model, data, verbose=False)
    said = {name: float(value) for name, value in run.callback_metrics.items()}
    for name in (
        "crps", "coverage_50", "coverage_90", "expansion_auc", "volume_mae_ml", "volume_bias_ml", "dice_iph",
        "dice_ivh", "ssim", "midline_error_mm", "slice_dice", "real_slice_dice", "total_crps", "crps_skill",
        "best_baseline_crps", "ceiling_crps", "ceiling_expansion_auc", "effect/Anticoagulant",
        "true_effect/Anticoagulant", "effect_ratio/Anticoagulant", "effect/Age",
        "expansion_brier", "expansion_slope", "risk_auc", "risk_brier", "risk_slope",
    ):  # fmt: skip
        assert f"test/{name}" in said, name
    assert said["test/true_effect/Anticoagulant"] > 0
    assert said["test/true_effect/Age"] == 0, "a nuisance does nothing"
    assert "test/effect_ratio/Age" not in said, "no ratio to nothing"
    table = rows(tmp_path / "test_forecasts.csv")
    names = ["this model", "causal model (ceiling)", "no change", "mean growth", "clinical regression"]
    assert [row["name"] for row in table] == [*names, "risk and mean growth", "risk and growth regression"]
    assert float(table[0]["crps"]) == pytest.approx(said["test/crps"], rel=1e-3)
    patients = rows(tmp_path / "predictions" / "test.csv")
    assert [row["id"] for row in patients] == data.split["test"]
    for row in patients:
        assert float(row["low_90_ml"]) <= float(row["mean_ml"]) <= float(row["high_90_ml"])
        assert set(json.loads(row["effects_ml"])) == {"Anticoagulant", "Age"}
    assert {file.stem for file in (tmp_path / "figures").glob("*.png")} >= {"crps", "pit", "forecasts", "expansion_roc"}


def test_no_change_scores_like_the_baseline_of_that_name(data, tmp_path):
    model = module(expansion="risk")
    model.sampler = lambda denoise, x, schedule, draw: torch.zeros_like(x)
    data.setup()
    model.finalize(data)
    run = trainer(tmp_path, FollowupReport(figures=0, resamples=20))
    run.test(model, data, verbose=False)
    table = {row["name"]: row for row in rows(tmp_path / "test_forecasts.csv")}
    assert table["this model"]["crps"] == table["no change"]["crps"]
    assert float(run.callback_metrics["test/slice_dice"]) > 0


def test_risk_model_and_baselines_are_those_of_the_training_patients(data, model, tmp_path):
    data.setup()
    model.finalize(data)
    train = data.clinical("train")
    weight, bias, fill = fit_risk(train["clinical"], train["label"])
    said = [model.risk(torch.from_numpy(row)) for row in train["clinical"]]
    assert said == pytest.approx(risk_of(train["clinical"], weight, bias, fill), abs=1e-6)
    assert float(model.baselines.growth) == train["followup_ml"].mean() / train["baseline_ml"].mean()
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    trainer(tmp_path, FollowupReport(figures=0, resamples=20)).test(model, data, verbose=False)
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items()), "a test only reads"


def forecast(data, model, source, output, **asked):
    data.set_predict_input(source)
    model.set_prediction(**asked)
    writer = FollowupWriter(output)
    trainer(output.parent, writer).predict(model, data, return_predictions=False)
    return writer


def test_a_prediction_is_on_the_grid_of_the_input(data, model, tmp_path):
    source = sorted((data.root / "Kander").iterdir())[0]
    turned = shutil.copytree(source, tmp_path / "in" / "Kander" / source.name)
    for file in turned.glob("*/*.nii.gz"):  # stored the other way round: left to right, head to foot, columns first
        image = nib.load(file)
        lps = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.orientations.axcodes2ornt("PLI"))
        nib.save(image.as_reoriented(lps), file)
    shutil.copy(data.root / "clinical.csv", tmp_path / "in")
    forecast(data, model, source, tmp_path / "plain", samples=4, perturb={"Age": [40, 80]})
    forecast(data, model, turned, tmp_path / "turned", samples=4)
    said, again = tmp_path / "plain" / source.name, tmp_path / "turned" / source.name
    baseline = nib.load(source / "baseline" / "ct.nii.gz")
    for file in said.glob("*.nii.gz"):
        image = nib.load(file)
        assert image.shape == baseline.shape
        assert np.allclose(image.affine, baseline.affine)
        other = nib.load(again / file.name)
        assert np.allclose(other.affine, nib.load(turned / "baseline" / "ct.nii.gz").affine)
        same = nib.as_closest_canonical(other).get_fdata(), nib.as_closest_canonical(image).get_fdata()
        assert np.abs(same[0] - same[1]).max() <= 1, file.name
    assert len(list(said.glob("sample_*_ct.nii.gz"))) == 4
    assert {file.name for file in said.glob("probability_*")} == {
        f"probability_{kind}_{which}.nii.gz"
        for kind in ("iph", "ivh")
        for which in ("final", "if_expansion", "if_stable")
    }
    volumes = rows(said / "volumes.csv")
    voxel = abs(np.linalg.det(baseline.affine[:3, :3])) / 1000
    for row in volumes:
        segmentation = nib.load(said / f"sample_{int(row['sample']):02d}_segmentation.nii.gz").get_fdata()
        assert (segmentation == 1).sum() * voxel == pytest.approx(float(row["iph_ml"]), abs=0.01)
    weights = np.array([float(row["weight"]) for row in volumes])
    flags = np.array([int(row["flag"]) for row in volumes])
    final, if_expansion, if_stable = (
        nib.load(said / f"probability_iph_{which}.nii.gz").get_fdata()
        for which in ("final", "if_expansion", "if_stable")
    )
    p = weights[flags == 1].sum()
    assert np.allclose(final, p * if_expansion + (1 - p) * if_stable, atol=1e-4), "maps combine as in the original"
    assert (said / "counterfactual_Age.png").is_file()
    assert {float(row["Age"]) for row in rows(said / "counterfactual_Age.csv")} == {40, 80}


def test_voxels_outside_the_window_keep_their_values(data, model, tmp_path):
    source = shutil.copytree(sorted((data.root / "Kander").iterdir())[0], tmp_path / "in" / "x")
    file = source / "baseline" / "ct.nii.gz"
    image = nib.load(file)
    raw = np.asarray(image.dataobj).copy()
    iph = np.asarray(nib.load(source / "baseline" / "iph.nii.gz").dataobj)
    z = int(np.abs(np.arange(raw.shape[2]) - np.flatnonzero(iph.any((0, 1))).mean()).argmax())  # far from the bleed
    raw[24, 24, z] = 300  # a calcification in a slice that is not forecast
    nib.save(nib.Nifti1Image(raw, image.affine), file)
    forecast(data, model, source, tmp_path / "out", samples=1, expansion=0)
    said = np.asarray(nib.load(tmp_path / "out" / "x" / "sample_00_ct.nii.gz").dataobj)
    assert said[24, 24, z] == 300
    assert np.abs(said[:, :, z] - raw[:, :, z]).max() <= 1


def test_an_interrupted_prediction_goes_on(data, model, tmp_path):
    forecast(data, model, data.root / "Kander" / "Kander_001", tmp_path / "out", samples=1)
    kept = (tmp_path / "out" / "Kander_001" / "volumes.csv").stat().st_mtime_ns
    (tmp_path / "out" / ".Kander_002.partial").mkdir()  # what a killed process leaves
    forecast(data, model, data.root, tmp_path / "out", samples=1)
    done = sorted(folder.name for folder in (tmp_path / "out").iterdir())
    assert len(done) == 12
    assert not [name for name in done if name.startswith(".")]
    assert (tmp_path / "out" / "Kander_001" / "volumes.csv").stat().st_mtime_ns == kept


def test_a_forecast_is_made_of_scans_of_any_format(tmp_path):
    files = [tmp_path / "baseline" / name for name in ("CT.NII.GZ", "iph.nii.gz", "ivh/1.png")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    case = SimpleNamespace(folder=tmp_path, clinical=np.zeros(7), grid=SimpleNamespace(file_affine=np.eye(4)))
    assert FollowupWriter(tmp_path / "out").made_of(case)[0] == files


def test_a_forecast_of_another_model_or_patient_is_refused(data, model, tmp_path):
    source = shutil.copytree(data.root / "Kander" / "Kander_001", tmp_path / "in" / "x")
    forecast(data, model, source, tmp_path / "out", samples=1)
    volumes = (tmp_path / "out" / "x" / "volumes.csv").read_bytes()
    image = nib.load(source / "baseline" / "iph.nii.gz")
    nib.save(
        nib.Nifti1Image(np.roll(np.asarray(image.dataobj), 1, 0), image.affine), source / "baseline" / "iph.nii.gz"
    )
    with pytest.raises(ValueError, match="made of another image of this name; name another output"):
        forecast(data, model, source, tmp_path / "out", samples=1)
    nib.save(image, source / "baseline" / "iph.nii.gz")
    (tmp_path / "out.made_by.json").unlink()
    with pytest.raises(ValueError, match=r"out/x: a prediction of unknown origin, without out.made_by.json"):
        forecast(data, model, source, tmp_path / "out", samples=1)
    assert (tmp_path / "out" / "x" / "volumes.csv").read_bytes() == volumes
