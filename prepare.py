"""Get and check a data set: `python prepare.py datamodule=medmnist datamodule.name=breastmnist`. See `--help`."""

from medzoo.runtime.cli import main

if __name__ == "__main__":
    main("prepare")
