"""Weights of HemExp's U-Net under the names used here.

HemExp (arXiv:2606.15304; github.com/orhunutkuaydin/HemExp, commit 92bb358, MIT).
"""

import re

import torch
from torch import Tensor

__all__ = ["upstream_unet_state"]

_RULES = [  # tried in order, each on what the ones before made of a name
    (r"^null_clin_emb$", "clinical_embedding.null"),
    (r"^clinical_vars_mlp\.", "clinical_embedding.mlp."),
    (r"^flag_embed\.", "flag_embedding."),
    (r"^init_conv\.", "stem."),
    (r"^final_res_block\.", "last."),
    (r"^final_image_conv\.", "head."),
    (r"^mid_attn\.", "middle_attention."),
    (r"^mid_block1\.", "middle_in."),
    (r"^mid_block2\.", "middle_out."),
    (r"^time_mlp\.1\.", "time_mlp.0."),
    (r"^time_mlp\.3\.", "time_mlp.2."),
    (r"^(downs|ups)\.(\d+)\.([01])\.", r"\1.\2.blocks.\3."),
    (r"^(downs|ups)\.(\d+)\.2\.", r"\1.\2.attention."),
    (r"^downs\.(\d+)\.3\.(?:1\.)?", r"downs.\1.resample."),
    (r"^ups\.(\d+)\.3\.(?:1\.)?", r"ups.\1.resample.1."),
    (r"\.mlp\.1\.", ".modulation."),
    (r"\.block([12])\.proj\.", r".conv\1."),
    (r"\.block([12])\.norm\.g$", r".norm\1.weight"),
    (r"\.res_conv\.", ".shortcut."),
    (r"\.mem_kv$", ".memory"),
    (r"\.g$", ".weight"),
]


def upstream_unet_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a U-Net trained with the authors' code, for `ConditionalUNet(4, 4, 12, memory_tokens=4)`.

    What theirs lacks is set so that nothing differs: an unknown clinical value counts as 0, an unknown flag nothing.

    Args:
        state: Weights of the U-Net alone, read with `weights_only=True`.

    Returns:
        A state that `load_state_dict` takes.
    """
    renamed = {_renamed(name): value for name, value in state.items()}
    for name, value in renamed.items():
        if re.search(r"norm\d?\.weight$|to_out\.1\.weight$", name):
            renamed[name] = value.flatten()[:, None, None]
        elif name.startswith("downs") and name.endswith("resample.weight") and value.shape[-1] == 1:
            renamed[name] = value.unflatten(1, (-1, 4)).flatten(2).unflatten(2, (2, 2))  # a pixel of four, unshuffled
    first, flag = renamed["clinical_embedding.mlp.0.weight"], renamed["flag_embedding.weight"]
    renamed["clinical_embedding.mlp.0.weight"] = torch.cat([first, torch.zeros_like(first)], dim=1)
    renamed["clinical_embedding.unknown"] = first.new_zeros(first.shape[1])
    renamed["flag_embedding.weight"] = torch.cat([flag, torch.zeros_like(flag[:1])])
    return renamed


def _renamed(name: str) -> str:
    for pattern, ours in _RULES:
        name = re.sub(pattern, ours, name)
    return name
