"""nnU-Net's raw layout, new (`Dataset004_Name`) and old (`Task04_Name`).

<root>/dataset.json                        labels, and the channels as channel_names (new) or modality (old)
<root>/imagesTr/<case>_0000.nii.gz         a file for each channel; with one channel, <case>.nii.gz will do
<root>/labelsTr/<case>.nii.gz
<root>/imagesTs, <root>/labelsTs           the test, where there is one
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.io import listed, named, some
from datamodules.io.pictures import PICTURES, is_picture

__all__ = ["UNNAMED", "CaseFiles", "DatasetFiles", "find_images", "read_dataset"]

log = logging.getLogger(__name__)

ENDING = ".nii.gz"
UNNAMED = ["background", "foreground"]
"""Classes of masks that say where something is and not what."""


@dataclass(frozen=True)
class CaseFiles:
    """Where an image lies.

    Attributes:
        id: Name of the case.
        images: A file for each channel.
        mask: The label map, none where there is none.
        colours: Of a mask that is a picture, by label value the red, green and blue that mean it; none where it holds
            label values.
    """

    id: str
    images: tuple[Path, ...]
    mask: Path | None = None
    colours: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class DatasetFiles:
    """What `dataset.json` says, and the files found.

    Attributes:
        classes: Names by label value, 0 is the background.
        channels: Names of the channels.
        train: Cases with masks.
        test: Cases of `imagesTs` that have masks.
        other: All others; they can be predicted on.
    """

    classes: tuple[str, ...]
    channels: tuple[str, ...]
    train: tuple[CaseFiles, ...]
    test: tuple[CaseFiles, ...]
    other: tuple[CaseFiles, ...] = ()


def read_dataset(root: Path) -> DatasetFiles:
    """Read `dataset.json` and list the cases.

    Args:
        root: The data set's folder.

    Returns:
        Its cases in order of name.

    Raises:
        FileNotFoundError: If there is no `dataset.json`, or no training case.
        ValueError: If it names no classes, or a training case lacks its mask.
    """
    file = root / "dataset.json"
    if not file.is_file():
        raise FileNotFoundError(f"no {file}: set datamodule.root to a data set in nnU-Net's raw layout")
    said = json.loads(file.read_text())
    classes, channels = _classes(said, file), _names(said.get("channel_names") or said.get("modality") or {"0": "CT"})
    train = _cases(root, "Tr", len(channels))
    if not train:
        raise FileNotFoundError(f"{root / 'imagesTr'} holds no case: expected files such as case_0000{ENDING}")
    missing = [case.id for case in train if case.mask is None]
    if missing:
        raise ValueError(
            f"{root / 'labelsTr'} has no mask for {', '.join(missing[:5])}; add it, or move the image away"
        )
    rest = _cases(root, "Ts", len(channels))
    test, other = (tuple(case for case in rest if bool(case.mask) is there) for there in (True, False))
    return DatasetFiles(classes, channels, train, test, other)


def find_images(path: Path, channels: int) -> tuple[CaseFiles, ...]:
    """Cases to predict on: one NIfTI file or picture, or a folder of them, NIfTI named as in `imagesTr`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a case lacks a channel.
    """
    if path.is_file() and channels == 1:
        name = path.stem if is_picture(path) else path.name.removesuffix(ENDING).removesuffix("_0000")
        return (CaseFiles(name, (path,)),)
    found = _images(path, channels) if path.is_dir() else {}
    if found:
        used = {file for files in found.values() for file in files}
        if left := [file.name for file in listed(path) if file not in used]:
            log.warning("%s: %d of what lies there is no such image and left out: %s", path, len(left), some(left))
    if not found and path.is_dir() and channels == 1:
        found = {name: (file,) for name, file in named(path, PICTURES, below=True).items()}
    if not found:
        raise FileNotFoundError(
            f"no images in {path}: expected a .nii.gz file, a folder of <case>_0000{ENDING}, or pictures"
        )
    return tuple(CaseFiles(name, files) for name, files in found.items())


def _cases(root: Path, split: str, channels: int) -> tuple[CaseFiles, ...]:
    folder, masks = root / f"images{split}", root / f"labels{split}"
    cases = []
    for name, files in (_images(folder, channels) if folder.is_dir() else {}).items():
        mask = masks / f"{name}{ENDING}"
        cases.append(CaseFiles(name, files, mask if mask.is_file() else None))
    return tuple(cases)


def _images(folder: Path, channels: int) -> dict[str, tuple[Path, ...]]:
    """Files of each case; hidden ones, which macOS leaves about, are no images."""
    files = [file for file in sorted(folder.iterdir()) if file.name.endswith(ENDING) and file.name[0] != "."]
    numbered = {file.name.removesuffix(ENDING)[:-5] for file in files if file.name.endswith(f"_0000{ENDING}")}
    cases = {}
    for name in sorted(numbered):
        cases[name] = tuple(folder / f"{name}_{channel:04d}{ENDING}" for channel in range(channels))
        missing = [file.name for file in cases[name] if not file.is_file()]
        if missing:
            raise ValueError(f"{folder}: {name} lacks {', '.join(missing)}; dataset.json names {channels} channels")
    if channels == 1 and not numbered:  # the old layout of tasks with one channel
        cases = {file.name.removesuffix(ENDING): (file,) for file in files}
    return cases


def _classes(said: dict[str, Any], file: Path) -> tuple[str, ...]:
    labels = said.get("labels") or {}
    by_name = {name: value for name, value in labels.items() if not str(name).isdigit()}
    pairs = {int(value): name for name, value in by_name.items()} or {int(k): str(v) for k, v in labels.items()}
    if sorted(pairs) != list(range(len(pairs))) or len(pairs) < 2:
        raise ValueError(f"{file}: labels must be background 0 and classes 1, 2, ...; it says {labels}")
    return tuple(pairs[value] for value in range(len(pairs)))


def _names(channels: dict[str, str]) -> tuple[str, ...]:
    return tuple(channels[key] for key in sorted(channels, key=int))
