"""Checks of a data set, run by `prepare.py check=<folder>`."""

from medzoo.datamodules.check.folder import FolderCheck

__all__ = ["FolderCheck"]
