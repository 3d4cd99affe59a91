"""Lightning MedZoo: `medzoo.load` and `medzoo.predict` use a checkpoint; `medzoo.models` and other rooms build on it.

In a checkout the rooms lie beside this folder, so that a reader finds them; a wheel has them inside it.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medzoo.runtime.checkpoints.checkpoint import load
    from medzoo.runtime.checkpoints.prediction import predict

__all__ = ["__version__", "load", "predict"]

__version__ = "0.2.0"
ROOMS = ("models", "lightning_modules", "datamodules", "callbacks", "evaluation", "runtime")
_SOURCES = {"load": "medzoo.runtime.checkpoints.checkpoint", "predict": "medzoo.runtime.checkpoints.prediction"}

if not (Path(__file__).parent / "runtime").is_dir():
    __path__.append(str(Path(__file__).resolve().parent.parent))


def __getattr__(name: str) -> Any:
    """Import on first use: PyTorch takes seconds, which help and a mistyped name need not wait for."""
    if name in _SOURCES:
        return getattr(importlib.import_module(_SOURCES[name]), name)
    if name in ROOMS:
        return importlib.import_module(f"medzoo.{name}")
    raise AttributeError(f"module 'medzoo' has no attribute {name!r}")
