"""How a run starts, is checked, built, written down and found again."""

from runtime.checkpoint import load
from runtime.predict import predict

__all__ = ["load", "predict"]
