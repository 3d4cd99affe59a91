"""Get and check a data set: `python prepare.py datamodule=medmnist datamodule.name=breastmnist`. See `--help`."""

from runtime.cli import main
from runtime.prepare import prepare

if __name__ == "__main__":
    main(prepare, "prepare")
