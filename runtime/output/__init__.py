"""The files of a run: written, found and read again."""
