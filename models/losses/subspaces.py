"""Losses of MISA (Hazarika et al. 2020, arXiv:2005.03545): similarity and overlap of two sets of codes."""

import torch
from torch import Tensor

__all__ = ["central_moment_discrepancy", "subspace_difference"]


def central_moment_discrepancy(first: Tensor, second: Tensor, moments: int = 5) -> Tensor:
    """Distance of two samples by their means and central moments (Zellinger et al. 2017, arXiv:1702.08811).

    As in MISA without the factor 1 / |b - a|^k of the interval [a, b] of the values, which is 1 for sigmoids.

    Args:
        first: (N, D).
        second: (M, D).
        moments: Highest moment.

    Returns:
        A scalar, about 0 where all moments agree.
    """
    means = first.mean(0), second.mean(0)
    distance = _norm(means[0] - means[1])
    centred = first - means[0], second - means[1]
    for power in range(2, moments + 1):
        distance = distance + _norm(centred[0].pow(power).mean(0) - centred[1].pow(power).mean(0))
    return distance


def subspace_difference(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared inner product of the columns of two sets of codes: 0 where they are orthogonal.

    Args:
        first: (N, D).
        second: (N, E), of the same patients.

    Returns:
        A scalar. As in the reference code the norm of a row carries no gradient.
    """
    first, second = (_unit_rows(codes - codes.mean(0)) for codes in (first, second))
    return (first.T @ second).square().mean()


def _unit_rows(codes: Tensor) -> Tensor:
    return codes / (codes.norm(dim=1, keepdim=True).detach() + 1e-6)


def _norm(vector: Tensor) -> Tensor:
    """Euclidean norm whose gradient at 0 is 0 rather than NaN."""
    return (vector.square().sum() + torch.finfo(vector.dtype).tiny).sqrt()
