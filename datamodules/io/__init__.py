"""The only room that opens image, table and archive files: each kind has one reader, and each question one answer."""

from datamodules.io.files import hidden, listed, opening, written

__all__ = ["hidden", "listed", "opening", "written"]
