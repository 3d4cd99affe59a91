"""Forest and SVM chosen by cross-validation, and their plain arrays against the scikit-learn objects."""

import logging

import numpy as np
import pytest
import torch

from medzoo.evaluation.regression.learners import tuned
from medzoo.evaluation.regression.learners.tuned import fit_learners
from medzoo.evaluation.scores.representations import auc_of, fit_probe
from medzoo.models.fitted import LearnedProbes


def table(cases, classes, seed=0):
    """A class is a ring around 0: no linear rule tells it from the others."""
    rng = np.random.default_rng(seed)
    label = np.arange(cases) % classes
    angle, radius = rng.uniform(0, 2 * np.pi, cases), 1 + label + rng.normal(scale=0.25, size=cases)
    return np.stack([radius * np.cos(angle), 100 * radius * np.sin(angle), rng.normal(size=cases)], 1), label


@pytest.mark.parametrize("classes", [2, 3])
def test_plain_arrays_say_what_scikit_learn_says(classes):
    x, label = table(150, classes)
    sets = ([0], [1, 2], range(3))
    made = [fit_learners(x[:, [*chosen]], label, classes) for chosen in sets]
    part = LearnedProbes(sets)
    assert not part.fitted
    part.take([one.arrays for one in made])
    new = table(60, classes, seed=1)[0] * np.linspace(0.1, 3, 60)[:, None]
    said = part(torch.from_numpy(new)).numpy()
    models = [*(one.forest for one in made), *(one.machine for one in made)]
    assert said.shape == (60, 6, classes)
    for index, (model, chosen) in enumerate(zip(models, sets * 2, strict=True)):
        assert said[:, index] == pytest.approx(model.predict_proba(new[:, [*chosen]]), abs=1e-9)

    other = LearnedProbes(sets)
    other.load_state_dict(part.state_dict())
    assert other.fitted
    assert np.array_equal(other.bfloat16()(torch.from_numpy(new)).numpy(), said), "no precision of a run rounds them"


@pytest.mark.parametrize("classes", [2, 3])
def test_they_see_what_a_regression_does_not(classes):
    (x, label), (new, truth) = table(200, classes), table(200, classes, seed=1)
    made, (weight, bias) = fit_learners(x, label, classes), fit_probe(x / x.std(0), label, classes)
    plain = auc_of(truth, new / x.std(0) @ weight.T + bias)
    areas = [auc_of(truth, model.predict_proba(new)) for model in (made.forest, made.machine)]
    assert plain < 0.65
    assert min(areas) > 0.9


def test_settings_are_chosen_by_the_folds(monkeypatch):
    x, label = table(150, 2)
    monkeypatch.setattr(tuned, "WIDTHS", (1e-6, 1.0))  # the narrowest sees nothing of the ring
    monkeypatch.setattr(tuned, "LEAVES", (1, 50))
    made = fit_learners(x, label, 2)
    assert made.machine_settings["gamma"] == pytest.approx(1 / 3)
    assert made.forest_settings == {"min_samples_leaf": 1}
    assert "min_samples_leaf 1" in str(made)


def test_too_few_cases_are_not_learnt_from(caplog):
    x, label = table(40, 2)
    label[3:] = 0
    assert fit_learners(x, label, 2) is None
    assert "class 1 has 1 training cases" in caplog.text
    assert fit_learners(x, np.arange(40) % 2, 3) is None, "a class without cases"


def test_of_many_cases_some_are_drawn_by_class(monkeypatch, caplog):
    monkeypatch.setattr(tuned, "MOST", 60)
    x, label = table(300, 3)
    with caplog.at_level(logging.WARNING):
        made = fit_learners(x, label, 3)
    assert "60 of the 300" in caplog.text
    assert made.forest.estimators_[0].tree_.weighted_n_node_samples[0] == pytest.approx(60)
    assert made.machine.steps[0][1].n_samples_seen_ == 60
