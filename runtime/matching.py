"""What a checkpoint knows of its data, and how other data are brought to it: classes, inputs, and who was seen."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.utils import get_object

from medzoo.runtime.errors import UserError, user_errors

__all__ = ["check_cases", "check_same_order", "known_of", "match"]

log = logging.getLogger(__name__)


def known_of(datamodule: Any) -> dict[str, Any]:
    """What a checkpoint keeps of the data that it was trained on: plain data.

    Args:
        datamodule: After `setup`.
    """
    return {
        "class_names": _names(datamodule),
        "datamodule": datamodule.state_dict(),
        "seen": getattr(datamodule, "seen", None),
    }


def match(datamodule: Any, known: Mapping[str, Any], *, test: bool) -> None:
    """Let data be read as the model in a checkpoint knows them; comes before `setup`.

    Args:
        datamodule: Built. One with `use_classes` and `evaluate_as` (`datamodules/base.py`) is matched by names and told
            who was seen in the training.
        known: `medzoo` of the checkpoint.
        test: Whether data are to be tested; else they are predicted on.

    Raises:
        UserError: If the data have other classes or inputs than the model.
    """
    trained = get_object(known["config"]["datamodule"]["_target_"])
    with user_errors("datamodule"):
        if getattr(trained, "load_state_dict", None) is type(datamodule).load_state_dict:
            datamodule.load_state_dict(known["datamodule"])
        if test and hasattr(datamodule, "evaluate_as"):
            datamodule.evaluate_as(known.get("seen"))
            if not known.get("seen"):
                log.warning("this checkpoint does not say whom it was trained on: tested is the data's own split")
        names = known.get("class_names")
        if names and hasattr(datamodule, "use_classes"):
            datamodule.use_classes(names)
    if names and _names(datamodule) != list(names):
        raise UserError(
            f"datamodule: the model knows the classes {', '.join(names)}, the data have "
            f"{', '.join(_names(datamodule) or ['none'])}"
        )


def check_cases(module: Any, datamodule: Any, split: str) -> None:
    """Let a module that reads tables of cases refuse what it cannot read, before anything is computed."""
    if hasattr(module, "check_cases"):
        module.check_cases(datamodule, split)


def check_same_order(known: Mapping[str, Any], datamodule: Any, where: str) -> None:
    """Refuse weights for data that have the classes of their model in another order; other classes are learnt anew.

    Args:
        known: `medzoo` of the checkpoint that weights come from.
        datamodule: Of what is trained with them.
        where: Names the checkpoint in the message.

    Raises:
        UserError: If the order differs.
    """
    before, now = _folded(known.get("class_names")), _folded(_names(datamodule))
    if before != now and sorted(before) == sorted(now):
        raise UserError(
            f"{where} is a model of the classes {', '.join(known['class_names'])}, here they stand in the order "
            f"{', '.join(_names(datamodule) or ())}: bring the data to the order of the model"
        )


def _folded(names: Sequence[str] | None) -> list[str]:
    return [str(name).strip().casefold() for name in names or ()]


def _names(datamodule: Any) -> list[str] | None:
    names = getattr(datamodule, "class_names", None)
    return None if names is None else [str(name) for name in names]
