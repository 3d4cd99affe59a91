"""What the parts of a nomogram's report are made of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from medzoo.evaluation.nomogram.reading import Reading

__all__ = ["Study"]


@dataclass(frozen=True)
class Study:
    """A fitted nomogram, and the cases that it is tested on.

    Attributes:
        reading: What the checkpoint knows of it.
        table: The test cases, with `names`, `positive`, `x`, `candidates`, `readers` and `images`; none where all
            cases were for the development.
        probabilities: (N,) of the test cases by model, the nomogram first.
        numbers: Metrics of the test cases.
        own: Whether the nomogram was fitted in this very run.
    """

    reading: Reading
    table: Any
    probabilities: Mapping[str, np.ndarray]
    numbers: Mapping[str, float]
    own: bool
