"""What was called otherwise when a checkpoint or a command was written."""

from collections.abc import Mapping
from typing import Any

__all__ = ["KEYS", "with_new_names", "with_new_weights"]

KEYS = {
    "gb": "gpu_memory_gb",
    "judge_a": "discriminator_a",
    "judge_b": "discriminator_b",
    "mirror": "tta_flips",
    "test_time_flips": "tta_flips",
    "windows_at_once": "sw_batch_size",
}
"""New names of arguments of modules and datamodules."""
_TARGETS = {"evaluation.expansion.ExpansionRule": "evaluation.measures.expansion.ExpansionRule"}
_ROOMS = ("lightning_modules.", "datamodules.")


def with_new_names(node: Any) -> Any:
    """A copy of a plain config with the names of today."""
    if isinstance(node, list):
        return [with_new_names(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    target = str(node.get("_target_", ""))
    keys = KEYS if target.startswith(_ROOMS) and ".transforms." not in target else {}
    named = {keys.get(key, key): with_new_names(value) for key, value in node.items()}
    return named | {"_target_": _TARGETS[target]} if target in _TARGETS else named


def with_new_weights(state: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the weights of a module whose parts have the names of today."""
    found = {}
    for name, value in state.items():
        part, dot, rest = name.partition(".")
        found[f"{KEYS.get(part, part)}{dot}{rest}"] = value
    return found
