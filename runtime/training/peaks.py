"""Peak arithmetic of known devices, by their data sheets."""

__all__ = ["LAPTOP", "SHARE", "peak_tflops"]

# TFLOP/s of dense products: float32 (TF32 where the card has it, as `train.py` computes), and 16 bit.
_CARDS = {
    "H200": (494.0, 989.0),
    "H100": (494.0, 989.0),
    "A100": (156.0, 312.0),
    "L40S": (183.0, 362.0),
    "RTX 4090": (82.6, 165.2),
    "RTX 3090": (35.6, 71.2),
    "V100": (15.7, 125.0),
    "T4": (8.1, 65.0),
}
LAPTOP = 0.5
"""TFLOP/s of a laptop's CPU: four cores, 4 GHz, 32 operations a cycle (two fused multiply-adds of eight floats)."""
SHARE = 0.3
"""Share of the peak that a training step is assumed to reach."""


def peak_tflops(card: str, precision: str) -> float | None:
    """Peak of a card whose name contains that of a known one, such as `NVIDIA H200`.

    Args:
        card: As the driver says it.
        precision: As `trainer.precision`.
    """
    known = next((peaks for name, peaks in _CARDS.items() if name in card), None)
    return known and known[precision.startswith(("16", "bf16"))]
