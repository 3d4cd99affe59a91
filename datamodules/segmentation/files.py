"""nnU-Net's raw layout, new (`Dataset004_Name`) and old (`Task04_Name`).

<root>/dataset.json                        labels, and the channels as channel_names (new) or modality (old)
<root>/imagesTr/<case>_0000.nii.gz         a file for each channel; with one channel, <case>.nii.gz will do
<root>/labelsTr/<case>.nii.gz
<root>/imagesTs, <root>/labelsTs           the test, optional

`file_ending` of dataset.json is .nii.gz (the default), .nii, .nrrd, .mha or .mhd.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medzoo.datamodules.io import VOLUMES, listed, named, read_json, some, volume_ending
from medzoo.datamodules.io.dicom.files import DICOM
from medzoo.datamodules.io.pictures.pages import PICTURES, is_picture
from medzoo.datamodules.segmentation.labels import Labels, read_labels

__all__ = ["UNNAMED", "CaseFiles", "DatasetFiles", "find_images", "of_ending", "read_dataset"]

log = logging.getLogger(__name__)

ENDING = ".nii.gz"
UNNAMED = ["background", "foreground"]
"""Classes of binary masks without class names."""


@dataclass(frozen=True)
class CaseFiles:
    """Files of a case."""

    id: str  # name of the case
    images: tuple[Path, ...]  # a file for each channel
    mask: Path | None = None  # the label map, if there is one
    # red, green and blue by label value, for masks that are coloured pictures; else empty
    colours: tuple[tuple[int, int, int], ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """All files: the images, and the label map if there is one."""
        return (*self.images, *([self.mask] if self.mask else []))


@dataclass(frozen=True)
class DatasetFiles:
    """Content of `dataset.json`, and the files found."""

    classes: tuple[str, ...]  # names by label value, or of regions; the first is the background
    channels: tuple[str, ...]  # names of the channels
    train: tuple[CaseFiles, ...]  # cases with masks
    test: tuple[CaseFiles, ...]  # cases of `imagesTs` that have masks
    other: tuple[CaseFiles, ...] = ()  # all others, for prediction only
    labels: Labels | None = None  # meaning of label values, if not simply one per class


def read_dataset(root: Path) -> DatasetFiles:
    """Read `dataset.json` in the folder of a data set and list its cases, in order of name.

    Raises:
        FileNotFoundError: If there is no `dataset.json`, or no training case.
        ValueError: If it names no classes or another file format, or a training case lacks its mask.
    """
    file = root / "dataset.json"
    if not file.is_file():
        raise FileNotFoundError(f"no {file}: set datamodule.root to a data set in nnU-Net's raw layout")
    description = read_json(file)
    labels, channels = read_labels(description, file), _channels(description, file)
    ending = description.get("file_ending", ENDING)
    if ending not in VOLUMES:
        known = f"volumes end in {', '.join(VOLUMES)}; pictures go into images/ and masks/, without dataset.json"
        raise ValueError(f"{file}: file_ending {ending}, but {known}")
    train = _cases(root, "Tr", len(channels), ending)
    if not train:
        raise FileNotFoundError(f"{root / 'imagesTr'} holds no case: expected files such as case_0000{ending}")
    missing = [case.id for case in train if case.mask is None]
    if missing:
        raise ValueError(f"{root / 'labelsTr'} has no mask for {some(missing)}; add it, or move the image away")
    rest = _cases(root, "Ts", len(channels), ending)
    test, other = (tuple(case for case in rest if bool(case.mask) is there) for there in (True, False))
    return DatasetFiles(labels.names, channels, train, test, other, labels)


def find_images(path: Path, channels: int, axes: int = 3) -> tuple[CaseFiles, ...]:
    """Find cases to predict: one volume or picture, or all below a folder; ids are paths below it.

    Args:
        path: An image, or a folder. Volumes of several channels are named as in `imagesTr`; those of one may be.
        channels: Number of channels of a case.
        axes: Spatial axes of an image. With 3, a folder of DICOM files is one image; with 2, each file is one.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a case lacks a channel, or exists in two formats.
    """
    if path.is_file() and channels == 1:
        ending = volume_ending(path) or (path.suffix if path.suffix.lower() in (*PICTURES, *DICOM) else "")
        return (CaseFiles(path.name[: len(path.name) - len(ending)].removesuffix("_0000"), (path,)),)
    if (path / "dataset.json").is_file() or (path / "imagesTr").is_dir():
        parts = [f"imagesT{letter}" for letter in "sr" if (path / f"imagesT{letter}").is_dir()]
        raise ValueError(f"{path}: a data set with label maps; give {' or '.join(str(path / part) for part in parts)}")
    kinds = (*VOLUMES, *PICTURES)
    found = named(path, kinds, below=True, dicom="series" if axes == 3 else "files") if path.is_dir() else {}
    pictures = {name: file for name, file in found.items() if is_picture(file)}
    volumes = _volumes(path, {name: file for name, file in found.items() if name not in pictures})
    cases = _by_channel(path, volumes, channels) if volumes else {}
    if not cases and channels == 1:
        cases = {name: (file,) for name, file in pictures.items()}
    if not cases:
        wanted = f"a volume ({', '.join(VOLUMES)}, DICOM), a folder of <case>_0000{ENDING} or the like, or pictures"
        raise FileNotFoundError(f"no images in {path}: expected {wanted}")
    used = {file for files in cases.values() for file in files}
    if left := [file.relative_to(path).as_posix() for file in found.values() if file not in used]:
        log.warning("%s: %d images are of another kind or channel and left out: %s", path, len(left), some(left))
    return tuple(CaseFiles(name, files) for name, files in cases.items())


def _volumes(path: Path, found: Mapping[str, Path]) -> dict[str, Path]:
    """Volumes by name without ending; some names kept it because a picture has the same name."""
    volumes: dict[str, Path] = {}
    for name, file in found.items():
        ending = next((end for end in (*VOLUMES, *DICOM) if name.lower().endswith(end)), "")
        short = name[: len(name) - len(ending)]
        if short in volumes:
            raise ValueError(f"{path}: {volumes[short].name} and {file.name} are both {short}; remove one")
        volumes[short] = file
    return volumes


def _by_channel(path: Path, volumes: Mapping[str, Path], channels: int) -> dict[str, tuple[Path, ...]]:
    """Volumes of each case; in a folder with names that end in `_0000`, all others are ignored."""
    numbered = [name.removesuffix("_0000") for name in volumes if name.endswith("_0000")]
    homes = {Path(name).parent for name in numbered}
    cases = {}
    for name in numbered:
        wanted = [f"{name}_{channel:04d}" for channel in range(channels)]
        if missing := [each for each in wanted if each not in volumes]:
            raise ValueError(f"{path}: {name} lacks {', '.join(missing)}; there are {channels} channels")
        cases[name] = tuple(volumes[each] for each in wanted)
    if channels == 1:
        cases |= {name: (file,) for name, file in volumes.items() if Path(name).parent not in homes}
    return cases


def _cases(root: Path, split: str, channels: int, ending: str) -> tuple[CaseFiles, ...]:
    folder, masks = root / f"images{split}", of_ending(root / f"labels{split}", ending)
    images = _by_channel(folder, of_ending(folder, ending), channels)
    if alone := [name for name in masks if name not in images]:
        raise ValueError(f"{folder} has no image of the mask {some(alone)}; add it, or move the mask away")
    _tell_others(folder, {file for files in images.values() for file in files})
    return tuple(CaseFiles(name, files, masks.get(name)) for name, files in images.items())


def of_ending(folder: Path, ending: str) -> dict[str, Path]:
    """Files by name without the ending, whose case is ignored; hidden files, which macOS leaves, are skipped."""
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


def _channels(description: dict[str, Any], file: Path) -> tuple[str, ...]:
    names = description.get("channel_names") or description.get("modality") or {"0": "CT"}
    if not isinstance(names, dict) or not all(str(key).isdigit() for key in names):
        raise ValueError(f'{file}: channel_names must be such as {{"0": "CT", "1": "PET"}}; it says {names}')
    return tuple(str(names[key]) for key in sorted(names, key=int))
