"""What the runtime asks of modules and their parts."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import lightning as L
from torch import Tensor

__all__ = [
    "ChecksCases",
    "Exports",
    "Finalizes",
    "Fitted",
    "LogsMetrics",
    "PreparesBatches",
    "Pretrained",
    "Receives",
    "SaysItsSteps",
    "SaysItsStrategy",
    "TakesOptions",
]


@runtime_checkable
class LogsMetrics(Protocol):
    """A module; `monitor` and `optimized_metric` must be among its metrics."""

    @property
    def metric_names(self) -> Sequence[str]:
        """Names of all metrics that it logs."""


@runtime_checkable
class Receives(Protocol):
    """A module that starts from what earlier stages learnt.

    It is called before training. What it takes over belongs into its own state, so that its checkpoint needs no other.
    """

    def receive(self, stages: Mapping[str, L.LightningModule]) -> None:
        """Copy from the trained modules of earlier stages, by name.

        Raises:
            ValueError: If a stage is missing or does not fit.
        """


@runtime_checkable
class Finalizes(Protocol):
    """A module that fits numbers after training: a threshold, a calibration, a regression, a nomogram.

    It is called once between training and test, on the first process, in evaluation mode and without gradients, with
    the weights that are tested. It may use training and validation cases. Results go into buffers
    (`models/fitted/part.py`), which the checkpoint keeps and other processes get; nothing is fitted later.
    """

    def finalize(self, datamodule: Any) -> None:
        """Fit to the training and validation cases of a datamodule that is set up.

        Raises:
            ValueError: If they cannot be fitted.
        """


@runtime_checkable
class PreparesBatches(Protocol):
    """A module that changes what training batches hold when training starts, such as images into cached latents."""

    def prepared(self, batch: dict[str, Any]) -> dict[str, Any]:
        """A batch as the datamodule describes it (`DescribesBatch`), changed so."""


@runtime_checkable
class SaysItsSteps(Protocol):
    """A module of which some steps cannot take a training batch.

    `dry_steps` names those of `training_step` and `predict_step` that can: they are tried on two examples before
    training, and `predict_step` on test examples before `evaluate.py`. Without it both are tried.
    """

    dry_steps: Sequence[str]


@runtime_checkable
class SaysItsStrategy(Protocol):
    """A module that needs a strategy of its own when `trainer.strategy` is `auto` and there are several devices."""

    @property
    def ddp_strategy(self) -> str:
        """Such as `ddp_find_unused_parameters_true`."""


@runtime_checkable
class ChecksCases(Protocol):
    """A module that can tell before it runs that it cannot read some cases."""

    def check_cases(self, datamodule: Any, split: str) -> None:
        """Check the cases of `test` or `predict`.

        Raises:
            ValueError: If one cannot be read.
        """


@runtime_checkable
class TakesOptions(Protocol):
    """A module whose prediction takes options: the keys of `conf/predict.yaml` of the same names.

    It defines only the arguments that it takes; others are refused by name.
    """

    def set_prediction(
        self,
        *,
        expansion: str | float | None = None,
        perturb: Mapping[str, Sequence[float]] | None = None,
        prevalence: float | None = None,
        samples: int | None = None,
    ) -> None:
        """Change the next predictions.

        Raises:
            ValueError: If a value is out of range.
        """


@runtime_checkable
class Exports(Protocol):
    """A module whose prediction is one graph from a batch of images; `export.py` writes it."""

    def export_step(self, image: Tensor) -> Tensor:
        """Predict images (B, C, *spatial), with tensor operations alone."""


@runtime_checkable
class Fitted(Protocol):
    """A part of a module that `finalize` fits; a checkpoint from before that is refused."""

    def check_fitted(self) -> None:
        """Complain when it is read before it is fitted.

        Raises:
            ValueError: If it has not been fitted.
        """


@runtime_checkable
class Pretrained(Protocol):
    """A network with pretrained weights that expect normalised images.

    `trained_on` holds the means and the standard deviations of the channels of the images it was trained on, for
    intensities in [0, 1]. Data that are normalised otherwise are refused.
    """

    trained_on: tuple[Sequence[float], Sequence[float]]
