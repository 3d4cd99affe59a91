import numpy as np
import pytest
from matplotlib.text import Text
from nibabel import Nifti1Image, as_closest_canonical

from medzoo.evaluation.figures import roc_figure
from medzoo.evaluation.figures.followup import forecasts, head
from medzoo.evaluation.figures.followup import patients as followup
from medzoo.evaluation.measures.expansion import ExpansionRule
from medzoo.evaluation.scores.followup_baselines import Forecast, comparison_table
from medzoo.evaluation.scores.forecasts import expansion_score, pit

SPACING = (5.0, 2.0, 2.5)  # z, y, x


def text_of(figure):
    figure.draw_without_rendering()
    return " ".join(text.get_text() for text in figure.findobj(Text))


@pytest.fixture
def patient():
    """A brain of 30 HU with a bleed on the patient's left in slices 2 and 3, the larger of which is 3."""
    ct = np.zeros((6, 40, 30))
    ct[:, 5:35, 4:26] = 30
    iph = np.zeros_like(ct)
    iph[2, 18:24, 8:11] = iph[3, 16:26, 7:12] = 1
    return np.where(iph > 0, 65, ct), iph


@pytest.fixture
def cohort():
    rng = np.random.default_rng(0)
    baseline = rng.gamma(3, 8, 30)
    truth = baseline * np.exp(rng.normal(0.1, 0.3, 30))
    return baseline[:, None] * np.exp(rng.normal(0.1, 0.3, (30, 16))), truth, baseline


def test_display_is_radiological():
    # A volume stored with x towards the right, y towards the front: index 0 is leftmost and rearmost.
    volume = as_closest_canonical(Nifti1Image(np.zeros((3, 4, 1), np.float32), np.eye(4)))
    assert volume.affine[0, 0] > 0
    assert volume.affine[1, 1] > 0
    right, front = np.zeros((2, 4, 3))  # (H, W) = (y, x)
    right[:, -1] = 1
    front[-1, :] = 1
    assert head.display_slice(right)[:, 0].all()  # the patient's right is on the left of the screen
    assert head.display_slice(front)[0].all()  # anterior is up


def test_slices_go_through_the_largest_area(patient):
    assert head.lesion_slices(patient[1]) == [4, 3, 2]
    assert head.lesion_slices(patient[1], 1) == [3]
    assert head.lesion_slices(np.zeros((6, 4, 4))) == [4, 3, 2]
    assert head.lesion_slices(np.eye(6)[5][:, None, None] * np.ones((6, 4, 4))) == [5, 4, 3]
    assert head.lesion_slices(np.ones((2, 4, 4))) == [1, 0]


def test_box_holds_the_brain(patient):
    rows, columns = head.brain_box(patient[0], margin=2)
    assert (rows, columns) == (slice(3, 37), slice(2, 28))
    assert patient[0][0][head.brain_box(np.zeros((1, 40, 30)))].shape == (40, 30)


@pytest.mark.parametrize("known", [True, False])
def test_patient(patient, known):
    ct, iph = patient
    truth = {"followup_ct": ct, "followup_iph": iph, "followup_ivh": 0 * iph, "followup_ml": 23.0} if known else {}
    volumes = np.array([19.0, 20.0, 21.0, 40.0])
    weights = np.array([0.1, 0.1, 0.1, 0.7])
    figure = followup.patient_figure(ct, iph, ct, iph / 2, volumes, 20.0, SPACING, weights=weights, **truth)
    shown = text_of(figure)
    assert "P(expansion) = 0.70" in shown
    assert "baseline, 20.0 mL" in shown
    assert "expansion from 26.0 mL" in shown
    assert f"forecast mean, {0.1 * 60 + 0.7 * 40:.1f} mL" in shown
    assert ("follow-up, 23.0 mL" in shown) == known == ("Follow-up" in shown)
    assert shown.count("2 cm") == (12 if known else 9)  # of 65 mm


def test_bleed_of_the_left_side_is_drawn_on_the_right(patient):
    ct, iph = patient
    figure = followup.patient_figure(ct, iph, ct, iph, np.ones(3), 1.0, SPACING)
    baseline = next(axes for axes in figure.axes if axes.images and axes.collections)
    line = np.concatenate([path.vertices for path in baseline.collections[0].get_paths()])
    assert line[:, 0].mean() > np.mean(baseline.get_xlim())
    sides = {text.get_text(): text.get_position()[0] for text in baseline.texts}
    assert sides["L"] > 0.5 > sides["R"]


def test_patient_without_bleed_or_brain_still_has_a_figure():
    empty = np.zeros((2, 8, 8))
    figure = followup.patient_figure(empty, empty, empty, empty, np.zeros(4), 0.0, SPACING)
    assert "P(expansion) = 0.00" in text_of(figure)


def test_counterfactual_has_a_column_for_each_value(patient):
    ct, iph = patient
    volumes = np.array([[20.0, 40], [20, 30], [20, 22]])
    probability = np.stack([iph, iph / 2, iph / 4])
    figure = followup.counterfactual_figure(
        "Onset to CT [h]", [1, 6, 12.5], ct, iph, probability, volumes, 20.0, SPACING, true_means_ml=[31, 26, 21.5]
    )
    shown = text_of(figure)
    for expected in ("Onset to CT [h]", "12.5", "forecast mean, 25.0 mL", "true mean, 21.5 mL", "P(expansion) = 0.50"):
        assert expected in shown
    limits = {axes.get_ylim() for axes in figure.axes if axes.get_xlabel() == "IPH volume [mL]"}
    assert len(limits) == 1


def test_reconstruction_reports_the_error_inside_the_brain(patient):
    ct, iph = patient
    original = np.stack([ct / 100, iph, 0 * iph], 1)
    reconstruction = original + 0.05 * (original[:, :1] > 0) * np.array([1, 0, 0])[:, None, None]
    figure = followup.reconstruction_figure(original[2:4], reconstruction[2:4])
    assert text_of(figure).count("mean 5.0 HU") == 2


def test_pit_counts_every_patient(cohort):
    samples, truth, _ = cohort
    axes = forecasts.pit_figure(pit(samples, truth)).axes[0]
    assert sum(bar.get_height() for bar in axes.containers[0]) == 30


def test_forecasts_mark_who_expanded(cohort):
    samples, truth, baseline = cohort
    axes = forecasts.forecast_figure(samples, truth, baseline).axes[0]
    drawn = {line.get_label(): sorted(line.get_ydata()) for line in axes.lines}
    expanded = ExpansionRule()(baseline, truth)
    assert drawn["real, expanded"] == sorted(truth[expanded])
    assert drawn["real, stable"] == sorted(truth[~expanded])


def test_bars_are_the_table(cohort):
    samples, truth, baseline = cohort
    no_change = Forecast(baseline[:, None])
    rows = comparison_table({"ours": Forecast(samples)}, {"no change": no_change}, truth, baseline, resamples=9)
    axes = forecasts.baseline_figure(rows).axes[0]
    assert [bar.get_width() for bar in axes.containers[0]] == [row["crps"] for row in rows]
    assert f"{rows[0]['skill']:+.0%}" in text_of(axes.figure)


def test_roc_of_expansion(cohort):
    samples, truth, baseline = cohort
    expanded = ExpansionRule()(baseline, truth)
    scores = {"sampled": expansion_score(samples, baseline), "ideal": truth / baseline}
    shown = text_of(roc_figure(expanded, scores, resamples=20, outcome="Expansion"))
    assert "ideal: " in shown
    assert f"{expanded.sum()} of 30" in shown
    assert "only one class" in text_of(roc_figure(np.zeros(30, bool), scores))
