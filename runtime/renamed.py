"""Objects that were called otherwise when a checkpoint was written."""

from typing import Any

__all__ = ["with_new_names"]

_NEW = {"evaluation.expansion.ExpansionRule": "evaluation.measures.expansion.ExpansionRule"}


def with_new_names(node: Any) -> Any:
    """A copy of a plain config whose `_target_`s are those of today."""
    if isinstance(node, list):
        return [with_new_names(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    named = {key: with_new_names(value) for key, value in node.items()}
    return named | {"_target_": _NEW.get(node["_target_"], node["_target_"])} if "_target_" in node else named
