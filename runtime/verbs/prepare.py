"""`prepare.py`: fetch and read a data set, check a folder, convert raw files into a layout, or tidy the store."""

import sys
from datetime import datetime

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from medzoo.runtime.build import instantiate, make_datamodule, resolve
from medzoo.runtime.contracts import ChecksFolder, HasImages, KeepsEntries, NamesClasses, Prepares
from medzoo.runtime.errors import UserError, user_errors

__all__ = ["prepare"]


def prepare(config: DictConfig) -> None:
    """Check the folder `check`, tidy the store, run `preparation`, or fetch and read the data of `datamodule`.

    The first one that is set is done. Faults of a folder end the process with exit code 1.

    Args:
        config: As composed from `conf/prepare.yaml`.

    Raises:
        UserError: If the data are missing or wrong.
    """
    if config.check is not None:
        _check(config)
        return
    if config.get("store") is not None:
        _tidy(config)
        return
    config = _without(config, "check", "checks", "store", "kept")
    if config.get("preparation"):
        plain = resolve(_without(config, "datamodule"))
        preparation: Prepares = instantiate(plain["preparation"], "preparation")
        with user_errors("preparation"):
            preparation.run()
        return
    datamodule = make_datamodule(resolve(config))
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


def _tidy(config: DictConfig) -> None:
    """List the store, clear it, or shrink it to a number of GB."""
    wanted = str(config.store)
    number = wanted.replace(".", "", 1)
    if wanted not in ("list", "clear") and not number.isdecimal():
        raise UserError(f"store={wanted}: expected list, clear, or a number of GB to keep")
    kept: KeepsEntries = instantiate(resolve(OmegaConf.masked_copy(config, ["kept", "store_dir"]))["kept"], "kept")
    console = Console()
    if wanted != "list":
        gone = kept.shrink(0 if wanted == "clear" else float(wanted) * 1e9)
        console.print(f"{gone:,} entries deleted")
    entries = kept.entries()
    size = sum(size for _, size, _ in entries) / 1e9
    oldest = f", used last {datetime.fromtimestamp(entries[0][2]):%Y-%m-%d} or later" if entries else ""
    console.print(f"{kept.folder}: {len(entries):,} entries, {size:.2f} GB{oldest}")


def _without(config: DictConfig, *keys: str) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key not in keys])
