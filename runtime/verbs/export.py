"""`export.py`: write the prediction of a checkpoint as a graph."""

import logging
from pathlib import Path

from omegaconf import DictConfig

from medzoo.runtime.build import resolve
from medzoo.runtime.checkpoints import graph

__all__ = ["export"]

log = logging.getLogger(__name__)


def export(config: DictConfig) -> None:
    """Export `ckpt_path` to `output`.

    Args:
        config: As composed from `conf/export.yaml`.

    Raises:
        UserError: If an input is wrong.
    """
    given = resolve(config)
    output = given["output"] or Path(given["ckpt_path"]).with_suffix(".onnx")
    file, difference = graph.export(given["ckpt_path"], output, quantise=given["quantise"])
    log.info("%s: %.1f MB, differs from the module by at most %.1g", file, file.stat().st_size / 2**20, difference)
