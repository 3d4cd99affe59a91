"""Comparators from plain arrays against the scikit-learn objects that they were taken from."""

import numpy as np
import pytest
import torch

from medzoo.evaluation.regression.learners.comparators import learners, regression
from medzoo.evaluation.regression.learners.plain import plain_filler, plain_model, plain_regression
from medzoo.models.fitted import Equation, Filled, Perceptron, SupportVectors, Trees

KINDS = {"SVM": SupportVectors, "MLP": Perceptron}  # the others are trees
NAMES = ["a", "b", "c"]


def table(cases, seed, gaps=0.0):
    rng = np.random.default_rng(seed)
    positive = rng.uniform(size=cases) < 0.3
    x = rng.normal(size=(cases, 3)) * [1, 10, 0.01] + positive[:, None] * [1, 5, 0]
    x[rng.uniform(size=x.shape) < gaps] = np.nan
    return x, positive


@pytest.mark.parametrize("gaps", [0.0, 0.15])
@pytest.mark.parametrize("name", list(learners(NAMES)))
def test_a_learner_in_plain_arrays_says_what_scikit_learn_says(name, gaps):
    x, positive = table(150, 0, gaps)
    made = learners(NAMES)[name](x, positive)
    new = np.concatenate([x, table(80, 1, 0.2)[0], 1e3 * table(20, 2)[0]])
    part = Filled(KINDS.get(name, Trees)())
    part.fill.take(**plain_filler(made.fill))
    part.model.take(**plain_model(made.model))
    said = part(torch.from_numpy(new)).numpy()
    assert np.abs(said - made(new)).max() < (1e-6 if name == "XGBoost" else 1e-9)  # XGBoost adds in single precision

    other = Filled(KINDS.get(name, Trees)())
    other.load_state_dict(part.state_dict())
    assert np.array_equal(other(torch.from_numpy(new)).numpy(), said)
    assert np.array_equal(other.bfloat16()(torch.from_numpy(new)).numpy(), said), "no precision of a run rounds it"


@pytest.mark.parametrize(("gaps", "draws"), [(0.0, 0), (0.1, 3)])
def test_a_regression_in_plain_arrays_says_what_it_said(gaps, draws):
    x, positive = table(200, 0, gaps)
    made = regression(NAMES, draws)(x, positive)
    part = Filled(Equation())
    if draws:
        part.fill.take(**plain_filler(made.fill))
    part.model.take(**plain_regression(made))
    assert np.abs(part(torch.from_numpy(x)).numpy() - made(x)).max() < 1e-12


def test_a_model_without_a_plain_form_is_refused():
    with pytest.raises(ValueError, match="no plain form"):
        plain_model(object())
