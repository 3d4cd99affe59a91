"""What a careful person looks at first in a data set: what `prepare.py check=<folder>` runs."""

from medzoo.datamodules.check.folder import FolderCheck

__all__ = ["FolderCheck"]
