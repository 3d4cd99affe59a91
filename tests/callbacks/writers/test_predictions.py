import torch

from medzoo.callbacks import PredictionWriter, ScoreWriter
from medzoo.callbacks.writers.predictions import prediction_rows


def test_prediction_rows_name_classes():
    collected = {"id": ["x"], "prob": torch.tensor([[0.6, 0.7]]).numpy(), "label": torch.tensor([[1, 0]]).numpy()}
    assert prediction_rows(collected, ["a", "b"], multilabel=True) == [
        {"id": "x", "predicted": "a; b", "p_a": "0.600000", "p_b": "0.700000", "label": "a"}
    ]


def test_a_file_of_older_predictions_is_replaced_and_told(tmp_path, caplog):
    data = type("Data", (), {"class_names": ["no", "yes"], "task": "binary"})
    run = type("Run", (), {"datamodule": data, "is_global_zero": True, "default_root_dir": str(tmp_path)})
    for name in ("first", "second"):
        outputs = {"id": [name], "prob": torch.tensor([[0.1, 0.9]]), "score": torch.tensor([0.5])}
        for writer in (PredictionWriter(tmp_path / "classes.csv"), ScoreWriter(tmp_path / "scores.csv")):
            writer.on_predict_batch_end(run, None, outputs, {}, 0)
            writer.on_predict_epoch_end(run, None)
        assert len(caplog.records) == 2 * (name == "second")
    assert "classes.csv: older predictions are overwritten" in caplog.text
    assert "second" in (tmp_path / "classes.csv").read_text()
