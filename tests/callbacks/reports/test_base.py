"""The base of all reports: what is kept comes from all batches in order of id; one place logs and writes."""

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from medzoo.callbacks.output import Report
from medzoo.callbacks.reports.base import TestReport
from medzoo.evaluation.figures.style import new_figure

QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Doubled(L.LightningModule):
    def test_step(self, batch, index):
        return {"id": batch["id"], "prob": 2 * batch["image"]}


class Sum(TestReport):
    """The sum of what was predicted, in all places that a report can write to."""

    def collected(self, module, data):
        return self.predictions()

    def report(self, collected, data):
        self.seen = collected
        figure, _ = new_figure(2, 2)
        return Report(
            metrics={"test/sum": collected["prob"].sum()},
            tables={"test_sum.csv": [{"sum": collected["prob"].sum()}]},
            figures={"empty": figure},
            vectors=["empty"],
            pages={"deep/page.html": "<p>sum</p>"},
            pictures={"deep/picture.png": np.zeros((2, 3), np.uint8)},
        )


def test_all_batches_are_collected_logged_and_written(tmp_path):
    batches = [{"id": ["c", "a"], "image": torch.tensor([3.0, 1.0])}, {"id": ["b"], "image": torch.tensor([2.0])}]
    report = Sum()
    trainer = L.Trainer(accelerator="cpu", default_root_dir=tmp_path, callbacks=[report], **QUIET)
    data = L.LightningDataModule.from_datasets(test_dataset=batches, num_workers=0)
    data.test_dataloader = lambda: DataLoader(batches, batch_size=None)
    for _ in range(2):  # the second test starts anew
        trainer.test(Doubled(), datamodule=data, verbose=False)
        assert report.seen["id"] == ["a", "b", "c"]
        assert report.seen["prob"].tolist() == [2, 4, 6]
        assert float(trainer.callback_metrics["test/sum"]) == 12
    assert (tmp_path / "test_sum.csv").read_text().split() == ["sum", "12.0"]
    assert (tmp_path / "deep" / "page.html").read_text() == "<p>sum</p>"
    assert Image.open(tmp_path / "deep" / "picture.png").size == (3, 2)
    assert {file.name for file in (tmp_path / "figures").iterdir()} == {"empty.png", "empty.svg"}


def test_predictions_are_not_reported(tmp_path):
    report = Sum()
    report.on_predict_batch_end(L.Trainer(accelerator="cpu", **QUIET), Doubled(), {"id": ["a"]}, {}, 0)
    with pytest.raises(ValueError, match="nothing to test"):
        report.predictions()
