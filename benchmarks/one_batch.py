"""A module of an experiment and a batch of the shapes that it trains on."""

from collections.abc import Mapping
from typing import Any

import torch

from medzoo.runtime.build import instantiate
from medzoo.runtime.checkpoints.checkpoint import without_pretrained
from medzoo.runtime.contracts import PreparesBatches

__all__ = ["module_and_batch"]


def module_and_batch(config: Mapping[str, Any], device: str = "cpu") -> tuple[Any, dict[str, Any]]:
    """The module of a stage, which reads no data, and its `empty_batch`.

    Args:
        config: Of the stage.
        device: Where the weights are, and what is made of the batch before it reaches the step.
    """
    datamodule = instantiate(config["datamodule"], "datamodule")
    module = instantiate(without_pretrained(config["lightning_module"]), "lightning_module").to(device)
    batch = datamodule.empty_batch()
    if isinstance(module, PreparesBatches):
        with torch.no_grad():
            batch = module.prepared(batch)
    module.on_fit_start = lambda: None  # it reads the data
    return module, batch
