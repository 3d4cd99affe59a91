"""Export a trained model: `python export.py ckpt_path=<file> output=model.onnx`. See `--help`."""

from medzoo.runtime.cli import main

if __name__ == "__main__":
    main("export")
