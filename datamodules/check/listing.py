"""The content of a folder as one list, whatever its layout, with all that does not match."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medzoo.datamodules.images.folder import SPLIT_WORDS, without_ending
from medzoo.datamodules.io import is_missing, listed, read_table
from medzoo.datamodules.io.pictures.pages import PICTURES
from medzoo.datamodules.io.tables.table import ENDINGS as TABLES
from medzoo.datamodules.readers import ENDINGS
from medzoo.datamodules.seen import SPLITS
from medzoo.datamodules.segmentation.pictures import several_of_one_name
from medzoo.datamodules.splits import patient_in

__all__ = ["Findings", "Item", "Listing", "list_images", "patient_of", "short"]


@dataclass(frozen=True)
class Item:
    """An image with its labels, split and patient.

    Attributes:
        id: Its path below the folder, or the name of its case.
        files: One, or one for each channel.
        split: `train`, `val` or `test`; empty if unknown.
        labels: Its class, or its positive labels; None if there are no labels.
        patient: The patient; empty if unknown.
        mask: Its label map.
    """

    id: str
    files: tuple[Path, ...]
    split: str = ""
    labels: tuple[str, ...] | None = None
    patient: str = ""
    mask: Path | None = None


@dataclass
class Findings:
    """Faults by kind, a line each, and notes."""

    faults: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def fault(self, kind: str, line: str) -> None:
        """Add a fault."""
        self.faults.setdefault(kind, []).append(line)


@dataclass
class Listing:
    """The content of a folder.

    Attributes:
        layout: Description of the layout.
        items: Images to read.
        findings: Faults and notes so far.
        channels: Names of the channels of a case; empty if images have their own.
        values: Label values of each class or region of a segmentation.
        colours: Colours of masks by label value, if they are coloured.
        used: Other files that are part of the layout, such as tables.
    """

    layout: str
    items: list[Item] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    channels: tuple[str, ...] = ()
    values: dict[str, tuple[int, ...]] = field(default_factory=dict)
    colours: tuple[tuple[int, int, int], ...] = ()
    used: set[Path] = field(default_factory=set)


def list_images(root: Path, settings: Mapping[str, Any]) -> Listing:
    """List class folders, with or without splits, images of a table, or images without labels.

    Args:
        root: The folder.
        settings: Keys of `conf/datamodule/image_folder.yaml`; if empty, the layout is guessed.
    """
    images = [file for file in listed(root, "**/*") if file.is_file() and file.name.lower().endswith(ENDINGS)]
    settings = {"path": "path", "label": "label", "split": "split", **settings}
    table = (
        root / settings["table"]
        if settings.get("table")
        else _table_in(root, settings)
        if "_target_" not in settings
        else None
    )
    if table:
        return _listed_rows(root, images, table, settings)
    parts = [file.relative_to(root).parts for file in images]
    depth = 1 + any(each[0].lower() in SPLIT_WORDS for each in parts if len(each) > 1)
    classes = Counter(each[depth - 1] for each in parts if len(each) > depth)
    labelled = classes.total() * 2 >= len(images) and (len(classes) > 1 or depth == 2) and not _of_patients(parts)
    if labelled or "_target_" in settings:
        return _class_folders(root, images, depth, settings)
    found = Listing("images without labels")
    for file, each in zip(images, parts, strict=True):
        found.items.append(Item("/".join(each), (file,), SPLIT_WORDS.get(each[0].lower(), "") if each[1:] else ""))
    if _of_patients(parts):
        names = sorted({each[-1].removesuffix(".nii.gz") for each in parts})
        found.findings.notes.append(
            f"folders hold {', '.join(names[:5])} each: if they are patients, say datamodule=patient_folders with "
            "datamodule.images and datamodule.mask"
        )
    return found


def patient_of(name: str, settings: Mapping[str, Any], findings: Findings) -> str:
    """The patient of an image by `datamodule.patient`; empty if unknown."""
    pattern = settings.get("patient")
    try:
        return "" if pattern in (None, "(.*)") else patient_in(name, pattern)
    except ValueError as error:
        findings.fault("patient", f"{error}; rename the file, or correct the pattern")
        return ""


def short(text: object, root: Path) -> str:
    """A message or path without the path of the folder."""
    return str(text).replace(f"{root}/", "")


def _table_in(root: Path, settings: Mapping[str, Any]) -> Path | None:
    """The table with the columns, if there is one."""
    for file in listed(root):
        if file.suffix.lower() in TABLES:
            try:
                columns = read_table(file).columns
            except ValueError:  # listed among the other files
                continue
            if {settings["path"], settings["label"]} <= {*columns}:
                return file
    return None


def _of_patients(parts: Sequence[tuple[str, ...]]) -> bool:
    """Whether folders hold volumes of the same few names, as folders of patients do and those of classes do not."""
    folders, names = {each[:-1] for each in parts}, Counter(each[-1] for each in parts)
    repeated = all(2 * count >= len(folders) for count in names.values()) and len(names) < len(folders)
    return repeated and not any(name.lower().endswith(PICTURES) for name in names)


def _class_folders(root: Path, images: Sequence[Path], depth: int, settings: Mapping[str, Any]) -> Listing:
    found = Listing("class folders" + ", with splits" * (depth == 2))
    for file in images:
        parts = file.relative_to(root).parts
        split = SPLIT_WORDS.get(parts[0].lower(), "") if depth == 2 else ""
        if len(parts) <= depth or (depth == 2 and not split):
            found.findings.fault("loose", f"{'/'.join(parts)}: is not in a class folder; move it, or use a table")
            continue
        patient = patient_of(without_ending("/".join(parts[depth:])), settings, found.findings)
        found.items.append(Item("/".join(parts), (file,), split, (parts[depth - 1],), patient))
    pattern = several_of_one_name([Path(item.id).stem for item in found.items])
    if pattern and not settings.get("patient"):
        found.findings.notes.append(
            f"if names such as {found.items[0].id} are of a patient's images, say it: datamodule=image_folder "
            f"'datamodule.patient=\"{pattern}\"'"
        )
    return found


def _listed_rows(root: Path, images: Sequence[Path], file: Path, settings: Mapping[str, Any]) -> Listing:
    table, findings = read_table(file), Findings()
    several = not isinstance(settings["label"], str)
    labels = list(settings["label"]) if several else [settings["label"]]
    table.need(settings["path"], *labels, *filter(None, [settings.get("patient")]))
    found = Listing(f"images listed in {file.name}", findings=findings, used={file})
    rows, divided = {}, any(row.get(settings["split"]) for row in table.rows)
    for row in table.rows:
        name, split = row[settings["path"]], row.get(settings["split"], "")
        where = f"{file.name}, line {row.line}: {name or 'a row without a path'}"
        if name in rows:
            findings.fault("row", f"{where} occurs twice; keep one")
        elif not (root / name).is_file():
            findings.fault("row", f"{where}: no such file; add it, or delete the row")
        elif not all(row[label] in ("0", "1") if several else not is_missing(row[label]) for label in labels):
            findings.fault(
                "row", f"{where}: label {', '.join(row[label] or 'missing' for label in labels)}; correct it"
            )
        elif divided and split not in SPLITS:
            findings.fault("row", f"{where}: split is {split!r}; expected train, val or test")
        else:
            held = tuple(label for label in labels if row[label] == "1") if several else (row[labels[0]],)
            patient = row[settings["patient"]] if settings.get("patient") else ""
            found.items.append(Item(name, (root / name,), split, held, patient))
        rows[name] = row
    for image in images:
        if (name := image.relative_to(root).as_posix()) not in rows:
            findings.fault("loose", f"{name}: an image without a row in {file.name}; add one, or move the image away")
    return found
