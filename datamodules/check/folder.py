"""Report the content and the faults of a folder of images; writes nothing."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.text import Text

from medzoo.datamodules.check.cases import list_cases, list_patient_folders, list_pictures
from medzoo.datamodules.check.copies import Copy, find_copies, tell_copies
from medzoo.datamodules.check.listing import Findings, Item, Listing, list_images, short
from medzoo.datamodules.check.reading import Facts, measure
from medzoo.datamodules.check.tables import tables
from medzoo.datamodules.io import listed, some
from medzoo.datamodules.seen import SPLITS

__all__ = ["FolderCheck"]

_LISTED = {
    "ImageFolderDataModule": list_images,
    "SegmentationDataModule": list_cases,
    "PatientFoldersDataModule": list_patient_folders,
}
_DEFAULT = "MedMNISTDataModule"  # the verb's default


class FolderCheck:
    """Counts, sizes, spacings, intensities, labels, duplicates and faults of the images of a folder.

    Each image is read once; only a thumbnail and some numbers are kept.

    Args:
        root: The folder: class folders or a table as `ImageFolderDataModule` reads them, nnU-Net's raw layout,
            `images` and `masks`, a folder for each patient, or images without labels.
        datamodule: The config of the datamodule that will read it, which gives the layout.
        near: Correlation of thumbnails from which two images are near duplicates.
        shown: Largest number of faults to list of each kind.

    Raises:
        ValueError: If a number is out of range, or the layout of the datamodule is not supported.
    """

    def __init__(
        self, root: str | Path, datamodule: Mapping[str, Any] | None = None, near: float = 0.98, shown: int = 10
    ) -> None:
        if not 0 < near <= 1 or shown < 0:
            raise ValueError(f"near={near} must be a correlation above 0, and shown={shown} a number of lines")
        self.root, self.near, self.shown = Path(root), near, shown
        self.settings = dict(datamodule or {})
        self.kind = str(self.settings.get("_target_", "")).rpartition(".")[2]
        if self.kind in ("", _DEFAULT):
            self.kind, self.settings = "", {}
        elif self.kind not in _LISTED:
            raise ValueError(
                f"check does not support the layout of {self.kind}; leave datamodule out, or set it to image_folder, "
                "segmentation or patient_folders"
            )

    def run(self) -> int:
        """Print the report; returns the number of faults.

        Raises:
            FileNotFoundError: If there is no folder.
            ValueError: If there is no image in it.
        """
        notes: list[str] = []
        with _Warnings(notes, self.root):
            listing = self._list()
            looked = self._look(listing)
        findings = listing.findings
        findings.notes += notes
        items, facts = [item for item, _ in looked], [fact for _, fact in looked]
        _tell_splits(listing.items, findings)
        self._tell_others(listing)
        copies = find_copies(items, facts, self.near)
        tell_copies(copies, findings)
        console = Console(highlight=False)
        kinds = "; ".join(f"{count:,} {kind}" for kind, count in Counter(fact.kind for fact in facts).most_common())
        console.print(self.root, markup=False, soft_wrap=True)
        console.print(f"{listing.layout}: {kinds or 'nothing can be read'}\n", markup=False)
        for table in tables(listing, items, facts):
            console.print(table, "")
        self._print_copies(copies, console)
        return self._print_faults(findings, console)

    def _list(self) -> Listing:
        if not self.root.is_dir():
            raise FileNotFoundError(f"no folder {self.root}: set check to a folder of images")
        flat = all((self.root / name).is_dir() for name in ("images", "masks"))
        raw = any((self.root / name).exists() for name in ("dataset.json", "imagesTr"))
        find = _LISTED.get(self.kind) or (list_cases if raw else list_images)
        if flat and not raw and self.kind in ("", "SegmentationDataModule"):
            find = list_pictures
        listing = find(self.root, self.settings)
        listing.items.sort(key=lambda item: (*SPLITS, "").index(item.split))
        if not listing.items and not listing.findings.faults:
            kinds = "pictures, NIfTI, NRRD, MetaImage, npy or npz"
            raise ValueError(f"{self.root}: no image to check; expected {kinds} (DICOM is not checked)")
        return listing

    def _look(self, listing: Listing) -> list[tuple[Item, Facts]]:
        """Read all readable images."""
        looked = []
        for item in track(listing.items, "reading images", transient=True, disable=len(listing.items) < 20):
            try:
                looked.append((item, measure(item, listing)))
            except (ValueError, FileNotFoundError) as error:
                listing.findings.fault("damaged", str(error))
        empty = [item.id for item, fact in looked if fact.labels is not None and not fact.labels[1:].any()]
        if empty:
            listing.findings.notes.append(f"masks that are empty: {len(empty)} ({some(empty)})")
        return looked

    def _tell_others(self, listing: Listing) -> None:
        used = {file for item in listing.items for file in (*item.files, item.mask)} | listing.used
        there = [
            file for file in listed(self.root, "**/*") if file.is_file() or file.is_symlink()
        ]  # including linked folders
        others = [file for file in there if not {file, file.with_suffix(".mhd")} & used]
        told = "".join(line for lines in listing.findings.faults.values() for line in lines)
        names = [name for file in others if (name := short(file, self.root)) not in told and file.name not in told]
        if names:
            kinds = Counter(Path(name).suffix or "no ending" for name in names)
            counted = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(5))
            listing.findings.notes.append(f"other files, left out: {counted} ({some(names)})")

    def _print_copies(self, copies: list[Copy], console: Console) -> None:
        same, near = ({copy.second.id for copy in copies if copy.same is kind} for kind in (True, False))
        rule = f"{len(near):,} near (thumbnails correlate >= {self.near:g})"
        console.print(f"duplicates: {len(same):,} of the same content, {rule}")
        within = [copy for copy in copies if not copy.across and not copy.relabelled and not copy.one_patient]
        if ours := sum(copy.one_patient for copy in copies):
            console.print(f"  pairs of one patient, not listed: {ours:,}")
        for copy in within[: self.shown]:
            sign = "=" if copy.same else f"~ {copy.alike:.3f}"
            console.print(f"  {copy.second.id} {sign} {copy.first.id}", markup=False, soft_wrap=True)
        if len(within) > self.shown:
            console.print(f"  and {len(within) - self.shown} more pairs")

    def _print_faults(self, findings: Findings, console: Console) -> int:
        for note in findings.notes:
            console.print(Text.assemble(("note   ", "yellow"), short(note, self.root)), soft_wrap=True)
        count = sum(map(len, findings.faults.values()))
        for lines in findings.faults.values():
            for line in lines[: self.shown]:
                console.print(Text.assemble(("fault  ", "bold red"), short(line, self.root)), soft_wrap=True)
            if len(lines) > self.shown:
                console.print(
                    f"       and {len(lines) - self.shown} more like these; checks.shown={len(lines)} lists all"
                )
        console.print("no faults" if not count else f"{count} fault{'s' * (count > 1)}", style="bold")
        return count


class _Warnings(logging.Handler):
    """Collects warnings of readers, and gives each kind once."""

    def __init__(self, notes: list[str], root: Path) -> None:
        super().__init__(logging.WARNING)
        self.notes, self.root, self.logger = notes, root, logging.getLogger("medzoo.datamodules")
        self.gathered: dict[str, list[str]] = defaultdict(list)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        line = short(record.getMessage(), self.root)
        self.gathered[re.sub(r"[\d.]+", "#", line.partition(": ")[2])].append(line)

    def __enter__(self) -> None:
        self.logger.addHandler(self)
        self.before, self.logger.propagate = self.logger.propagate, False

    def __exit__(self, *_: object) -> None:
        self.logger.removeHandler(self)
        self.logger.propagate = self.before
        for lines in self.gathered.values():
            self.notes.append(lines[0] + f" ({len(lines)} files are like this)" * (len(lines) > 1))


def _tell_splits(items: list[Item], findings: Findings) -> None:
    """Report patients in two splits, and classes without training images."""
    trained = {label for item in items if item.split == "train" for label in item.labels or ()}
    tested = {label for item in items if item.split for label in item.labels or ()}
    for label in sorted(tested - trained if trained else ()):
        findings.fault("untrained", f"class {label}: no image of it in train; add some, or remove the class")
    splits: dict[str, dict[str, str]] = defaultdict(dict)
    for item in items:
        if item.patient:
            splits[item.patient].setdefault(item.split, item.id)
    for patient, where in splits.items():
        if len(where) > 1:
            told = " and ".join(f"{split or 'no split'} ({name})" for split, name in where.items())
            findings.fault("split", f"patient {patient} is in {told}; move all of a patient's images to one")
