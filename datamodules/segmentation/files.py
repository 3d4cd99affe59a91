"""nnU-Net's raw layout, new (`Dataset004_Name`) and old (`Task04_Name`).

<root>/dataset.json                        labels, and the channels as channel_names (new) or modality (old)
<root>/imagesTr/<case>_0000.nii.gz         a file for each channel; with one channel, <case>.nii.gz will do
<root>/labelsTr/<case>.nii.gz
<root>/imagesTs, <root>/labelsTs           the test, where there is one

Files end as `file_ending` of dataset.json says: .nii.gz where it says nothing, .nii, .nrrd, .mha or .mhd.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datamodules.io import VOLUMES, listed, named, read_json, some, volume_ending
from datamodules.io.pictures import PICTURES
from datamodules.segmentation.labels import Labels, read_labels

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
        classes: Names by label value, or of regions; the first is the background.
        channels: Names of the channels.
        train: Cases with masks.
        test: Cases of `imagesTs` that have masks.
        other: All others; they can be predicted on.
        labels: What label values mean, where they are not just those of the classes.
    """

    classes: tuple[str, ...]
    channels: tuple[str, ...]
    train: tuple[CaseFiles, ...]
    test: tuple[CaseFiles, ...]
    other: tuple[CaseFiles, ...] = ()
    labels: Labels | None = None


def read_dataset(root: Path) -> DatasetFiles:
    """Read `dataset.json` and list the cases.

    Args:
        root: The data set's folder.

    Returns:
        Its cases in order of name.

    Raises:
        FileNotFoundError: If there is no `dataset.json`, or no training case.
        ValueError: If it names no classes, or files of another kind, or a training case lacks its mask.
    """
    file = root / "dataset.json"
    if not file.is_file():
        raise FileNotFoundError(f"no {file}: set datamodule.root to a data set in nnU-Net's raw layout")
    said = read_json(file)
    labels, channels = read_labels(said, file), _channels(said, file)
    ending = said.get("file_ending", ENDING)
    if ending not in VOLUMES:
        known = f"volumes end in {', '.join(VOLUMES)}; pictures go into images/ and masks/, without dataset.json"
        raise ValueError(f"{file}: file_ending {ending}, but {known}")
    train = _cases(root, "Tr", len(channels), ending)
    if not train:
        raise FileNotFoundError(f"{root / 'imagesTr'} holds no case: expected files such as case_0000{ending}")
    missing = [case.id for case in train if case.mask is None]
    if missing:
        raise ValueError(
            f"{root / 'labelsTr'} has no mask for {', '.join(missing[:5])}; add it, or move the image away"
        )
    rest = _cases(root, "Ts", len(channels), ending)
    test, other = (tuple(case for case in rest if bool(case.mask) is there) for there in (True, False))
    return DatasetFiles(labels.names, channels, train, test, other, labels)


def find_images(path: Path, channels: int) -> tuple[CaseFiles, ...]:
    """Cases to predict on: one volume or picture, or a folder of them, volumes named as in `imagesTr`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a case lacks a channel, or stands there in two formats.
    """
    if path.is_file() and channels == 1:
        ending = volume_ending(path) or path.suffix
        return (CaseFiles(path.name[: len(path.name) - len(ending)].removesuffix("_0000"), (path,)),)
    found: dict[str, tuple[Path, ...]] = {}
    for ending in VOLUMES if path.is_dir() else ():
        more = _images(path, channels, ending)
        if both := found.keys() & more.keys():
            name = sorted(both)[0]
            raise ValueError(f"{path}: {found[name][0].name} and {more[name][0].name} are both {name}; remove one")
        found |= more
    if found:
        used = {file for files in found.values() for file in files}
        _tell_others(path, used)
    if not found and path.is_dir() and channels == 1:
        found = {name: (file,) for name, file in named(path, PICTURES, below=True).items()}
    if not found:
        wanted = f"a volume ({', '.join(VOLUMES)}), a folder of <case>_0000{ENDING} or the like, or pictures"
        raise FileNotFoundError(f"no images in {path}: expected {wanted}")
    return tuple(CaseFiles(name, files) for name, files in found.items())


def _cases(root: Path, split: str, channels: int, ending: str) -> tuple[CaseFiles, ...]:
    folder, masks = root / f"images{split}", _volumes(root / f"labels{split}", ending)
    images = _images(folder, channels, ending)
    if alone := [name for name in masks if name not in images]:
        raise ValueError(f"{folder} has no image of the mask {some(alone)}; add it, or move the mask away")
    _tell_others(folder, {file for files in images.values() for file in files})
    return tuple(CaseFiles(name, files, masks.get(name)) for name, files in images.items())


def _images(folder: Path, channels: int, ending: str) -> dict[str, tuple[Path, ...]]:
    """Files of each case."""
    files = _volumes(folder, ending)
    numbered = [name.removesuffix("_0000") for name in files if name.endswith("_0000")]
    if channels == 1 and not numbered:  # the old layout of tasks with one channel
        return {name: (file,) for name, file in files.items()}
    cases = {}
    for name in numbered:
        wanted = [f"{name}_{channel:04d}" for channel in range(channels)]
        if missing := [f"{one}{ending}" for one in wanted if one not in files]:
            raise ValueError(f"{folder}: {name} lacks {', '.join(missing)}; there are {channels} channels")
        cases[name] = tuple(files[one] for one in wanted)
    return cases


def _volumes(folder: Path, ending: str) -> dict[str, Path]:
    """By name without its ending, in whatever letters that is written; hidden ones, which macOS leaves, are none."""
    found: dict[str, Path] = {}
    for file in listed(folder) if folder.is_dir() else ():
        if file.name.lower().endswith(ending):
            name = file.name[: -len(ending)]
            if name in found:
                raise ValueError(f"{folder}: {found[name].name} and {file.name} are both {name}; remove one")
            found[name] = file
    return found


def _tell_others(folder: Path, used: set[Path]) -> None:
    left = [file.name for file in listed(folder) if file not in used] if folder.is_dir() else []
    if left:
        log.warning("%s: %d of what lies there is no such image and left out: %s", folder, len(left), some(left))


def _channels(said: dict[str, Any], file: Path) -> tuple[str, ...]:
    names = said.get("channel_names") or said.get("modality") or {"0": "CT"}
    if not isinstance(names, dict) or not all(str(key).isdigit() for key in names):
        raise ValueError(f'{file}: channel_names must be such as {{"0": "CT", "1": "PET"}}; it says {names}')
    return tuple(str(names[key]) for key in sorted(names, key=int))
