"""The report of a fusion: tables that can be counted by hand, from a small run on phantoms of tables."""

import csv
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from medzoo.callbacks import FusionReport, LatentShiftFigures
from medzoo.lightning_modules import FusionModule
from medzoo.models import CrossFusion, TableDecoder, TableEncoder

NAMES = ("clinical", "genomics")
ODDS = np.array([2.0, -1.0])


class Loader(list):
    """Batches in a list."""


class Data(L.LightningDataModule):
    """Two tables of 4 columns, the first of which adds to the log-odds of the label."""

    phantom, class_names, task = True, ["no", "yes"], "binary"
    clinical_names, gene_names = list("abcd"), list("efgh")

    def __init__(self, count=60):
        super().__init__()
        self.rows = {name: self.draw(count, seed) for seed, name in enumerate(("train", "test"))}

    def draw(self, count, seed):
        rng = np.random.default_rng(seed)
        tables = {name: rng.normal(size=(count, 4)).astype(np.float32) for name in NAMES}
        present = rng.random((count, 2)) > 0.3
        present[:, 0] |= ~present.any(1)
        odds = sum(weight * tables[name][:, 0] for weight, name in zip(ODDS, NAMES, strict=True))
        label = (rng.random(count) < 1 / (1 + np.exp(-odds))).astype(int)
        return {"id": [f"{seed}_{k:03d}" for k in range(count)], "present": present, "label": label, **tables}

    def table(self, split):
        return self.rows[split]

    def true_log_odds(self, ids, present):
        rows = self.rows["test"]
        order = [rows["id"].index(name) for name in ids]
        parts = np.stack([weight * rows[name][order, 0] for weight, name in zip(ODDS, NAMES, strict=True)], 1)
        return (parts * present).sum(1)

    def test_dataloader(self):
        rows = self.rows["test"]
        halves = [slice(0, 30), slice(30, None)]
        return Loader([{k: v[h] if k == "id" else torch.from_numpy(v[h]) for k, v in rows.items()} for h in halves])


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    torch.manual_seed(0)
    run = tmp_path_factory.mktemp("fusion")
    sizes = {"modalities": NAMES, "num_classes": 2, "dim": 8}
    module = FusionModule(
        {name: TableEncoder(features=4, dim=8, dropout=0.0) for name in NAMES},
        CrossFusion(**sizes),
        torch.optim.Adam,
        decoders={name: TableDecoder(dim=8, features=4) for name in NAMES},
        **sizes,
    )
    data = Data()
    module.finalize(data)
    callbacks = [FusionReport(), LatentShiftFigures(patients=5)]
    options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = L.Trainer(default_root_dir=run, callbacks=callbacks, **options)
    (metrics,) = trainer.test(module, data, verbose=False)
    return SimpleNamespace(run=run, module=module, data=data, metrics=metrics)


def rows(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def said(tested, present):
    data = tested.data.rows["test"]
    inputs = {name: torch.from_numpy(data[name]) for name in NAMES}
    with torch.no_grad():
        output, weights, _ = tested.module.eval().net(inputs, torch.from_numpy(present))
    return output[:, :2].softmax(1)[:, 1].numpy(), weights.numpy()


def test_areas_are_those_of_the_fusion_and_of_each_modality_with_the_absent_at_the_common_rate(tested):
    data, train = tested.data.rows["test"], tested.data.rows["train"]
    fused, _ = said(tested, data["present"])
    found = {row["name"]: float(row["auc"]) for row in rows(tested.run / "test_fusion.csv")}
    assert found["fusion"] == pytest.approx(roc_auc_score(data["label"], fused), abs=1e-6)
    for index, name in enumerate(NAMES):
        net = tested.module.net
        with torch.no_grad():
            own = net.heads[name](net.encoders[name](torch.from_numpy(data[name])))[:, :2].softmax(1)[:, 1].numpy()
        score = np.where(data["present"][:, index], own, train["label"].mean())
        assert found[name] == pytest.approx(roc_auc_score(data["label"], score), abs=1e-6)
        assert tested.metrics[f"test/auc_{name}"] == pytest.approx(found[name])
    assert tested.metrics["test/best_unimodal_auc"] == pytest.approx(max(found[name] for name in NAMES))


def test_evidence_is_summed_and_averaged_without_training(tested):
    data, net = tested.data.rows["test"], tested.module.net
    share = tested.data.rows["train"]["label"].mean()
    with torch.no_grad():
        heads = [net.heads[name](net.encoders[name](torch.from_numpy(data[name])))[:, :2] for name in NAMES]
    odds = np.stack([(each[:, 1] - each[:, 0]).numpy() for each in heads], 1)
    prior = np.log(share / (1 - share))
    summed = np.where(data["present"], odds - prior, 0).sum(1)
    mean = np.where(data["present"], odds, 0).sum(1) / data["present"].sum(1)
    assert tested.metrics["test/sum_auc"] == pytest.approx(roc_auc_score(data["label"], summed), abs=1e-6)
    assert tested.metrics["test/mean_auc"] == pytest.approx(roc_auc_score(data["label"], mean), abs=1e-6)


def test_the_best_score_there_is_comes_from_what_is_present(tested):
    data = tested.data.rows["test"]
    best = sum(w * data[n][:, 0] * data["present"][:, m] for m, (w, n) in enumerate(zip(ODDS, NAMES, strict=True)))
    assert tested.metrics["test/bayes_auc"] == pytest.approx(roc_auc_score(data["label"], best), abs=1e-6)


def test_importance_is_what_changes_where_a_modality_is_withheld(tested):
    data = tested.data.rows["test"]
    present = data["present"]
    both = present.all(1)
    for index, row in enumerate(rows(tested.run / "test_modalities.csv")):
        less = present.copy()
        less[both, index] = False
        whole, without = said(tested, present)[0], said(tested, less)[0]
        change = np.abs(np.log(whole / (1 - whole)) - np.log(without / (1 - without)))[both].mean()
        assert float(row["logit_change"]) == pytest.approx(change, rel=1e-3)
        lost = roc_auc_score(data["label"], whole) - roc_auc_score(data["label"], without)
        assert float(row["auc_lost"]) == pytest.approx(lost, abs=1e-6)
        true = np.abs(ODDS[index] * data[NAMES[index]][both, 0]).mean()
        assert float(row["true_change"]) == pytest.approx(true, rel=1e-4)


def test_every_subset_and_every_weight_is_written(tested):
    data = tested.data.rows["test"]
    subsets = {row["modalities"]: row for row in rows(tested.run / "test_subsets.csv")}
    assert {*subsets} == {"clinical", "genomics", "clinical genomics"}
    only = data["present"] & np.array([True, False])
    has = only[:, 0]
    score = said(tested, np.where(has[:, None], only, data["present"]))[0]
    assert float(subsets["clinical"]["auc"]) == pytest.approx(roc_auc_score(data["label"][has], score[has]), abs=1e-6)
    assert int(subsets["clinical"]["patients"]) == has.sum()
    weights = said(tested, data["present"])[1]
    for row, own, there in zip(rows(tested.run / "predictions" / "weights.csv"), weights, data["present"], strict=True):
        for index, name in enumerate(NAMES):
            assert float(row[name] or 0) == pytest.approx(own[index] * there[index], abs=1e-5)


def test_latent_shift_shares_and_figures_are_there(tested):
    shares = rows(tested.run / "test_latent_shift.csv")
    assert [row["modality"] for row in shares] == [*NAMES]
    assert all(0 <= float(row["share"]) <= 1 for row in shares)
    drawn = {file.stem for file in (tested.run / "figures").glob("*.png")}
    assert drawn == {"fusion_areas", "fusion_importance", "fusion_subsets", "fusion_weights", "latent_shift"}
