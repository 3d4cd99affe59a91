import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from medzoo.datamodules.followup.clinical import CLINICAL, scale_clinical
from medzoo.datamodules.phantoms.head import causal
from medzoo.evaluation.regression.risk import expand, fit_risk, risk_of


def cohort(count, seed):
    columns = causal.draw_clinical(np.random.default_rng(seed), count)
    values = np.stack([columns[name] for name in CLINICAL], axis=1)
    truth = causal.expansion_probability(columns)
    label = (np.random.default_rng(seed + 1).uniform(size=count) < truth).astype(int)
    return scale_clinical(values).astype(float), label, truth


def said(model, clinical):
    weight, bias, fill = model
    return expit(expand(clinical, fill) @ weight + bias)


def test_the_risk_model_comes_near_the_causal_model():
    model = fit_risk(*cohort(300, 0)[:2])
    clinical, label, truth = cohort(4000, 7)
    assert roc_auc_score(label, truth) - roc_auc_score(label, said(model, clinical)) < 0.04
    assert said(model, clinical).mean() == pytest.approx(truth.mean(), abs=0.05)


def test_unknown_values_change_the_forecast_less_than_wrong_ones():
    clinical, label, _ = cohort(500, 0)
    clinical[::7, 0] = np.nan
    model = fit_risk(clinical, label)
    patient = cohort(1, 3)[0]
    early, late, unknown = (np.array([[value, *patient[0, 1:]]]) for value in (0.03, 0.9, np.nan))
    assert said(model, late)[0] < said(model, unknown)[0] < said(model, early)[0]


def test_one_class_has_no_risk_model():
    with pytest.raises(ValueError, match="with and without"):
        fit_risk(np.zeros((4, 7)), np.ones(4))


def test_a_variable_that_never_varied_says_nothing_of_other_values():
    rng = np.random.default_rng(0)
    clinical = np.c_[rng.uniform(size=200), np.full(200, 0.5), np.full(200, 0.1)]
    label = (rng.uniform(size=200) < clinical[:, 0]).astype(int)
    weight, bias, fill = fit_risk(clinical, label)
    changed = clinical.copy()
    changed[:, 1:] = 0.9
    assert np.allclose(risk_of(changed, weight, bias, fill), risk_of(clinical, weight, bias, fill))
