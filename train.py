"""Train a system, test it and report: `python train.py experiment=medmnist_classification_demo`. See `--help`."""

from medzoo.runtime.cli import main

if __name__ == "__main__":
    main("train")
