"""Find the images of a folder: files by ending, and DICOM, where a folder may be one volume."""

import logging
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal

from medzoo.datamodules.io.dicom.files import DICOM, holds_dicom, is_marked
from medzoo.datamodules.io.files import listed, some
from medzoo.datamodules.io.volumes.formats import VOLUMES

__all__ = ["Dicom", "check_no_folder", "find_volumes", "named"]

log = logging.getLogger(__name__)

Dicom = Literal["series", "files", "none"]
"""Whether a folder of DICOM is one image, each DICOM file is one, or DICOM is ignored."""


def named(folder: Path, endings: Sequence[str], *, below: bool = False, dicom: Dicom = "none") -> dict[str, Path]:
    """Find images by name, in order; other files are counted and logged.

    DICOM is recognised by its ending or, in folders where most files have none of the endings, by its mark.

    Args:
        folder: The folder.
        endings: Endings of the files, in lower case; the longest match is removed from a name.
        below: Whether to search subfolders; names are then paths.
        dicom: How to treat DICOM.

    Returns:
        Files by path below the folder without ending. If two names are equal, the second keeps its ending, which is
        `.dcm` for a folder of DICOM. If `folder` itself is an image, it goes by its own name.

    Raises:
        ValueError: If a folder is named like a file.
    """
    within = listed(folder, "**/*" if below else "*")
    check_no_folder(within, endings)
    files = [file for file in within if file.is_file() or (below and file.is_symlink())]  # linked folders are logged
    endings = (*endings, *DICOM) if dicom == "files" else tuple(endings)
    found: dict[str, Path] = {}
    others: list[str] = []
    for home, group in groupby(sorted(files, key=lambda file: file.parent), key=lambda file: file.parent):
        here = list(group)
        odd = [file for file in here if not _ending(file, endings)]
        marked = _dicom_in(odd, unmarked=2 * len(odd) <= len(here)) if dicom != "none" else []
        if marked and dicom == "series":
            name = home.resolve().name if home == folder else home.relative_to(folder).as_posix()
            found[f"{name}{DICOM[0]}" if name in found else name] = home
            odd = marked = []
        for file in here:
            name = file.relative_to(folder).as_posix()
            ending = _ending(file, endings)
            short = name[: len(name) - len(ending)]
            if ending or file in marked:
                found[name if short in found else short] = file
            elif file in odd:
                others.append(name)
    if others:
        told = "%s: %d files of %d are no images and are left out: %s"
        log.warning(told, folder, len(others), len(files), some(others))
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def check_no_folder(paths: Sequence[Path], endings: Sequence[str]) -> None:
    """Refuse a folder that is named like a file, as some programs unpack an archive.

    Raises:
        ValueError: If there is one.
    """
    for path in paths:
        if path.is_dir() and _ending(path, endings) and not holds_dicom(path):
            raise ValueError(f"{path} could not be read as an image (it is a folder); move its content out")


def find_volumes(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """Find volumes by name, ignoring case: files of any format, or folders of DICOM.

    Raises:
        ValueError: If there are several of a name.
    """
    there, volumes = [(path.name.lower(), path) for path in listed(folder)], {}
    for name in names:
        wanted = {f"{name.lower()}{ending}" for ending in VOLUMES}
        found = [path for lower, path in there if lower in wanted and path.is_file()]
        found += [path for lower, path in there if lower == name.lower() and path.is_dir() and holds_dicom(path)]
        if len(found) > 1:
            raise ValueError(f"{found[0]}: and {found[1].name} beside it; keep one of the two")
        if found:
            volumes[name] = found[0]
    return volumes


def _ending(file: Path, endings: Sequence[str]) -> str:
    return max((end for end in endings if file.name.lower().endswith(end)), key=len, default="")


def _dicom_in(files: Sequence[Path], *, unmarked: bool) -> list[Path]:
    """The DICOM files among those without another known ending.

    Args:
        files: The files.
        unmarked: Whether to go by names only, without opening files.
    """
    by_name = [file for file in files if file.name.lower().endswith(DICOM)]
    if by_name or unmarked:
        return by_name
    return [file for file in files if file.is_file() and is_marked(file)]
