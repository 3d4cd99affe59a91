"""Writes images with label maps in nnU-Net's raw layout, which `SegmentationDataModule` reads."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from datamodules.io import Volume, write_like
from datamodules.phantoms.writing import appearing

__all__ = ["LabelledScan", "write_segmentation_set"]


@dataclass(frozen=True)
class LabelledScan:
    """An image of one or more channels.

    Attributes:
        id: Name of the case.
        images: One for each channel, on one grid.
        mask: Label map on the same grid.
        test: Whether it belongs to the test.
    """

    id: str
    images: Sequence[Volume]
    mask: Volume
    test: bool = False


def write_segmentation_set(
    output: Path, scans: Iterable[LabelledScan], *, labels: Mapping[str, int], channels: Sequence[str]
) -> None:
    """Write a data set; the folder appears when it is complete.

    Args:
        output: Where.
        scans: Made one by one, so that a large set need not fit into memory.
        labels: Values by name, background included.
        channels: Names.

    Raises:
        FileExistsError: If something is there.
    """
    if output.exists() and any(output.iterdir()):
        raise FileExistsError(f"{output} is not empty; choose another output, or delete it")
    with appearing(output) as folder:
        count = 0
        for scan in track(scans, "writing", transient=True):
            split = "Ts" if scan.test else "Tr"
            for kind in ("images", "labels"):
                (folder / f"{kind}{split}").mkdir(exist_ok=True)
            for number, image in enumerate(scan.images):
                write_like(image.array, image, folder / f"images{split}" / f"{scan.id}_{number:04d}.nii.gz")
            write_like(scan.mask.array, scan.mask, folder / f"labels{split}" / f"{scan.id}.nii.gz")
            count += not scan.test
        said = {
            "channel_names": {str(number): name for number, name in enumerate(channels)},
            "labels": dict(labels),
            "numTraining": count,
            "file_ending": ".nii.gz",
        }
        (folder / "dataset.json").write_text(json.dumps(said, indent=2) + "\n")
