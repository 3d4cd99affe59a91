"""Optional packages: the extra that installs a missing one."""

import re
from importlib import metadata

__all__ = ["install_hint"]


def install_hint(name: str) -> str:
    """How to install the package of a module or of an option of Hydra; empty if no extra has it.

    Args:
        name: Such as `xgboost`, `onnx.helper`, or `submitit_slurm` of `hydra/launcher`.
    """
    wanted = re.split(r"[._-]", name.lower())
    try:
        requirements = metadata.requires("lightning-medzoo") or ()
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return ""
    for requirement in requirements:
        extra = re.search(r"extra == ['\"](.+?)['\"]", requirement)
        words = re.split(r"[._-]", re.split(r"[\s<>=!~\[;]", requirement.lower())[0])
        if extra and (wanted[0] == words[0] or (words[0] == "hydra" and set(wanted) & set(words[1:-1]))):
            return f"it needs pip install 'lightning-medzoo[{extra[1]}]'"
    return ""
