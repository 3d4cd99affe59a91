"""Predict on new images: `python predict.py ckpt_path=.../best.ckpt input=folder_of_images`. See `--help`."""

from medzoo.runtime.cli import main

if __name__ == "__main__":
    main("predict")
