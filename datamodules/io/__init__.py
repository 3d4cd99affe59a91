"""The only room that opens image, table and archive files: each kind has one reader, and each question one answer."""

from datamodules.io.files import hidden, listed, named, opening, some, written

__all__ = ["hidden", "listed", "named", "opening", "some", "written"]
