"""Stages side by side: tables of metrics, scores of the same cases, and what training cost."""

import csv
import json
import time

import lightning as L
import numpy as np
import pytest
import torch

from medzoo.evaluation.scores.diagnostic import delong, delong_test
from medzoo.runtime.comparisons import CompareMetrics, CompareRepresentations, CompareScores
from medzoo.runtime.output.run_folder import read_csv
from medzoo.runtime.training.costs.cost import Cost


def stage(run, name, metrics, scores=()):
    (run / name / "predictions").mkdir(parents=True)
    (run / name / "metrics.json").write_text(json.dumps(metrics))
    if len(scores):
        rows = [{"id": f"p{n}", "score": f"{score:.5f}", "label": int(n < 20)} for n, score in enumerate(scores)]
        with (run / name / "predictions" / "patients.csv").open("w") as opened:
            writer = csv.DictWriter(opened, ["id", "score", "label"])
            writer.writeheader()
            writer.writerows(rows)


def test_metrics_of_stages_stand_in_one_table(tmp_path):
    stage(tmp_path, "fold_0", {"test/dice": 0.91234, "model/parameters": 332070.0})
    stage(tmp_path, "nnunet", {"test/dice": None})
    stages = {"U-Mamba": "fold_0", "nnU-Net": "nnunet", "UNETR++": "left_out"}
    CompareMetrics(stages, {"Dice": "test/dice", "parameters": "model/parameters"})(tmp_path, "networks")
    assert read_csv(tmp_path / "test_networks.csv") == [
        {"networks": "U-Mamba", "Dice": "0.9123", "parameters": "332070"},
        {"networks": "nnU-Net", "Dice": "", "parameters": ""},
    ]


def test_scores_of_stages_are_compared_on_the_same_cases(tmp_path):
    rng = np.random.default_rng(0)
    truth = np.arange(60) < 20
    scores = {name: (truth * gain + rng.normal(size=60)).round(5) for name, gain in (("a", 0.5), ("b", 2.0))}
    for name, values in scores.items():
        stage(tmp_path, name, {"test/patient_threshold": 0.5}, values)
    CompareScores({"plain": "a", "better": "b", "none": "left_out"})(tmp_path, "balances")
    plain, better = read_csv(tmp_path / "test_balances.csv")
    area = delong(truth, scores["b"])
    assert better["AUC (95% CI)"] == f"{area['auc']:.3f} ({area['auc_low']:.3f} to {area['auc_high']:.3f})"
    assert (plain["p against plain"], better["p against plain"]) == (
        "", f"{delong_test(truth, scores['b'], scores['a'])['p']:.3f}",
    )  # fmt: skip
    assert better["sensitivity (95% CI)"].startswith(f"{(scores['b'][:20] >= 0.5).mean():.3f} (")
    assert (tmp_path / "figures" / "balances_roc.png").is_file()
    assert not (tmp_path / "figures" / "balances_decision.png").exists(), "nothing was calibrated"
    assert (better["Brier, calibrated"], better["cases"], better["without image"]) == ("", "60", "0")
    CompareScores({"none": "left_out"})(tmp_path / "empty", "balances")
    assert not (tmp_path / "empty").exists()
    with pytest.raises(ValueError, match="reference=c: expected one of plain"):
        CompareScores({"plain": "a"}, reference="c")


def test_calibrated_probabilities_cases_without_image_and_steps_are_told(tmp_path):
    rng = np.random.default_rng(1)
    label = np.arange(40) < 12
    for name, steps in (("a", 400), ("b", 400)):
        score = rng.uniform(0.1, 0.9, 40).round(4)
        score[:2] = 0
        stage(tmp_path, name, {"test/patient_threshold": 0.5, "fit/steps": steps})
        with (tmp_path / name / "predictions" / "patients.csv").open("w") as opened:
            writer = csv.writer(opened)
            writer.writerow(["id", "score", "label", "probability", "without_image"])
            writer.writerows([f"p{n:02d}", score[n], int(label[n]), score[n] / 2, int(n < 2)] for n in range(40))
    CompareScores({"plain": "a", "other": "b"})(tmp_path, "balances")
    _, row = read_csv(tmp_path / "test_balances.csv")
    assert float(row["Brier, calibrated"]) == pytest.approx(np.mean((score / 2 - label) ** 2), abs=5e-4)
    assert float(row["Brier of scores"]) == pytest.approx(np.mean((score - label) ** 2), abs=5e-4)
    assert (row["cases"], row["without image"], row["steps"]) == ("40", "2", "400")
    assert (tmp_path / "figures" / "balances_decision.png").is_file()


def predictions(run, stage, file, rows):
    (run / stage / "predictions").mkdir(parents=True, exist_ok=True)
    with (run / stage / "predictions" / file).open("w") as opened:
        writer = csv.DictWriter(opened, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("compare", [CompareScores, CompareRepresentations])
def test_cases_that_a_stage_lacks_are_left_out_aloud_whatever_the_order(tmp_path, caplog, compare):
    rng = np.random.default_rng(2)
    score = rng.uniform(size=40).round(4)
    file = "patients.csv" if compare is CompareScores else "representations.csv"

    def row(case, label=None):
        own = {"score": score[case], "HCR/0": 1 - score[case], "HCR/1": score[case]}
        return {"id": f"p{case:02d}", "label": int(case % 3 == 0) if label is None else label, **own}

    predictions(tmp_path, "a", file, [row(case) for case in range(40)])
    predictions(tmp_path, "b", file, [row(case) for case in range(36, -1, -1)])
    compare({"plain": "a", "other": "b"})(tmp_path, "table")
    assert "3 of 40 cases" in caplog.text
    assert "p37, p38, p39" in caplog.text
    rows = read_csv(tmp_path / "test_table.csv")
    if compare is CompareScores:
        assert [each["cases"] for each in rows] == ["37", "37"]
        assert rows[0]["AUC (95% CI)"] == rows[1]["AUC (95% CI)"]
    else:
        assert len(rows) == 1, "the same probabilities, in whatever order, are one row"

    predictions(tmp_path, "b", file, [row(case, 0) for case in range(36)])
    with pytest.raises(ValueError, match="p00: its label differs between plain, other"):
        compare({"plain": "a", "other": "b"})(tmp_path, "table")
    predictions(tmp_path, "b", file, [{**row(0), "id": "other"}])
    with pytest.raises(ValueError, match="no case is in"):
        compare({"plain": "a", "other": "b"})(tmp_path, "table")


class Slow(L.LightningModule):
    """Holds 80 MB during a step that takes 20 ms."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def training_step(self, batch, index):
        held = torch.ones(20_000_000)
        torch.linalg.eigvals(torch.rand(150, 150))
        return self.weight * held.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.0)


def test_training_costs_are_measured(tmp_path):
    def measure(module):
        cost = Cost()
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = L.Trainer(
            max_steps=4,
            accelerator="cpu",
            default_root_dir=tmp_path,
            callbacks=[cost],
            enable_model_summary=False,
            **quiet,
        )
        trainer.fit(module, torch.utils.data.DataLoader(range(4)))
        return cost.metrics

    assert Cost().metrics == {}
    measured = measure(Slow())
    assert 1e-3 < measured["fit/seconds_per_step"] < 5
    assert measured["fit/peak_memory_gb"] == pytest.approx(0.08e9 / 2**30, rel=0.02), "80 MB, and little else"


def test_representations_of_stages_are_compared_on_the_same_cases(tmp_path):
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    probs = {"HCR": rng.uniform(size=60), "plain": rng.uniform(size=60), "penalty": rng.uniform(size=60) + label}
    for name in ("plain", "penalty"):
        (tmp_path / name / "predictions").mkdir(parents=True)
        with (tmp_path / name / "predictions" / "representations.csv").open("w") as opened:
            writer = csv.writer(opened)
            writer.writerow(["id", "label", *(f"{part}/{k}" for part in ("HCR", "DLR", "HCR + DLR") for k in (0, 1))])
            for case in range(60):
                said = [probs["HCR"][case], probs[name][case], probs["HCR"][case] + probs[name][case]]
                writer.writerow([f"c{case}", label[case], *(x for score in said for x in (1 - score, score))])
    stages = {"no penalty": "plain", "penalty": "penalty", "left out": "missing"}
    CompareRepresentations(stages)(tmp_path, "representations")
    rows = read_csv(tmp_path / "test_representations.csv")
    assert [row["representations"] for row in rows] == [
        "HCR", "DLR, no penalty", "HCR + DLR, no penalty", "DLR, penalty", "HCR + DLR, penalty"
    ]  # fmt: skip
    area, test = delong(label == 1, probs["penalty"]), delong_test(label == 1, probs["penalty"], probs["HCR"])
    assert rows[3]["AUC (95% CI)"].startswith(f"{area['auc']:.3f} ({area['auc_low']:.3f} to ")
    assert rows[3]["p against HCR"] == f"{test['p']:.3g} ({test['difference']:+.3f})"
    assert rows[0]["p against HCR"] == rows[2]["p against HCR + DLR, no penalty"] == ""
    assert (tmp_path / "figures" / "representations.png").is_file()


def test_without_any_stage_there_is_no_table(tmp_path):
    CompareRepresentations({"a": "missing"})(tmp_path, "representations")
    assert not [*tmp_path.iterdir()]


def test_the_share_of_waiting_is_logged_each_epoch_and_kept(tmp_path):
    class Waiting(torch.utils.data.DataLoader):
        """Batches that are waited for thirty times as long as a step takes."""

        waited = 0.0

        def __iter__(self):
            for batch in super().__iter__():
                self.waited += 0.03
                yield batch

    class Quick(Slow):
        def training_step(self, batch, index):
            time.sleep(0.01)
            shares.append(self.trainer.callback_metrics.get("fit/data_wait"))
            return super().training_step(batch, index)

    shares, cost = [], Cost()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_epochs=2, accelerator="cpu", default_root_dir=tmp_path, callbacks=[cost], **quiet)
    trainer.fit(Quick(), Waiting(range(3)))
    assert 0 < float(shares[3]) < 0.75, "of the first epoch, known in the second"
    assert 0 < cost.metrics["fit/data_wait"] < 0.75
