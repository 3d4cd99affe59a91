"""What `prepare.py` does: get a data set, check it, and say what is in it."""

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from runtime.build import instantiate, resolve
from runtime.errors import user_errors

__all__ = ["prepare"]


def prepare(config: DictConfig) -> None:
    """Download or write the data of `datamodule`, check them, and print the size of each split.

    Args:
        config: As composed from `conf/prepare.yaml`.

    Raises:
        UserError: If the data cannot be had or are not as they should be.
    """
    datamodule = instantiate(resolve(config)["datamodule"], "datamodule")
    with user_errors("datamodule"):
        datamodule.prepare_data()
        datamodule.setup()
    table = Table("split", "images")
    for name, ids in datamodule.split.items():
        table.add_row(name, f"{len(ids):,}")
    console = Console()
    console.print(table)
    console.print(f"classes: {', '.join(datamodule.class_names)}; image (C, *spatial): {datamodule.image_shape}")
