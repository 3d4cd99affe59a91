"""Latent shift: what has to change in an image for a lower score, as a decoder shows it.

Cohen et al. 2021 (arXiv:2102.09475) walk from the code of an image along the gradient of the score and decode the
codes on the way. Guarrasi et al. 2024 (doi:10.1016/j.patcog.2024.110825) do so in the joint code of several modalities,
and divide the importance among them; their normalisation is not openly published, so `shift_shares` is our own.
Written from the papers. The released code of the first compares only with the first image of a batch. Here each patient
is walked alone, and compared with the decoded code rather than the image, so that errors of the decoder do not show.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Shift", "latent_shift", "shift_map", "shift_shares"]

FALL = 0.15
"""How far the score must fall."""

STRIDES = 5
"""Strides to this fall if the score were linear; in the released code a stride is the gradient itself."""

FARTHEST = 1000
"""The most strides of a search."""


class Shift(NamedTuple):
    """A walk of S steps, from the lowest score to the patient's own.

    Attributes:
        steps: (S,) from below 0 to 0, multiples of the gradient.
        scores: (S,).
        codes: (S, D) by modality.
    """

    steps: np.ndarray
    scores: np.ndarray
    codes: dict[str, Tensor]


def latent_shift(
    score: Callable[[Mapping[str, Tensor]], Tensor], codes: Mapping[str, Tensor], *, count: int = 10
) -> Shift:
    """Walk down the score along its gradient until it has fallen by 0.15, or begins to rise.

    Args:
        score: From codes (N, D) by modality to scores (N,), differentiable, such as a probability.
        codes: (D,) by modality: the patient's.
        count: S.

    Returns:
        The walk.

    Raises:
        ValueError: If the score does not depend on the codes.
    """
    with torch.inference_mode(False), torch.enable_grad():
        start = {name: code.detach().clone().requires_grad_() for name, code in codes.items()}
        own = score({name: code[None] for name, code in start.items()}).sum()
        if not own.requires_grad:
            raise ValueError("latent shift: the score does not depend on the codes")
        gradients = torch.autograd.grad(own, [*start.values()], allow_unused=True)
    slopes = {
        name: torch.zeros_like(code) if slope is None else slope
        for (name, code), slope in zip(codes.items(), gradients, strict=True)
    }

    def moved(steps: np.ndarray) -> dict[str, Tensor]:
        by = torch.as_tensor(steps, dtype=own.dtype, device=own.device)[:, None]
        return {name: codes[name].detach() + by * slopes[name] for name in codes}

    with torch.no_grad():
        square = sum(float(slope.square().sum()) for slope in slopes.values())
        stride = FALL / STRIDES / max(square, 1e-12)
        lowest = _lowest(lambda step: float(score(moved(np.array([step])))[0]), float(own), stride)
        steps = np.linspace(lowest, 0, count)
        walked = moved(steps)
        return Shift(steps, score(walked).cpu().numpy(), walked)


def shift_map(decoded: np.ndarray, how: Literal["max", "mean", "integral"] = "max") -> np.ndarray:
    """How much each value changes on the walk.

    Args:
        decoded: (S, ...); the last is the patient's own.
        how: The largest or the mean absolute difference from the last, or the sum of differences between steps.

    Returns:
        (...), at least 0.
    """
    if how == "integral":
        return np.abs(np.diff(decoded, axis=0)).sum(0)
    difference = np.abs(decoded - decoded[-1:])
    return difference.max(0) if how == "max" else difference.mean(0)


def shift_shares(shift: Shift, spread: Mapping[str, float]) -> dict[str, float]:
    """Share of each modality in the walk: the distance of its code, relative to the spread of codes over patients.

    Args:
        shift: The walk.
        spread: By modality, the root mean square distance of the patients' codes from their mean.

    Returns:
        Shares that sum to 1; all 0 where nothing moved.
    """
    moved = {
        name: float((codes[0] - codes[-1]).norm()) / max(spread[name], 1e-12) for name, codes in shift.codes.items()
    }
    total = sum(moved.values())
    return {name: each / total if total > 0 else 0.0 for name, each in moved.items()}


def _lowest(score: Callable[[float], float], own: float, stride: float) -> float:
    """The step at which the score has fallen enough, begins to rise, or the search ends.

    Strides are halved until the first one does not raise the score; from the tenth on they are ten times as long.
    """
    while score(-stride) > own and stride > 1e-9:
        stride /= 2
    count, last = 0, own
    while count < FARTHEST:
        further = count + (1 if count < 10 else 10)
        reached = score(-further * stride)
        if reached > last:
            break
        count, last = further, reached
        if reached < own - FALL:
            break
    return -max(count, 1) * stride
