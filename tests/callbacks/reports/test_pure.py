"""Every report as a function of what was collected: no Trainer, no module, no file."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, roc_auc_score

from medzoo.callbacks.output import Report
from medzoo.callbacks.reports.base import TestReport
from medzoo.callbacks.reports.classification import ClassificationFigures, Classified, Mistake
from medzoo.callbacks.reports.explanation.gradcam import Explained, GradCAMFigures
from medzoo.callbacks.reports.explanation.latent_shift import LatentShiftFigures, Walks
from medzoo.callbacks.reports.fusion.collected import Fused
from medzoo.callbacks.reports.fusion.report import FusionReport
from medzoo.callbacks.reports.fusion.survival import Curves
from medzoo.callbacks.reports.images.latents import LatentFigures, Latents
from medzoo.callbacks.reports.images.reconstruction import ReconstructionFigures
from medzoo.callbacks.reports.images.restoration import RestorationFigures, Restored
from medzoo.callbacks.reports.images.synthetic import Synthesised, SyntheticImages
from medzoo.callbacks.reports.images.translation import TranslationFigures
from medzoo.callbacks.reports.images.vae import Traversed, VAEFigures
from medzoo.callbacks.reports.patients import Patients, PatientScores
from medzoo.callbacks.reports.representations import RepresentationReport, TwoParts
from medzoo.callbacks.reports.segmentation import Cases, Drawing, SegmentationReport
from medzoo.evaluation.measures.survival import area_over_time, brier_over_time, concordance, concordance_uno

RNG = np.random.default_rng(0)
LABEL = np.arange(40) % 2
IDS = [f"case_{index:02d}" for index in range(40)]


def two_classes(strength=1.0):
    """Probabilities (40, 2) that follow the label."""
    last = 1 / (1 + np.exp(-strength * (2 * LABEL - 1) - RNG.normal(size=40)))
    return np.stack([1 - last, last], 1)


def picture(*shape):
    return RNG.random(shape).astype(np.float32)


def test_classification():
    prob = two_classes()
    mistakes = [Mistake(picture(1, 6, 6), 1, np.array([0.9, 0.1]))]
    collected = Classified({"id": IDS, "label": LABEL, "prob": prob}, mistakes)
    report = ClassificationFigures(resamples=50).report(collected, SimpleNamespace(class_names=["no", "yes"]))
    area = roc_auc_score(LABEL, prob[:, 1])
    assert report.metrics["test/auc_low"] < area < report.metrics["test/auc_high"]
    (table,) = report.tables.values()
    assert table[1]["auc"] == pytest.approx(area)
    assert {*report.figures} == {"roc", "calibration", "confusion", "mistakes"}


def test_patients():
    score = two_classes()[:, 1]
    data = SimpleNamespace(class_names=["stable", "expansion"])
    report = PatientScores(resamples=20).report(Patients(IDS, score, LABEL, 0.4), data)
    assert report.metrics["test/patient_auc"] == pytest.approx(roc_auc_score(LABEL, score))
    assert report.metrics["test/patient_brier"] == pytest.approx(brier_score_loss(LABEL, score))
    assert report.metrics["test/patient_sensitivity"] == np.mean(score[LABEL == 1] >= 0.4)
    rows = {row["rate"]: row for row in report.tables["test_patients.csv"]}
    assert rows["specificity"]["value"] == np.mean(score[LABEL == 0] < 0.4)
    assert [float(row["score"]) for row in report.tables["predictions/patients.csv"]] == score.tolist()
    assert report.figures["patients_roc"].axes[0].get_title() == "expansion, 20 of 40 patients"


def test_representations():
    probs = np.stack([two_classes(0.2), two_classes(1), two_classes(3)], 1)
    first, second = RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2))
    found = {"id": IDS, "label": LABEL, "first": first, "second": second, "probs": probs}
    data = SimpleNamespace(
        class_names=["no", "yes"], hcr_names=[], mask_choice=[{"mask": "full", "validation_auc": 0.7}]
    )
    report = RepresentationReport().report(TwoParts(("HCR", "DLR", "HCR + DLR"), found, [0.6, 0.7, 0.8]), data)
    for name, index in (("auc_hcr", 0), ("auc_dlr", 1), ("auc", 2)):
        assert report.metrics[f"test/{name}"] == pytest.approx(roc_auc_score(LABEL, probs[:, index, 1]))
    assert report.metrics["test/active"] == 2
    assert report.metrics["test/validation_auc_dlr"] == 0.7
    assert [row["validation_auc"] for row in report.tables["test_representations.csv"]] == [0.6, 0.7, 0.8]
    assert report.tables["test_masks.csv"] == data.mask_choice
    assert [row["name"] for row in report.tables["test_representations.csv"]] == ["HCR", "DLR", "HCR + DLR"]
    assert [*report.tables["predictions/representations.csv"][0]][:3] == ["id", "label", "HCR/0"]


def fused(present, fuse):
    tokens, prob = RNG.normal(size=(40, 2, 1)), two_classes(2)
    found = {"id": IDS, "label": LABEL, "prob": prob, "present": present, "tokens": tokens, "weights": present / 2}
    probs = {"fusion": prob, "ct": two_classes(0.1), "clinical": two_classes()}
    return Fused(("ct", "clinical"), found, probs, fuse)


def test_fusion():
    present = np.ones((40, 2), bool)
    present[:10, 0] = False

    def fuse(tokens, shown):
        odds = (tokens[:, :, 0] * shown).sum(1)
        return np.stack([1 / (1 + np.exp(odds)), 1 / (1 + np.exp(-odds))], 1)

    collected = fused(present, fuse)
    odds = collected.predictions["tokens"][:, :, 0]
    data = SimpleNamespace(phantom=True, true_log_odds=lambda ids, shown: (odds * shown).sum(1))
    report = FusionReport().report(collected, data)
    alone = {name: roc_auc_score(LABEL, prob[:, 1]) for name, prob in collected.probs.items()}
    assert report.metrics["test/auc_ct"] == pytest.approx(alone["ct"])
    assert report.metrics["test/best_unimodal_auc"] == pytest.approx(max(alone["ct"], alone["clinical"]))
    ct, clinical = report.tables["test_modalities.csv"]
    assert ct["logit_change"] == pytest.approx(np.abs(odds[10:, 0]).mean()), "who has it alone is not asked"
    assert clinical["true_change"] == pytest.approx(np.abs(odds[10:, 1]).mean())
    assert {row["modalities"] for row in report.tables["test_subsets.csv"]} == {"ct", "clinical", "ct clinical"}
    assert report.metrics["test/bayes_sum_auc"] == report.metrics["test/bayes_auc"], "these odds add up"
    assert report.tables["predictions/weights.csv"][0] == {"id": "case_00", "ct": "", "clinical": "0.500000"}


def test_survival_of_a_fusion():
    collected = fused(np.ones((40, 2), bool), lambda tokens, shown: np.full((len(tokens), 2), 0.5))
    times = {"time": RNG.exponential(size=40), "event": RNG.random(40) < 0.7, "risk": RNG.normal(size=40)}
    collected = replace(collected, predictions={**collected.predictions, **times}, survival=True)
    report = FusionReport(resamples=200).report(collected, SimpleNamespace(phantom=False))
    low, high = report.metrics["test/c_index_low"], report.metrics["test/c_index_high"]
    assert low < concordance(**times)["c_index"] < high
    assert report.metrics["test/c_index_uno"] == concordance_uno(**times)
    row = report.tables["predictions/survival.csv"][3]
    assert (row["id"], row["event"]) == (IDS[3], int(times["event"][3]))
    assert float(row["log_hazard"]) == pytest.approx(times["risk"][3], rel=1e-5)
    assert (
        "test/c_index_uno"
        not in FusionReport().report(replace(collected, survival=False), SimpleNamespace(phantom=False)).metrics
    )


def test_survival_of_a_fusion_over_time_and_alone():
    time, event, risk = RNG.exponential(size=40), RNG.random(40) < 0.7, RNG.normal(size=40)
    moments = np.array([0.2, 0.5, 1.0])
    curves = Curves(moments, np.exp(-moments * np.exp(risk)[:, None]), np.exp(-moments), -risk)
    collected = fused(np.ones((40, 2), bool), lambda tokens, shown: np.full((len(tokens), 2), 0.5))
    predictions = {**collected.predictions, "time": time, "event": event, "risk": risk}
    collected = replace(collected, predictions=predictions, survival=True, curves=curves, classes=False)
    report = FusionReport(resamples=50).report(collected, SimpleNamespace(phantom=False))
    rows = report.tables["test_survival.csv"]
    assert [row["months"] for row in rows] == moments.tolist()
    assert [row["auc"] for row in rows] == area_over_time(time, event, risk, moments).tolist()
    assert [row["brier"] for row in rows] == brier_over_time(time, event, curves.survival, moments).tolist()
    assert rows[1]["at_risk"] + rows[1]["events"] + ((time <= 0.5) & ~event).sum() == 40
    assert report.metrics["test/sum_c_index"] == pytest.approx(1 - concordance(time, event, risk)["c_index"])
    scores = [row["brier_common"] for row in rows]
    expected = (0.3 * (scores[0] + scores[1]) / 2 + 0.5 * (scores[1] + scores[2]) / 2) / 0.8
    assert report.metrics["test/integrated_brier_common"] == pytest.approx(expected)
    assert min(row["auc"] for row in rows) < report.metrics["test/survival_auc"] < max(row["auc"] for row in rows)
    assert "test/best_unimodal_auc" not in report.metrics, "nothing is said of classes that were not trained"
    assert {*report.tables} == {"predictions/weights.csv", "predictions/survival.csv", "test_survival.csv"}


def test_segmentation():
    shape = (2, 8, 8)
    prediction, reference = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    prediction[0, :4], reference[0, 2:6] = 1, 1
    row = {
        "dice_bleed": 0.5,
        "iou_bleed": 1 / 3,
        "nsd_bleed": 0.8,
        "hd95_bleed": 2.0,
        "volume_bleed_ml": 3.0,
        "true_volume_bleed_ml": 4.0,
    }
    rows = [{"id": "a", **row}, {"id": "b", **row, "dice_bleed": 1.0, "iou_bleed": 1.0}]
    drawings = [Drawing(0.5, "a", prediction, reference, (1, 1, 1), picture(*shape))]
    data = SimpleNamespace(class_names=["background", "bleed"], spatial_dims=3)
    report = SegmentationReport(cases=1).report(Cases(rows, drawings), data)
    assert report.metrics["test/dice"] == 0.75
    assert report.metrics["test/volume_bias_ml"] == -1
    assert report.tables["predictions/test.csv"][0]["iou_bleed"] == "0.3333"
    flat = SimpleNamespace(**{**vars(data), "spatial_dims": 2, "unit": "px", "patients": {"a": "p", "b": "p"}})
    report = SegmentationReport(cases=1).report(Cases(rows, drawings), flat)
    assert report.metrics["test/hd95_px"] == 2
    assert report.metrics["test/patient_dice"] == 0.75
    assert not [name for name in report.metrics if "volume" in name]


def test_synthetic_images():
    training, made = torch.rand(12, 1, 16, 16), torch.rand(4, 1, 16, 16)
    made[0] = training[3]
    names = [f"p{index}_0" for index in range(12)]
    data = SimpleNamespace(root="here", patient_of=lambda name: name.partition("_")[0])
    test = torch.rand(6, 1, 16, 16), [f"t{index}_0" for index in range(6)]
    report = SyntheticImages(count=4, seed=7).report(Synthesised(made, training, names, *test), data)
    own = {f"{part}{name}" for part in ("", "real_") for name in ("kid", "fid", "shortcut_auc", "shortcut_forest_auc")}
    assert {*report.metrics} == {f"test/{name}" for name in (*own, "copied")}
    row = report.tables["synthetic/manifest.csv"][0]
    assert row == {**row, "file": "00000.png", "seed": 7, "nearest": "p3_0", "distance": "0.0000", "copied": 1}
    assert report.pictures["synthetic/00000.png"].shape == (16, 16)
    elsewhere = SyntheticImages().report(Synthesised(made, torch.empty(0), [], training), data)
    assert {*elsewhere.metrics} == {"test/kid_elsewhere", "test/fid_elsewhere"}
    assert not elsewhere.pictures


def test_latent_shift():
    walks = Walks([{"ct": 0.75, "clinical": 0.25}, {"ct": 1.0}], ("ct", "clinical"), (0.9, 0.7), {}, {"ct": 1.0})
    data = SimpleNamespace(clinical_names=["age"])
    report = LatentShiftFigures().report(walks, data)
    assert report.tables["test_latent_shift.csv"] == [
        {"modality": "ct", "patients": 2, "share": 0.875},
        {"modality": "clinical", "patients": 1, "share": 0.25},
    ]
    assert not report.figures, "nothing was decoded"
    assert LatentShiftFigures().report(None, data) == Report()


PAIR = (picture(3, 12, 12).round(), picture(3, 12, 12))


@pytest.mark.parametrize(
    ("report", "collected", "names"),
    [
        (ReconstructionFigures(), [PAIR], {"reconstruction"}),
        (ReconstructionFigures(), [], set()),
        (RestorationFigures(), [Restored(*picture(3, 1, 6, 6), "noise, blur")], {"restoration"}),
        (TranslationFigures(), {"B": [picture(1, 6, 6)], "B as A": [picture(1, 6, 6)]}, {"translation"}),
        (TranslationFigures(), {}, set()),
        (
            LatentFigures(),
            Latents(("a", "b"), {"image": [picture(1, 6, 6)]}, picture(2, 5, 1, 6, 6), [-2, -1, 0, 1, 2], [0, 3]),
            {"reconstructions", "traversals"},
        ),
        (LatentFigures(), None, set()),
        (
            VAEFigures(images=1, steps=3),
            Traversed([(picture(6, 6), picture(6, 6))], ["direction 1"], [picture(3, 6, 6)]),
            {"reconstruction", "traversal"},
        ),
        (
            GradCAMFigures(modality="ct"),
            [Explained("a", 1, np.array([0.2, 0.8]), picture(1, 6, 6), {}, picture(6, 6))],
            {"gradcam_ct"},
        ),
        (GradCAMFigures(), [], set()),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, TestReport) else "",
)
def test_figures(report, collected, names):
    found = report.report(collected, SimpleNamespace(class_names=["no", "yes"]))
    assert {*found.figures} == names
    assert not found.metrics
    assert not found.tables
