"""List cases with label maps for a check: nnU-Net's layout, folders of pictures and folders of patients."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medzoo.datamodules.check.listing import Findings, Item, Listing, patient_of
from medzoo.datamodules.io import VOLUMES, find_table, listed, read_json, some, spelt
from medzoo.datamodules.io.pictures.labels import class_colours
from medzoo.datamodules.io.pictures.pages import PICTURES
from medzoo.datamodules.segmentation.files import ENDING, UNNAMED, CaseFiles, of_ending
from medzoo.datamodules.segmentation.labels import read_labels
from medzoo.datamodules.segmentation.pictures import listed as listed_patients

__all__ = ["list_cases", "list_patient_folders", "list_pictures"]

_EXAMPLE = '{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}'


def list_cases(root: Path, settings: Mapping[str, Any]) -> Listing:
    """List nnU-Net's raw layout (`datamodules/segmentation/files.py`)."""
    file = root / "dataset.json"
    found = Listing("nnU-Net's raw layout", channels=("intensity",), used={file})
    about = _read_about(file, found)
    ending = about.get("file_ending", ENDING)
    if ending not in VOLUMES:
        line = f"dataset.json: file_ending {ending}; pictures go into images/ and masks/, without dataset.json"
        found.findings.fault("dataset.json", line)
    for part, split in (("Tr", "train"), ("Ts", "test")):
        images, masks = (of_ending(root / f"{kind}{part}", ending) for kind in ("images", "labels"))
        cases = _channels_of(images)
        for case, files in cases.items():
            if sorted(files) != list(range(len(found.channels))):
                told = f"images{part}: of {case} there is {', '.join(each.name for each in files.values())}"
                wanted = f"dataset.json names channels 0 to {len(found.channels) - 1}; add, rename or remove files"
                found.findings.fault("channels", f"{told}; {wanted}")
                continue
            patient = patient_of(case, settings, found.findings)
            inside = tuple(files[number] for number in sorted(files))
            found.items.append(Item(f"images{part}/{case}", inside, split, None, patient, masks.get(case)))
        _unmatched(found.findings, cases, masks, f"images{part}", f"labels{part}", needed=part == "Tr")
    training = sum(item.split == "train" for item in found.items)
    if about.get("numTraining", training) != training:
        found.findings.notes.append(f"dataset.json says numTraining {about['numTraining']}; there are {training}")
    if not any(item.split == "test" for item in found.items):
        found.items = [Item(each.id, each.files, "", None, each.patient, each.mask) for each in found.items]
    return found


def list_pictures(root: Path, settings: Mapping[str, Any]) -> Listing:
    """List `images` and `masks` (`datamodules/segmentation/pictures.py`)."""
    found = Listing("pictures with masks", channels=("grey",))
    classes = settings.get("classes") or UNNAMED
    coloured = class_colours(classes) if isinstance(classes, Mapping) else {}
    found.colours = tuple(coloured.values())
    found.values = {str(name): (value,) for value, name in enumerate(coloured or classes)}
    images, masks = ({file.stem: file for file in listed(root / kind) if file.suffix.lower() in PICTURES}
                     for kind in ("images", "masks"))  # fmt: skip
    for kind, files in (("images", images), ("masks", masks)):
        for file in listed(root / kind):
            if file.suffix.lower() in PICTURES and files[file.stem] != file:
                line = f"{kind}/{file.name}: {files[file.stem].name} has the same name; rename or remove one"
                found.findings.fault("twice", line)
    patients: Mapping[str, str] = {}
    found.used = {find_table(root, "patients")}
    try:
        patients = listed_patients(root, [CaseFiles(name, (file,)) for name, file in images.items()]) or {}
    except ValueError as error:
        found.findings.fault("patient", str(error))
    for name, file in images.items():
        patient = patients.get(name) or patient_of(name, settings, found.findings)
        found.items.append(Item(f"images/{file.name}", (file,), "", None, patient, masks.get(name)))
    _unmatched(found.findings, images, masks, "images", "masks", needed=True)
    return found


def list_patient_folders(root: Path, settings: Mapping[str, Any]) -> Listing:
    """List a folder for each patient (`datamodules/segmentation/folders.py`)."""
    values: dict[str, tuple[int, ...]] = {str(name): (value,) for value, name in enumerate(settings["classes"])}
    found = Listing("a folder for each patient", channels=tuple(settings["images"]), values=values)
    found.used = {find_table(root, "patients")}
    for folder in (path for path in listed(root) if path.is_dir()):
        wanted = [spelt(folder / f"{name}{ENDING}") for name in (*settings["images"], settings["mask"])]
        for file in wanted:
            if not file.is_file():
                line = f"{folder.name}: no {file.name}; add it, or leave the patient out"
                found.findings.fault("incomplete", line)
        if all(file.is_file() for file in wanted[:-1]):
            mask = wanted[-1] if wanted[-1].is_file() else None
            found.items.append(Item(folder.name, tuple(wanted[:-1]), "", None, folder.name, mask))
    return found


def _read_about(file: Path, found: Listing) -> dict[str, Any]:
    """Read `dataset.json`; puts its channels and labels into `found`."""
    about: dict[str, Any] = {}
    try:
        about = read_json(file)
        channels = about.get("channel_names") or about.get("modality") or {"0": "CT"}
        found.channels = tuple(channels[key] for key in sorted(channels, key=int))
        labels = read_labels(about, file)
        values = labels.regions or tuple((value,) for value in range(1, len(labels.names)))
        found.values = dict(zip(labels.names, ((0,), *values), strict=True))
        if labels.ignore is not None:
            found.values["ignore"] = (labels.ignore,)
    except OSError:
        found.findings.fault("dataset.json", f"dataset.json: there is none; write one, such as {_EXAMPLE}")
    except (ValueError, TypeError, AttributeError) as error:
        where = "" if str(file) in str(error) else f"{file}: "
        found.findings.fault("dataset.json", f"{where}{error}; write it like {_EXAMPLE}")
    return about


def _channels_of(images: Mapping[str, Path]) -> dict[str, dict[int, Path]]:
    """Files by case and channel; if no name ends in `_0000`, each is a case of one channel."""
    found: dict[str, dict[int, Path]] = {}
    numbered = {name: re.fullmatch(r"(.*)_(\d{4})", name) for name in images}
    old = not any(name.endswith("_0000") for name in images)
    for name, match in numbered.items():
        case, number = (match.group(1), int(match.group(2))) if match and not old else (name, 0)
        found.setdefault(case, {})[number] = images[name]
    return found


def _unmatched(
    findings: Findings, images: Iterable[str], masks: Mapping[str, Path], one: str, other: str, *, needed: bool
) -> None:
    pictured = {*images}
    bare = [name for name in images if name not in masks]
    for name in bare if needed else ():
        findings.fault("no mask", f"{one}: {name} has no mask in {other}; add it, or move the image away")
    if bare and not needed:
        findings.notes.append(f"{one}: cases without a mask, for prediction alone: {len(bare)} ({some(bare)})")
    for name in masks:
        if name not in pictured:
            findings.fault(
                "no image", f"{other}/{masks[name].name}: no image of it in {one}; add it, or remove the mask"
            )
