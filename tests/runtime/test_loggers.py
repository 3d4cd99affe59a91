import csv
import logging

import pytest
import wandb

from medzoo.runtime.loggers import csv_logger, wandb_logger


def test_a_resumed_run_goes_on_under_its_wandb_id(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    options = {"run_name": "x", "config": {"seed": 1}, "project": "p", "monitor": "val/auc", "mode": "max"}
    ids = []
    for _ in range(2):
        logger = wandb_logger(tmp_path, **options)
        ids.append(logger.experiment.id)
        assert logger.experiment.settings.console == "off", "what is printed stays here"
        wandb.finish()
    assert ids[0] == ids[1] == (tmp_path / "wandb_run_id.txt").read_text()


def test_a_resumed_csv_keeps_earlier_rows_and_drops_those_to_come(tmp_path):
    first = csv_logger(tmp_path)
    for step in range(4):
        first.log_metrics({"loss": 1.0 - step / 10}, step=step)
    first.save()
    second = csv_logger(tmp_path, step=2)
    second.log_metrics({"loss": 0.5, "auc": 0.9}, step=2)
    second.save()
    with (tmp_path / "metrics.csv").open() as opened:
        rows = list(csv.DictReader(opened))
    assert [(row["step"], row["loss"], row["auc"]) for row in rows] == [
        ("0", "1.0", ""), ("1", "0.9", ""), ("2", "0.5", "0.9"),
    ]  # fmt: skip


OPTIONS = {"run_name": "x", "config": {"seed": 1}, "project": "p", "monitor": "val/auc", "mode": "max"}


@pytest.mark.parametrize("where", ["login", "init"])
def test_a_run_goes_on_offline_where_the_service_is_away(where, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_MODE", "x")  # so that it is put back
    monkeypatch.delenv("WANDB_MODE")
    begin, tried = wandb.init, []

    def fails(*args, mode="online", **options):
        tried.append(mode)
        if mode == "online":
            raise wandb.errors.CommError("no way out\nand more lines")
        return begin(*args, mode=mode, **options)

    monkeypatch.setattr(wandb, "login", fails if where == "login" else lambda **_: True)
    monkeypatch.setattr(wandb, "init", fails)
    with caplog.at_level(logging.WARNING, "medzoo.runtime.loggers"):
        logger = wandb_logger(tmp_path, **OPTIONS)
    assert logger.experiment.offline
    (told,) = [record.getMessage() for record in caplog.records if record.name == "medzoo.runtime.loggers"]
    assert "continuing offline" in told
    assert told.endswith("(no way out)")
    assert "online" in tried
    wandb.finish()


def test_nothing_is_said_of_anonymity(tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb_logger(tmp_path, **OPTIONS)
    wandb.finish()
    assert "anonymous" not in caplog.text + "".join(capfd.readouterr())
