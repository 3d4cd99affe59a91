import csv
import itertools
import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage, stats

from medzoo.datamodules.phantoms.head import causal, cohort, hematoma, simulate, write_head_cohort
from medzoo.datamodules.phantoms.head.anatomy import draw_anatomy
from medzoo.datamodules.phantoms.head.rendering import Head
from medzoo.datamodules.phantoms.head.scanner import SCANNERS, Grid, Scanner
from medzoo.evaluation.scores.classification import auc
from medzoo.evaluation.scores.followup_baselines import baseline_forecasts, fit_baselines
from medzoo.evaluation.scores.forecasts import crps

QUIET = Scanner(thickness_mm=5, noise_hu=0, cupping_hu=0, shading_hu=0)
NUISANCES = {"Antiplatelet": 1, "Age": 30, "GCS": 3, "Systolic": 240}


@pytest.fixture(scope="module")
def people():
    """Many clinical rows and their follow-up volumes."""
    rng = np.random.default_rng(0)
    clinical = causal.draw_clinical(rng, 12_000)
    return clinical, causal.realised_volume(clinical, causal.draw_noise(rng, 12_000))


@pytest.fixture(scope="module")
def patients():
    return [simulate((3, index), skull=False) for index in range(40)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("head") / "cohort"
    write_head_cohort(root, patients={"north": 3, "south": 2}, seed=4)
    return root


def table(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


# The causal model


def test_one_in_five_expands_and_the_risk_is_well_spread(people):
    clinical, volume = people
    expansion = causal.is_expansion(clinical["IPH_baseline_ml"], volume)
    assert 0.18 < expansion.mean() < 0.23
    assert 0.85 < auc(expansion, causal.expansion_probability(clinical))[0] < 0.89
    assert all(low <= column.min() and column.max() <= high for column, (low, high) in zip_ranges(clinical))


def zip_ranges(clinical):
    return [(clinical[name], bounds) for name, bounds in causal.CLINICAL.items()]


def test_whoever_knows_the_model_beats_the_simple_forecasts_by_a_third(people):
    clinical, volume = people
    low, high = np.array([*causal.CLINICAL.values()]).T
    table, baseline = (np.stack(list(clinical.values()), 1) - low) / (high - low), clinical["IPH_baseline_ml"]
    train, test = slice(0, 400), slice(4000, 12_000)
    ideal = crps(causal.followup_volumes({k: v[test] for k, v in clinical.items()}, 200, seed=1), volume[test]).mean()
    usual = baseline_forecasts(fit_baselines(table[train], baseline[train], volume[train]), table[test], baseline[test])
    scores = {name: crps(one.samples, volume[test], one.weights).mean() for name, one in usual.items()}
    assert ideal < 2 / 3 * min(scores[name] for name in ("no change", "mean growth", "clinical regression"))
    assert ideal < min(scores.values())


def test_sampled_volumes_follow_the_written_distributions():
    row = {name: np.array([value]) for name, value in zip(causal.CLINICAL, (3.0, 20.0, 1, 0, 70, 12, 150), strict=True)}
    volumes = causal.followup_volumes(row, 20_000, seed=0)[0]
    growth = volumes / 20 - 1
    expands = growth >= 0.3  # 6 of 20 mL
    probability = 1 / (1 + np.exp(2.8 + 2.1 * np.log(3 / 4.5) - 2.2 - 0.4 * np.log(20 / 14)))
    assert expands.mean() == pytest.approx(probability, abs=0.011)
    assert causal.expansion_probability(row)[0] == pytest.approx(probability)
    mean = np.log(0.42) - 0.4 * np.log(3 / 4.5) + 0.5
    low, high = (np.log(0.3) - mean) / 0.22, (np.log(5.5) - mean) / 0.22
    law = stats.truncnorm(low, high, loc=mean, scale=0.22)
    assert stats.kstest(np.log(growth[expands]), law.cdf).pvalue > 0.01
    assert stats.kstest(growth[~expands], stats.norm(0, 0.047).cdf).pvalue > 0.01


def test_interventions_move_the_mean_volume_and_nuisances_do_not(people):
    clinical = {name: column[:200] for name, column in people[0].items()}

    def mean(**values):
        return causal.followup_volumes(causal.do(clinical, **values), 200, seed=0).mean()

    by_onset = [mean(time_from_onset_to_CT=hours) for hours in (1, 3, 6, 12, 24)]
    assert all(early > late for early, late in itertools.pairwise(by_onset))
    assert mean(Anticoagulant=1) > 1.15 * mean(Anticoagulant=0)
    assert all(mean(**{name: value}) == mean() for name, value in NUISANCES.items())


@pytest.mark.parametrize("values", [{"Onset": 3}, {"time_from_onset_to_CT": 30}, {"Age": float("nan")}])
def test_interventions_the_model_cannot_answer_are_refused(values, people):
    with pytest.raises(ValueError, match=rf"do\({next(iter(values))}="):
        causal.do(people[0], **values)


# The images


def test_masks_have_the_volumes_of_the_causal_model(patients):
    for index, patient in enumerate(patients):
        streams = np.random.SeedSequence((3, index)).spawn(2)
        drawn = causal.draw_clinical(np.random.default_rng(streams[0]), 1)
        noise = causal.draw_noise(np.random.default_rng(streams[1]), 1)
        row = {**drawn, "IPH_baseline_ml": np.array([patient.baseline.iph.sum() * 0.045])}
        assert row["IPH_baseline_ml"] == pytest.approx(drawn["IPH_baseline_ml"], abs=0.045)
        assert patient.followup.iph.sum() * 0.045 == pytest.approx(causal.realised_volume(row, noise), abs=0.045)
        assert patient.expansion == (noise["expansion"] < patient.p_expansion)


def test_the_followup_holds_the_baseline_bleed(patients):
    kept = [(p.baseline.iph & p.followup.iph).sum() / p.baseline.iph.sum() for p in patients]
    assert min(kept) > 0.85
    assert np.mean(kept) > 0.95


def test_bleeds_lie_in_the_brain_and_are_one_piece(patients):
    for scan in (scan for p in patients for scan in (p.baseline, p.followup)):
        parts, _ = ndimage.label(scan.iph, np.ones((3, 3, 3)))
        assert np.bincount(parts.ravel())[1:].max() > 0.9 * scan.iph.sum()
        assert not (scan.iph & scan.ivh).any()
        assert (scan.ct[scan.iph > 0] != 0).mean() > 0.99
        assert scan.ct[ndimage.binary_erosion(scan.iph)].mean() == pytest.approx(66, abs=6) or scan.iph.sum() < 150


def test_blood_reaches_ventricles_in_some_and_stays(patients):
    before, after = ([scan.ivh.sum() for scan in scans] for scans in zip(*map(scans_of, patients), strict=True))
    assert 0.05 < np.mean(np.array(before) > 0) < 0.45
    assert all(late >= 0.9 * early for early, late in zip(before, after, strict=True))


def scans_of(patient):
    return patient.baseline, patient.followup


def head(centre, scanner=QUIET, image_size=96, spacing_mm=2.0):
    """An upright head with a bleed at a chosen place."""
    rng = np.random.default_rng(8)
    anatomy = draw_anatomy(rng, 70)
    drawn = hematoma.draw_bleed(rng, anatomy, 20)
    bleed = hematoma.Bleed("chosen", np.array(centre, float), np.eye(3), drawn.lobes, drawn.drift, drawn.clots)
    grid = Grid.of(scanner, image_size, spacing_mm, 14)
    return Head(anatomy, bleed, grid, scanner, True, np.zeros(5), np.zeros(5))


def test_only_a_bleed_that_reaches_a_ventricle_breaks_into_it():
    far, near = head((40, -30, 30)), head((19, 0, 18))
    assert far.scan(np.random.default_rng(0), count=300).ivh.sum() == 0  # 6 mL
    small, large = (near.scan(np.random.default_rng(0), count) for count in (50, 1500))
    assert small.ivh.sum() == 0 < large.ivh.sum()
    grown = near.scan(np.random.default_rng(0), 1500, before=small)
    place = np.argwhere(grown.ivh).mean(0)
    ventricles = np.argwhere(small.ct[24:72, 20:76] < 15).mean(0)
    assert place[1] < ventricles[1] + 20, "blood sinks to the back of a patient who lies on it"
    assert (small.ct[grown.ivh > 0] < 25).mean() > 0.4, "where there was CSF"


def test_mass_effect_moves_the_middle_of_the_image_as_much_as_the_truth_says():
    person = head((30, 5, 10), image_size=192, spacing_mm=1.0)
    scans = [person.scan(np.random.default_rng(0), round(ml / person.grid.voxel_ml)) for ml in (0.5, 10, 30, 60)]
    truth = [scan.midline_shift_mm for scan in scans]
    assert truth == sorted(truth)
    assert truth[-1] > 5
    middle = [
        ndimage.gaussian_filter(np.clip(scan.ct, 0, 60)[:, 96:126, 4:6].astype(float), (1, 1, 0)) for scan in scans
    ]
    for later, shift in zip(middle[1:], truth[1:], strict=True):
        # The frontal horns and the septum: which shift to the left of the bleed explains the image best?
        errors = [np.square(later[78 - s : 106 - s] - middle[0][78:106]).mean() for s in range(15)]
        assert np.argmin(errors) == pytest.approx(shift - truth[0], abs=1.6)


def test_tissues_have_their_hounsfield_units():
    person = head((27, 5, 10), image_size=192, spacing_mm=1.0)
    scan = person.scan(np.random.default_rng(0), round(30 / person.grid.voxel_ml))
    left = scan.ct[40:95, 30:165, 3:8]  # the half without the bleed
    shares, edges = np.histogram(left, np.arange(0, 60))
    peaks = edges[:-1][(shares > np.roll(shares, 1)) & (shares >= np.roll(shares, -1)) & (shares > 0.02 * left.size)]
    assert any(26 <= hu <= 31 for hu in peaks), "white matter"
    assert any(35 <= hu <= 38 for hu in peaks), "grey matter"
    assert scan.ct[ndimage.binary_erosion(scan.iph)].mean() == pytest.approx(66, abs=4)
    assert (left < 12).mean() > 0.02, "CSF"
    assert np.percentile(scan.ct, 99.5) > 600, "bone"
    assert scan.ct[0, 0, 0] == -1000


@pytest.mark.parametrize("place", range(5))
def test_hospitals_differ_in_noise(place):
    scanner = SCANNERS[place]
    clean = Scanner(scanner.thickness_mm, 0, scanner.cupping_hu, scanner.shading_hu)
    noisy, quiet = (head((30, 5, 10), each).scan(np.random.default_rng(1), 200).ct for each in (scanner, clean))
    assert np.std(noisy.astype(float) - quiet) == pytest.approx(scanner.noise_hu, rel=0.05)


def test_a_counterfactual_changes_the_followup_only():
    seed = next(s for s in itertools.count() if simulate((5, s)).p_expansion < 0.1)
    fact = simulate((5, seed))
    other = simulate((5, seed), do={"time_from_onset_to_CT": 0.5, "Anticoagulant": 1})
    assert np.array_equal(fact.baseline.ct, other.baseline.ct)
    assert other.p_expansion > 0.8
    grown = [
        simulate((5, s), do={"time_from_onset_to_CT": 0.5, "Anticoagulant": 1}).followup.iph.sum() for s in range(8)
    ]
    assert sum(grown) > 1.3 * sum(simulate((5, s)).baseline.iph.sum() for s in range(8))
    same = simulate((5, seed), do=NUISANCES)
    assert np.array_equal(fact.followup.ct, same.followup.ct)
    assert np.array_equal(fact.followup.iph, same.followup.iph)


# The files


def test_a_patient_hangs_on_seed_hospital_and_number_only(root, tmp_path):
    write_head_cohort(tmp_path / "fewer", patients={"north": 1, "south": 1}, seed=4)
    write_head_cohort(tmp_path / "other", patients={"north": 1}, seed=5)
    file = "north/north_001/followup/ct.nii.gz"
    same, fewer, other = (nib.load(folder / file).dataobj[:] for folder in (root, *sorted(tmp_path.iterdir())))
    assert np.array_equal(same, fewer)
    assert not np.array_equal(same, other)


def test_images_are_nifti_in_ras_with_the_spacing_of_the_hospital(root):
    for hospital, shape, zooms in (("north", (64, 64, 14), (3, 3, 5)), ("south", (64, 64, 18), (3, 3, 4))):
        images = [nib.load(file) for file in sorted((root / hospital).rglob("*.nii.gz"))]
        for image in images:
            assert image.shape == shape
            assert image.header.get_zooms() == zooms
            assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
            assert np.array_equal(image.affine, images[0].affine)
        assert {image.get_data_dtype() for image in images} == {np.dtype(np.int16), np.dtype(np.uint8)}


def test_tables_say_what_the_masks_show(root):
    rows, truths = table(root / "clinical.csv"), table(root / "truth.csv")
    assert len(rows) == len(truths) == 5
    for row, truth in zip(rows, truths, strict=True):
        volumes = {}
        for time, kind in itertools.product(("baseline", "followup"), ("iph", "ivh")):
            image = nib.load(root / row["Hospital"] / row["Patient_ID"] / time / f"{kind}.nii.gz")
            volumes[time, kind] = np.asarray(image.dataobj).sum() * np.prod(image.header.get_zooms()) / 1000
            assert float(truth[f"{time}_{kind}_ml"]) == pytest.approx(volumes[time, kind], abs=1e-3)
        before, after = volumes["baseline", "iph"], volumes["followup", "iph"]
        assert float(row["IPH_baseline_ml"]) == pytest.approx(before, abs=1e-3)
        assert int(row["Expansion_classic"]) == (after - before >= 6 or after >= 1.33 * before)
        assert 0 < float(truth["p_expansion"]) < 1


def test_outside_the_brain_is_nothing_unless_the_skull_is_asked_for():
    stripped, raw = (simulate(1, skull=skull).baseline.ct for skull in (False, True))
    assert (stripped == 0).mean() > 0.3
    assert stripped.max() < 300
    assert raw.min() < -900
    assert raw.max() > 600
    assert np.array_equal(stripped[28:36, 28:36], raw[28:36, 28:36])


def test_a_finished_cohort_stays_and_anything_else_is_not_overwritten(root, tmp_path):
    written = (root / "clinical.csv").stat().st_mtime_ns
    write_head_cohort(root, patients={"north": 3, "south": 2}, seed=4)
    assert (root / "clinical.csv").stat().st_mtime_ns == written
    with pytest.raises(FileExistsError, match="holds something else"):
        write_head_cohort(root, patients={"north": 3, "south": 2}, seed=5)
    assert json.loads((root / "phantom.json").read_text())["seed"] == 4


def test_an_interrupted_cohort_leaves_nothing_behind(tmp_path, monkeypatch):
    calls = itertools.count()

    def stops(*arguments, **options):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return simulate(*arguments, **options)

    monkeypatch.setattr(cohort, "simulate", stops)
    with pytest.raises(KeyboardInterrupt):
        write_head_cohort(tmp_path / "cohort", patients=[3])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patients": {}}, "at least 1"),
        ({"patients": {"a": 0}}, "at least 1"),
        ({"patients": {"a/b": 1}}, "slashes"),
        ({"image_size": 32}, "field of view of 96 mm"),
        ({"spacing_mm": -3.0}, "0.2 to 6 mm"),
        ({"slices": 3}, "12 to 18"),
        ({"workers": 0}, "at least 1 process"),
    ],
)
def test_nonsense_is_refused_in_one_line(options, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        write_head_cohort(tmp_path / "cohort", **{"patients": {"a": 1}, **options})
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
