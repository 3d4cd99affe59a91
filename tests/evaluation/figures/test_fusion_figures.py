"""Figures of a fusion show what they are given."""

import numpy as np

from medzoo.evaluation.figures import importance_figure, shift_figure, subsets_figure, weights_figure


def test_weights_are_drawn_in_order_of_the_score_and_absent_ones_stay_white():
    weights = np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
    present = np.array([[True, True], [True, False], [True, True]])
    figure = weights_figure(weights, present, np.array([0.9, 0.1, 0.5]), ["ct", "genes"])
    line, grid = figure.axes[0].lines[0], figure.axes[1].collections[0].get_array()
    np.testing.assert_allclose(line.get_ydata(), [0.1, 0.5, 0.9])
    np.testing.assert_allclose(grid.reshape(2, 3)[0], [1.0, 0.5, 0.2])
    assert grid.mask.reshape(2, 3).tolist() == [[False] * 3, [True, False, False]]


def test_importance_has_a_panel_for_each_measure_that_is_known():
    rows = [{"modality": "ct", "a": 0.1, "b": ""}, {"modality": "genes", "a": 0.3, "b": ""}]
    figure = importance_figure(rows, {"lost": "a", "true": "b"})
    (panel,) = figure.axes
    assert [bar.get_width() for bar in panel.patches] == [0.1, 0.3]
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["ct", "genes"]


def test_subsets_are_drawn_from_the_best_to_the_worst():
    bounds = {"auc_low": 0.5, "auc_high": 0.9}
    rows = [{"modalities": ("a",), "auc": 0.6, **bounds}, {"modalities": ("a", "b"), "auc": 0.8, **bounds}]
    figure = subsets_figure(rows, ["a", "b"], 0.8)
    dots = figure.axes[0].containers[0].lines[0]
    assert dots.get_ydata().tolist() == [0.8, 0.6]
    used = [line.get_xdata().tolist() for line in figure.axes[1].lines[1::2]]
    assert used == [[0, 1], [0]]


def test_shift_shows_images_the_largest_changes_and_shares():
    volume = np.random.default_rng(0).random((1, 4, 6, 6))
    change = np.arange(20.0) - 9
    columns = [f"gene {k}" for k in range(20)]
    figure = shift_figure(
        {"ct": (volume, volume / 2, volume)}, {"genes": (columns, change)}, (0.9, 0.7), {"ct": 0.25, "genes": 0.75}
    )
    texts = [label.get_text() for axes in figure.findobj(lambda part: hasattr(part, "get_yticklabels"))
             for label in axes.get_yticklabels()]  # fmt: skip
    assert "gene 19" in texts
    assert "gene 9" not in texts, "what does not change is left out"
    assert "0.90 to 0.70" in figure.get_suptitle()
