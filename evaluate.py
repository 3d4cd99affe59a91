"""Test a checkpoint again: `python evaluate.py ckpt_path=outputs/.../checkpoints/best.ckpt`. See `--help`."""

from medzoo.runtime.cli import main

if __name__ == "__main__":
    main("evaluate")
