"""Optional packages: which extra of the project brings one that is missing."""

import re
import tomllib
from pathlib import Path

__all__ = ["install_hint"]

_PROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"


def install_hint(name: str) -> str:
    """How to install what a module, or an option of Hydra, comes from; empty where no extra of the project has it.

    Args:
        name: Such as `xgboost`, `onnx.helper`, or `submitit_slurm` of `hydra/launcher`.
    """
    wanted = re.split(r"[._-]", name.lower())
    extras = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extra, requirements in extras.items():
        for requirement in requirements:
            words = re.split(r"[._-]", re.split(r"[\s<>=!~\[;]", requirement.lower())[0])
            if wanted[0] == words[0] or (words[0] == "hydra" and set(wanted) & set(words[1:-1])):
                return f"it needs the packages of pip install -e '.[{extra}]'"
    return ""
