"""The base of writers that write a file or a folder for each case."""

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast

import lightning as L
import torch
from lightning.pytorch.utilities.types import STEP_OUTPUT

from medzoo.callbacks.collect import Batch, data_of
from medzoo.files import write_text

__all__ = ["CaseWriter", "PredictData"]

log = logging.getLogger(__name__)

_REMEDY = "name another output, or remove that folder"
_LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini")


class PredictData(Protocol):
    """Members of the datamodule that are used."""

    def leave_out(self, names: Sequence[str]) -> None:
        """Do not predict these cases."""

    def state_dict(self) -> Mapping[str, Any]:
        """What was measured in training."""


Data = TypeVar("Data", bound=PredictData)
Case = TypeVar("Case")


class CaseWriter(L.Callback, Generic[Data, Case]):
    """Leaves out cases that were written before, so an interrupted prediction goes on where it stopped.

    `<output>.made_by.json` beside the folder records the checkpoint, the options and the images of the predictions.
    A folder with predictions of another model, other options or another image of the same name is refused: old results
    would be taken for new ones.

    Args:
        output: The folder; `predictions` by default.
    """

    def __init__(self, output: str | Path | None = None) -> None:
        self.output = Path(output or "predictions")
        folder = self.output.resolve()
        self.record = folder.with_name(f"{folder.name}.made_by.json")
        self.written: Path | None = None

    def cases(self, data: Data) -> Mapping[str, Case]:
        """By name, the cases to predict."""
        raise NotImplementedError

    def place(self, name: str) -> Path:
        """Where a case is written."""
        raise NotImplementedError

    def there(self) -> Iterable[Path]:
        """All predictions in the folder, of this run or another."""
        raise NotImplementedError

    def made_of(self, case: Case) -> tuple[list[Path], str]:
        """The files of a case, and other input of its prediction as text."""
        raise NotImplementedError

    def write(self, outputs: Batch, batch: Batch, data: Data) -> None:
        """Write the case of a batch of one."""
        raise NotImplementedError

    def begin(self, module: torch.nn.Module, datamodule: Data, made_by: Mapping[str, Any]) -> None:
        """Leave out cases that were finished before, and record the origin of the others.

        Args:
            module: With the weights that predict.
            datamodule: With the cases to predict.
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
            raise ValueError(f"{stale}: a prediction of unknown origin, without {self.record.name}; {_REMEDY}")
        if done:
            log.info("already in %s, kept: %s", self.output, ", ".join(done))
        datamodule.leave_out(done)
        write_text(self.record, json.dumps(record, indent=2) + "\n")
        self.output.mkdir(parents=True, exist_ok=True)
        self.written = self.output

    def _outside(self, datamodule: Data) -> dict[str, Case]:
        """The cases, without those that are predictions of an earlier run within the input."""
        cases, here = self.cases(datamodule), os.path.realpath(self.output)
        files = {name: map(os.path.realpath, self.made_of(case)[0]) for name, case in cases.items()}
        inside = [name for name, found in files.items() if any(Path(file).is_relative_to(here) for file in found)]
        if inside:
            log.warning("%s: %d earlier predictions in it are not predicted on", self.output, len(inside))
            datamodule.leave_out(inside)
        return {name: case for name, case in cases.items() if name not in inside}

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Begin, unless that was done before."""
        if stage == "predict" and self.written is None:
            self.begin(pl_module, data_of(trainer), {})

    def on_predict_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: STEP_OUTPUT, batch: Batch, *indices: int
    ) -> None:
        """Write one case."""
        self.write(cast(Batch, outputs), batch, data_of(trainer))

    def _known(self) -> dict[str, Any] | None:
        try:
            known = json.loads(self.record.read_text(encoding="utf-8"))
            return {"made_by": dict(known["made_by"]), "cases": dict(known["cases"])}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.record}: damaged; {_REMEDY}") from error


def _check_origin(folder: Path, known: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse predictions of another model or other options; the path of a checkpoint may change."""
    now = json.loads(json.dumps(now))
    other = [name for name in {**known, **now} if name != "checkpoint" and known.get(name) != now.get(name)]
    if "sha256" in other:
        raise ValueError(f"{folder}: holds predictions of {known.get('checkpoint', 'another model')}; {_REMEDY}")
    if other:
        changed = ", ".join(f"{name} was {known.get(name)}" for name in other)
        raise ValueError(f"{folder}: holds predictions made with other options ({changed}); {_REMEDY}")


def _digest_model(module: torch.nn.Module, datamodule: PredictData) -> str:
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
