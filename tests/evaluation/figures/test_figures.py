import numpy as np
import pytest

from medzoo.evaluation import figures


@pytest.fixture(params=[2, 4])
def predicted(request):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, request.param, 60)
    prob = rng.dirichlet(np.ones(request.param), 60)
    return labels, prob, [f"class {k}" for k in range(request.param)]


def text_of(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda part: hasattr(part, "get_text")))


def test_confusion_matrix_shows_the_counts(predicted):
    labels, prob, names = predicted
    shown = text_of(figures.confusion_figure(labels, prob, names))
    assert f"{((labels == 0) & (prob.argmax(1) == 1)).sum()}\n" in shown
    assert "n = 60" in shown


def test_roc_has_a_curve_for_each_class_or_one_for_two(predicted):
    labels, prob, names = predicted
    axes = figures.class_roc_figure(labels, prob, names).axes[0]
    assert len(axes.get_legend().get_texts()) == (1 if len(names) == 2 else len(names))


def test_calibration_of_true_probabilities_lies_on_the_diagonal():
    rng = np.random.default_rng(0)
    p = rng.uniform(size=40_000)
    labels = (rng.uniform(size=40_000) < p).astype(int)
    figure = figures.calibration_figure(labels, np.stack([1 - p, p], 1), ["no", "yes"])
    points = figure.axes[0].containers[0].lines[0].get_xydata()
    assert np.abs(points[:, 0] - points[:, 1]).max() < 0.02


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 6, 8, 8)])
def test_mistakes_are_shown_with_what_was_said(shape):
    images = np.random.default_rng(0).normal(size=(7, *shape))
    labels, prob = np.zeros(7, int), np.tile([0.2, 0.8], (7, 1))
    figure = figures.mistakes_figure(images, labels, prob, ["good", "bad"], wrong=9, total=50)
    assert sum(len(axes.images) for axes in figure.axes) == 7
    assert "predicted: bad 80%" in text_of(figure)
    assert "9 wrong among 50" in text_of(figure)


def test_training_and_validation_of_a_quantity_share_a_panel():
    curve = ([0, 1], [2, 1])
    figure = figures.training_figure(
        {"train/loss": curve, "val/loss": curve, "train/loss_step": curve, "val/auc": curve}
    )
    assert [len(axes.lines) for axes in figure.axes] == [3, 1]
    assert [axes.get_title() for axes in figure.axes] == ["loss", "auc"]


def test_sweeps_show_mean_and_spread():
    axes = figures.sweep_figure(["a", "b"], {"test/auc": [[0.5, 0.7], [0.9]]}).axes[0]
    means = [container.lines[0].get_xdata()[0] for container in axes.containers]
    assert means == pytest.approx([0.6, 0.9])


def test_representations_are_projected_and_the_last_class_lies_to_the_right():
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    features = rng.normal(size=(60, 4)) - 3 * label[:, None]
    drawn = figures.projection_figure({"HCR": features, "both": features[:, :1]}, label, ["a", "b"])
    assert len(drawn.axes) == 4
    bars = list(drawn.axes[2].containers)
    middle = [np.average([bar.get_x() for bar in each], weights=[bar.get_height() for bar in each]) for each in bars]
    assert middle[0] < middle[1]
    figures.projection_figure({"still": np.zeros((60, 2))}, label, ["a", "b"])
    figures.projection_figure({"three": features}, np.arange(60) % 3, ["a", "b", "c"])


def test_discriminants_of_noise_do_not_tell_classes_apart():
    label = np.arange(80) % 2
    noise = np.random.default_rng(0).normal(size=(80, 30))  # fitted to the same cases: an area of 0.9
    drawn = figures.projection_figure({"noise": noise}, label, ["a", "b"])
    low, high = ([bar.get_height() for bar in bars] for bars in drawn.axes[1].containers)
    below = np.cumsum(low) / np.sum(low)  # of the first class, up to each bin
    area = np.sum(np.array(high) / np.sum(high) * (below - np.array(low) / np.sum(low) / 2))
    assert abs(area - 0.5) < 0.15


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 6, 8, 8)])
def test_images_and_traversals_take_volumes_and_colour(shape):
    images = np.random.default_rng(0).normal(size=(2, 5, *shape))
    drawn = figures.traversal_figure(images, [-2, -1, 0, 1, 2], ["latent 0", "latent 7"], "title")
    assert [axes.get_title() for axes in drawn.axes[:5]] == ["-2 sd", "-1 sd", "+0 sd", "+1 sd", "+2 sd"]
    drawn = figures.pairs_figure({"image": images[0], "reconstruction": images[1]})
    assert len(drawn.axes) == 10


def test_correlations_and_areas_are_drawn_as_they_are():
    x = np.random.default_rng(0).normal(size=(50, 3))
    drawn = figures.correlation_figure(x, x[:, :2], ["a", "b", "c"], ("HCR", "DLR"))
    table = np.asarray(drawn.axes[0].images[0].get_array())
    assert [table[0, 0], table[1, 1]] == pytest.approx([1, 1])
    rows = [{"name": "HCR", "auc": 0.7, "auc_low": 0.6, "auc_high": 0.8}]
    assert figures.areas_figure(rows).axes[0].lines[1].get_xdata() == pytest.approx([0.7])


def test_sweeps_have_a_panel_for_each_metric():
    drawn = figures.sweep_figure(["a", "b"], {"test/auc": [[0.5, 0.7], [0.9]], "test/cka": [[0.1], []]})
    assert [axes.get_xlabel().split()[0] for axes in drawn.axes] == ["test/auc", "test/cka"]
