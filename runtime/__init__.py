"""How a run starts, is checked, built, written down and found again."""

from typing import TYPE_CHECKING, Any

from runtime.environment import told_of_missing_packages

with told_of_missing_packages():
    import hydra  # noqa: F401

if TYPE_CHECKING:
    from runtime.checkpoint import load
    from runtime.prediction import predict

__all__ = ["load", "predict"]


def __getattr__(name: str) -> Any:
    """`load` and `predict` bring PyTorch, which the help of a verb need not wait for."""
    if name == "load":
        from runtime.checkpoint import load

        return load
    if name == "predict":
        from runtime.prediction import predict

        return predict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
