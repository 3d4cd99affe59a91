"""How a run starts, is checked, built, written down and found again."""

from runtime.environment import told_of_missing_packages

with told_of_missing_packages():
    from runtime.checkpoint import load
    from runtime.predict import predict

__all__ = ["load", "predict"]
