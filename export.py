"""Export a trained model: `python export.py ckpt_path=<file> output=model.onnx`. See `--help`."""

from runtime.cli import main
from runtime.export import export_verb

if __name__ == "__main__":
    main(export_verb, "export")
