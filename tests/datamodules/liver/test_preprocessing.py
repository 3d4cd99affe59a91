import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from medzoo.datamodules.io import is_missing
from medzoo.datamodules.liver.preprocessing import fit_clinical, fit_genes, scaled_clinical, scaled_genes
from medzoo.datamodules.outcomes import check_predictors
from medzoo.evaluation.scores.diagnostic import delong
from medzoo.models import TableEncoder
from tests.conftest import REAL_DATA


def hcc_survival():
    """The UCI table: (165, 49) with NaN, and whether patients died within a year."""
    file = REAL_DATA / "liver" / "hcc_survival_uci" / "hcc-data.txt"
    if not file.is_file():
        pytest.skip(f"no real table {file}; name the folder above `liver` with MEDZOO_REAL_DATA")
    header, *lines = [line.split(",") for line in file.read_text().splitlines() if line.strip()]
    assert len(header) == 50
    check_predictors([name.strip() for name in header[:-1]])
    values = np.array([[np.nan if is_missing(cell) else float(cell) for cell in line] for line in lines])
    return values[:, :-1], values[:, -1] == 0, header[:-1]


def clinical_branch(rows, positive):
    """The encoder of tables with a head, trained on all rows at once: a function from rows to scores."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(TableEncoder(features=rows.shape[1], dim=32, dropout=0.3), torch.nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=0.5)
    for _ in range(80):
        said = net(torch.from_numpy(rows))[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(said, torch.from_numpy(positive).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return lambda others: net.eval()(torch.from_numpy(others))[:, 0].detach().numpy()


def regression(rows, positive):
    return LogisticRegression(C=0.05, max_iter=2000).fit(rows, positive).decision_function


def test_the_real_hcc_table_goes_through_imputation_into_the_clinical_branch_and_a_regression():
    x, died, names = hcc_survival()
    assert x.shape == (165, 49)
    assert np.isnan(x).mean() == pytest.approx(0.102, abs=0.001)
    scores = {clinical_branch: np.zeros(len(x)), regression: np.zeros(len(x))}
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(x, died):
        learnt = fit_clinical(x[train], names)
        for fit, score in scores.items():
            score[test] = fit(scaled_clinical(learnt, x[train]), died[train])(scaled_clinical(learnt, x[test]))
    for fit, score in scores.items():
        said = delong(died, score)
        print(f"HCC survival, {fit.__name__}: AUC {said['auc']:.3f} [{said['auc_low']:.3f}, {said['auc_high']:.3f}]")
        assert said["auc"] > 0.70
        assert said["auc_low"] > 0.60
    with pytest.raises(ValueError, match="1_survives_0_dies"):
        check_predictors([*names, "1_survives_0_dies"])


def test_genes_are_logarithms_of_one_more():
    train = np.array([[0, 1, 5.0], [7, 1, 5.0]])
    learnt = fit_genes(train, ["A", "B", "C"], ["A", "C"])
    assert learnt["mean"] == pytest.approx([1.5, np.log2(6)])
    assert learnt["scale"] == pytest.approx([1.5, 1])
    assert scaled_genes(learnt, np.array([[31.0, 11]]), ["A", "C"]) == pytest.approx(np.array([[7 / 3, 1]]))


def test_of_many_absent_genes_five_are_named():
    names = list("ABCDEFG")
    learnt = fit_genes(np.arange(14.0).reshape(2, 7), names, names)
    with pytest.raises(ValueError, match=r"has no gene A, B, C, D, E, \.\.\., which the training had"):
        scaled_genes(learnt, np.ones((1, 1)), ["H"])
    with pytest.raises(ValueError, match=r"has no gene A, B, C, D, E, \.\.\.; correct datamodule\.genes"):
        fit_genes(np.ones((2, 1)), ["H"], names)
