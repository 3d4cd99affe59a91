"""The data of the comparison, in nnU-Net's raw layout, with a plan that both sides follow."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image

from medzoo.datamodules import HeadPhantom, HeadScans

__all__ = ["DATA", "Data"]

_REAL = Path(os.environ.get("MEDZOO_REAL_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
_LIVER = _REAL / "liver" / "msd_liver_slices"


@dataclass(frozen=True)
class Data:
    """A data set and its plan.

    Args:
        title: Names it in tables.
        write: Writes it below a folder and returns that of `dataset.json`; None if it is not at hand.
        plan: Of both sides, as `datamodule.plan`.
        words: Of the zoo's command line.
        configuration: nnU-Net's name of the plan.
        steps: Of training.
    """

    title: str
    write: Callable[[Path], Path | None]
    plan: Mapping[str, Any]
    words: Sequence[str]
    configuration: str
    steps: int


def _heads(folder: Path) -> Path:
    phantom = HeadScans(HeadPhantom(patients={"Aare": 20, "Birs": 12, "Kander": 12}), ["Kander"])
    phantom.write(folder / phantom.name)
    return folder / phantom.name


def _livers(folder: Path) -> Path | None:
    """Slices of MSD's liver CTs as volumes of one slice; not at hand without `MEDZOO_REAL_DATA`."""
    if not _LIVER.is_dir():
        return None
    root = folder / "liver_slices"
    if root.is_dir():
        return root
    pictures = sorted((_LIVER / "images").glob("*.jpg"))
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    for picture in pictures:
        mask = next((_LIVER / "masks").glob(f"{picture.stem}.*"))
        grey, drawn = (np.asarray(Image.open(file).convert("L")) for file in (picture, mask))
        case = re.sub(r"^\D+_", "p", picture.stem)
        for part, values in ((f"imagesTr/{case}_0000", grey), (f"labelsTr/{case}", drawn > 127)):
            volume = nib.Nifti1Image(values.T[:, :, None].astype(np.uint8), np.eye(4))
            nib.save(volume, root / f"{part}.nii.gz")
    described = {"channel_names": {"0": "grey"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps({**described, "numTraining": len(pictures)}))
    return root


def _plan(axes: int, stages: int, **given: Any) -> dict[str, Any]:
    """Every stage halves all axes, but the first none, and the second of volumes not the thick slices."""
    strides = [[1] * axes, *([[2] * axes] * (stages - 1))]
    kernels = [[3] * axes for _ in range(stages)]
    if axes == 3:
        strides[1], kernels[0] = [1, 2, 2], [1, 3, 3]
    return {**given, "strides": strides, "kernels": kernels}


DATA = {
    "head": Data(
        "heads",
        _heads,
        _plan(3, 4, spacing=[5.0, 3.0, 3.0], patch=[16, 48, 48], batch_size=2, features=[8, 16, 32, 32]),
        ['datamodule.patient="(.*)_(?:baseline|followup)"', "datamodule.classes=[background,hematoma]"],
        "3d_fullres",
        240,
    ),
    "liver": Data(
        "liver slices",
        _livers,
        _plan(2, 5, spacing=[2.0, 2.0], patch=[128, 128], batch_size=4, features=[16, 32, 64, 64, 64]),
        [
            r'datamodule.patient="p(\d+)_\d+"',
            "datamodule.classes=[background,liver]",
            "datamodule.channels=[grey]",
            "callbacks.report.window=[0,255]",
        ],
        "2d",
        240,
    ),
}
