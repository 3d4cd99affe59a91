"""Predictions of whole cases, one file or folder for each: what both writers of such share."""

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning as L
import torch

from medzoo.callbacks.collect import data_of

__all__ = ["CaseWriter"]

log = logging.getLogger(__name__)

_REMEDY = "name another output, or remove that folder"
_LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini")


class CaseWriter(L.Callback):
    """Leaves out what is there already, so an interrupted prediction goes on where it stopped.

    `<output>.made_by.json` beside the folder says which checkpoint and which options made it, and from which images.
    What another model, other options or another image of the same name made is refused, since old results would pass
    for new ones.

    Args:
        output: The folder; `predictions` by default.
    """

    pending: str
    """Attribute of the datamodule that holds, by name, what is to be predicted."""

    def __init__(self, output: str | Path | None = None) -> None:
        self.output = Path(output or "predictions")
        folder = self.output.resolve()
        self.record = folder.with_name(f"{folder.name}.made_by.json")
        self.written: Path | None = None

    def place(self, name: str) -> Path:
        """Where a case is written."""
        raise NotImplementedError

    def there(self) -> Iterable[Path]:
        """Predictions that stand in the folder, whoever made them."""
        raise NotImplementedError

    def made_of(self, case: Any) -> tuple[list[Path], str]:
        """The files of a case, and what else shapes its prediction."""
        raise NotImplementedError

    def begin(self, module: L.LightningModule, datamodule: Any, made_by: dict[str, Any]) -> None:
        """Leave out cases that were finished before, and record what makes the others.

        Args:
            module: With the weights that predict.
            datamodule: Knows its input.
            made_by: Path of the `checkpoint`, for messages, and the options of the prediction, as JSON takes them.

        Raises:
            ValueError: If the folder holds predictions of another origin.
        """
        cases = self._outside(datamodule)
        made_by = {**made_by, "sha256": _digest_model(module, datamodule)}
        record = {"made_by": made_by, "cases": {name: _digest(*self.made_of(case)) for name, case in cases.items()}}
        done = [name for name in cases if self.place(name).exists()]
        stale = next(iter(self.there()), None)
        known = self._known() if stale else None
        if known:
            _check_origin(self.output, known["made_by"], made_by)
            for name in done:
                if known["cases"].get(name) != record["cases"][name]:
                    raise ValueError(f"{self.place(name)}: made of another image of this name; {_REMEDY}")
            record["cases"] = known["cases"] | record["cases"]
        elif stale:
            raise ValueError(f"{stale}: a prediction, and no {self.record.name} tells what made it; {_REMEDY}")
        if done:
            log.info("already in %s, left as they are: %s", self.output, ", ".join(done))
        datamodule.leave_out(done)
        self._write(record)
        self.written = self.output

    def _outside(self, datamodule: Any) -> dict[str, Any]:
        """The cases, without those that are predictions of an earlier run within the input."""
        cases, here = getattr(datamodule, self.pending), os.path.realpath(self.output)
        files = {name: map(os.path.realpath, self.made_of(case)[0]) for name, case in cases.items()}
        inside = [name for name, found in files.items() if any(Path(file).is_relative_to(here) for file in found)]
        if inside:
            log.warning("%s: %d predictions in it are no images to predict on", self.output, len(inside))
            datamodule.leave_out(inside)
        return {name: case for name, case in cases.items() if name not in inside}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Begin, where nobody did so before."""
        if stage == "predict" and self.written is None:
            self.begin(pl_module, data_of(trainer), {})

    def _known(self) -> dict[str, Any] | None:
        try:
            known = json.loads(self.record.read_text(encoding="utf-8"))
            return {"made_by": dict(known["made_by"]), "cases": dict(known["cases"])}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.record}: damaged; {_REMEDY}") from error

    def _write(self, record: dict[str, Any]) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        partial = self.record.with_name(f".{self.record.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.replace(self.record)


def _check_origin(folder: Path, known: dict[str, Any], now: dict[str, Any]) -> None:
    """The path of a checkpoint may change; all else makes another prediction."""
    now = json.loads(json.dumps(now))
    other = [name for name in known | now if name != "checkpoint" and known.get(name) != now.get(name)]
    if "sha256" in other:
        raise ValueError(f"{folder}: holds predictions of {known.get('checkpoint', 'another model')}; {_REMEDY}")
    if other:
        told = ", ".join(f"{name} was {known.get(name)}" for name in other)
        raise ValueError(f"{folder}: holds predictions made otherwise ({told}); {_REMEDY}")


def _digest_model(module: L.LightningModule, datamodule: Any) -> str:
    """Of the weights, of how they are used, and of what the datamodule measured in training."""
    settings = [(getattr(module, "config", None) or {}).get("lightning_module"), datamodule.state_dict()]
    total = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in module.state_dict().items():
        total.update(name.encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _digest(files: list[Path], facts: str) -> str:
    total = hashlib.sha256(facts.encode())
    for file in (each for path in files for each in (sorted(path.iterdir()) if path.is_dir() else [path])):
        if file.is_dir() or file.name[0] == "." or file.name.lower() in _LEFT_BY_SYSTEMS:
            continue
        with file.open("rb") as opened:
            total.update(hashlib.file_digest(opened, "sha256").digest())
    return total.hexdigest()
