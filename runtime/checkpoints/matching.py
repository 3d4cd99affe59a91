"""What a checkpoint stores about its data, and how other data are matched to it: classes, inputs, seen patients."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
from hydra.utils import get_object

from medzoo.runtime.contracts import ChecksCases, DataModule, KnowsSeen, NamesClasses, UsesClasses, Waits
from medzoo.runtime.errors import UserError, user_errors

__all__ = ["check_cases", "check_same_order", "known_of", "match", "waiting"]

log = logging.getLogger(__name__)


def known_of(datamodule: DataModule) -> dict[str, Any]:
    """What a checkpoint stores about its training data, as plain data.

    Args:
        datamodule: After `setup`.
    """
    return {
        "class_names": _names(datamodule),
        "datamodule": datamodule.state_dict(),
        "seen": datamodule.seen if isinstance(datamodule, KnowsSeen) else None,
    }


def match(datamodule: DataModule, known: Mapping[str, Any], *, test: bool) -> None:
    """Make a datamodule read data as the model in a checkpoint expects; called before `setup`.

    Args:
        datamodule: Built; changed in place.
        known: `medzoo` of the checkpoint.
        test: Whether the data are for a test; else for prediction.

    Raises:
        UserError: If the data have other classes or inputs than the model.
    """
    trained = get_object(known["config"]["datamodule"]["_target_"])
    with user_errors("datamodule"):
        as_trained = isinstance(trained, type) and issubclass(trained, L.LightningDataModule)
        if as_trained and trained.load_state_dict is type(datamodule).load_state_dict:
            datamodule.load_state_dict(known["datamodule"])
        if test and isinstance(datamodule, KnowsSeen):
            datamodule.evaluate_as(known.get("seen"))
            if not known.get("seen"):
                log.warning(
                    "this checkpoint does not record its training patients: the test split of the data is tested"
                )
        names = known.get("class_names")
        if names and isinstance(datamodule, UsesClasses):
            datamodule.use_classes(names)
    if names and _names(datamodule) != list(names):
        raise UserError(
            f"datamodule: the model knows the classes {', '.join(names)}, the data have "
            f"{', '.join(_names(datamodule) or ['none'])}"
        )


def waiting(datamodule: DataModule) -> str:
    """What is missing that an earlier stage has to leave behind; empty when nothing is."""
    return datamodule.waiting if isinstance(datamodule, Waits) else ""


def check_cases(module: L.LightningModule, datamodule: DataModule, split: str) -> None:
    """Let a module refuse cases that it cannot read, before anything is computed."""
    if isinstance(module, ChecksCases):
        module.check_cases(datamodule, split)


def check_same_order(known: Mapping[str, Any], datamodule: DataModule, where: str) -> None:
    """Refuse weights of a model with the same classes in another order; weights of other classes are fine.

    Args:
        known: `medzoo` of the checkpoint.
        datamodule: Of the stage that starts from it.
        where: The checkpoint, for the message.

    Raises:
        UserError: If the order differs.
    """
    before, now = _folded(known.get("class_names")), _folded(_names(datamodule))
    if before != now and sorted(before) == sorted(now):
        raise UserError(
            f"{where} has the classes {', '.join(known['class_names'])}, the data have them in the order "
            f"{', '.join(_names(datamodule) or ())}: use the order of the model"
        )


def _folded(names: Sequence[str] | None) -> list[str]:
    return [str(name).strip().casefold() for name in names or ()]


def _names(datamodule: DataModule) -> list[str] | None:
    return [str(name) for name in datamodule.class_names] if isinstance(datamodule, NamesClasses) else None
