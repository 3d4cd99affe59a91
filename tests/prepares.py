"""A preparation of raw files that is soon done."""

from pathlib import Path


class Note:
    """Writes `file`, whose folder must be there."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def run(self) -> None:
        """Write it."""
        if not self.file.parent.is_dir():
            raise FileNotFoundError(f"no folder {self.file.parent}: make it first")
        self.file.write_text("prepared")
