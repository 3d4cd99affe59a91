"""`prepare.py`: fetch and check a data set, check a folder, or convert raw files into a layout."""

import sys

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from medzoo.runtime.build import instantiate, resolve
from medzoo.runtime.contracts import ChecksFolder, HasImages, NamesClasses, Prepares
from medzoo.runtime.errors import user_errors

__all__ = ["prepare"]


def prepare(config: DictConfig) -> None:
    """Check the folder `check`, or run `preparation`, or fetch and check the data of `datamodule`.

    The first one that is set is done. Faults of a folder end the process with exit code 1.

    Args:
        config: As composed from `conf/prepare.yaml`.

    Raises:
        UserError: If the data are missing or wrong.
    """
    if config.check is not None:
        _check(config)
        return
    config = _without(config, "check", "checks")
    if config.get("preparation"):
        plain = resolve(_without(config, "datamodule"))
        preparation: Prepares = instantiate(plain["preparation"], "preparation")
        with user_errors("preparation"):
            preparation.run()
        return
    datamodule = instantiate(resolve(config)["datamodule"], "datamodule")
    with user_errors("datamodule"):
        datamodule.prepare_data()
        datamodule.setup()
    shape = datamodule.image_shape if isinstance(datamodule, HasImages) else None  # a table alone has none
    table = Table("split", "images" if shape else "cases")
    for name, ids in datamodule.split.items():
        table.add_row(name, f"{len(ids):,}")
    console = Console()
    console.print(table)
    classes = f"classes: {', '.join(datamodule.class_names)}; " if isinstance(datamodule, NamesClasses) else ""
    console.print(f"{classes}image (C, *spatial): {shape}" if shape else classes.removesuffix("; "))


def _check(config: DictConfig) -> None:
    plain = resolve(OmegaConf.masked_copy(config, ["check", "checks"]))
    layout = OmegaConf.to_container(config.datamodule, resolve=True)  # its root may be missing
    check: ChecksFolder = instantiate(plain["checks"], "checks", datamodule=layout)
    with user_errors("check"):
        faults = check.run()
    if faults:
        sys.exit(1)


def _without(config: DictConfig, *keys: str) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key not in keys])
