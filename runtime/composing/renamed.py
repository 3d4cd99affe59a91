"""Old names of classes and keys, in checkpoints and commands."""

import os
from collections.abc import Collection, Mapping
from typing import Any

from medzoo import ROOMS

__all__ = ["GONE", "new_name", "new_target", "with_new_names", "with_new_weights"]

KEYS = {
    "gb": "gpu_memory_gb",
    "judge_a": "discriminator_a",
    "judge_b": "discriminator_b",
    "mirror": "tta_flips",
    "test_time_flips": "tta_flips",
    "windows_at_once": "sw_batch_size",
}
"""New names of arguments of modules and datamodules."""
GONE = {
    "cache_dir": "the key store_dir of the run has replaced it: write store_dir=<folder>",
    "threads": "the key workers of the run has replaced it: write workers=2",
}
"""Arguments of datamodules that are no more, and what to write instead."""
_OF_PARTS = {
    "medzoo.models.ConditionalUNet": {"blocks_per_level": "num_res_blocks"},
    "medzoo.models.DiffusionUKAN": {
        "blocks": "num_res_blocks",
        "channels": "dim",
        "groups": "norm_num_groups",
        "multipliers": "dim_mults",
    },
    "medzoo.models.NNFormer": {"patch": "patch_size"},
    "medzoo.models.ResidualVAE": {
        "blocks": "num_res_blocks",
        "groups": "norm_num_groups",
        "latent": "latent_features",
    },
    "medzoo.models.UNETRPP": {"dims": "features", "img_size": "image_size", "stem": "patch_size"},
    "medzoo.lightning_modules.TranslationModule": {"trained": "pretrained"},
    "medzoo.datamodules.transforms.NNUNetAugment": {"mirror": "flip"},
}
"""New names of arguments of one part, which others may have under the old name."""
_TARGETS = {"evaluation.expansion.ExpansionRule": "medzoo.evaluation.measures.expansion.ExpansionRule"}
_RENAMED_IN = ("medzoo.lightning_modules.", "medzoo.datamodules.")


def with_new_names(node: object) -> Any:
    """A copy of a plain config with current names.

    Until 0.1 the rooms were packages of their own: `models.X` is `medzoo.models.X`, unless MEDZOO_TRUST names a
    package of the user with that name.
    """
    if isinstance(node, list):
        return [with_new_names(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    target = new_target(str(node.get("_target_", "")))
    keys = KEYS if target.startswith(_RENAMED_IN) and ".transforms." not in target else {}
    keys = keys | _OF_PARTS.get(target, {})
    gone = GONE if target.startswith("medzoo.datamodules.") else {}
    named = {keys.get(key, key): with_new_names(value) for key, value in node.items() if key not in gone}
    return named | {"_target_": target} if target else named


def new_name(word: str, known: Collection[str]) -> str | None:
    """What an argument that used to be called `word` is called today, among the known ones; none if nothing is."""
    named = [KEYS, *_OF_PARTS.values()]
    return next((keys[word] for keys in named if word in keys and keys[word] in known), None)


def new_target(target: str) -> str:
    """The current name of a `_target_`."""
    room = target.split(".")[0]
    if target in _TARGETS or room not in ROOMS or room in os.environ.get("MEDZOO_TRUST", "").split(","):
        return _TARGETS.get(target, target)
    return f"medzoo.{target}"


def with_new_weights(state: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the weights of a module with current names."""
    found = {}
    for name, value in state.items():
        part, dot, rest = name.partition(".")
        found[f"{KEYS.get(part, part)}{dot}{rest}"] = value
    return found
