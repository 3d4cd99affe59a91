"""Convert LiTS17 as published to nnU-Net's raw layout (Bilic et al. 2023, doi:10.1016/j.media.2022.102680).

    Training Batch 1/volume-0.nii, segmentation-0.nii, ...     also flat, nested or as .nii.gz, as on mirrors
    test-volume-0.nii, ...                                     without labels; left out

The orientation differs between volumes, so all are reoriented to RAS. Some volumes have lost the spacing in the header
(28 to 47 are reported); you must provide it, since it cannot be guessed.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medzoo.datamodules.io import listed
from medzoo.datamodules.preparation.layouts import LabelledScan, Preparation, write_segmentation_set
from medzoo.datamodules.preparation.turned import read_turned, with_labels, without_spacing

__all__ = ["LiTS17Preparation", "find_lits17"]

log = logging.getLogger(__name__)

_LABELS = {"background": 0, "liver": 1, "tumour": 2}


@dataclass(frozen=True)
class LiTS17Preparation(Preparation):
    """Converts LiTS17 to nnU-Net's raw layout.

    Attributes:
        spacing_overrides: By volume number, the spacing in mm along the axes of the file.
    """

    spacing_overrides: Mapping[int, Sequence[float]] | None = None

    def _prepare(self, root: Path, output: Path) -> None:
        pairs = find_lits17(root)
        overrides = {int(number): spacing for number, spacing in (self.spacing_overrides or {}).items()}
        if strange := sorted(set(overrides) - set(pairs)):
            raise ValueError(f"spacing_overrides names volume {strange[0]}, which is not in {root}")
        wrong = [n for n, (volume, _) in pairs.items() if n not in overrides and without_spacing(volume)]
        if wrong:
            log.warning(
                "volumes %s say 1 mm in all directions, which is implausible for a CT: "
                "set their spacing in preparation.spacing_overrides, or sizes in mm will be wrong",
                ", ".join(map(str, wrong)),
            )
        scans = (_scan(number, *pair, overrides.get(number)) for number, pair in pairs.items())
        write_segmentation_set(output, scans, labels=_LABELS, channels=["CT"])


def _scan(number: int, volume: Path, segmentation: Path, spacing: Sequence[float] | None) -> LabelledScan:
    image = read_turned(volume, spacing=spacing)
    mask = with_labels(image, segmentation, tuple(_LABELS.values()), spacing=spacing)
    return LabelledScan(f"lits_{number:03d}", [image], mask)


def find_lits17(root: Path) -> dict[int, tuple[Path, Path]]:
    """Volume and segmentation by number, at any depth below `root`.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If a number occurs twice, or a volume lacks its segmentation.
    """
    found: dict[str, dict[int, Path]] = {"volume": {}, "segmentation": {}}
    for file in listed(root, "**/*.nii*"):
        named = re.fullmatch(r"(volume|segmentation)-(\d+)\.nii(?:\.gz)?", file.name)
        if named:
            kind, number = named.group(1), int(named.group(2))
            if number in found[kind]:
                raise ValueError(f"{file} and {found[kind][number]} are both {kind} {number}; remove one")
            found[kind][number] = file
    if not found["volume"]:
        raise FileNotFoundError(f"no volume-<number>.nii or .nii.gz below {root}")
    if missing := sorted(set(found["volume"]) - set(found["segmentation"])):
        raise ValueError(f"{found['volume'][missing[0]]} has no segmentation-{missing[0]}.nii; add it")
    return {number: (found["volume"][number], found["segmentation"][number]) for number in sorted(found["volume"])}
