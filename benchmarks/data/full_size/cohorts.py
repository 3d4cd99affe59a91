"""Cohorts of the size of published studies, and the words of the command line that train on them.

The networks are narrow: what is measured is how cases reach the step. Sizes of images and patches are those of the
experiments.
"""

import csv
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.data.full_size.head_ct import write_cohort
from benchmarks.data.full_size.links import link
from medzoo.datamodules.phantoms.liver import LiverPhantom

__all__ = ["COHORTS", "Cohort"]


@dataclass(frozen=True)
class Cohort:
    """A cohort.

    Args:
        title: Names it in tables.
        cases: How many it has.
        made: How many of them are written; the others are links.
        case_mb: MB of a case in memory, as it was kept there by each process before there was a store.
        write: Writes it to a folder, with so many cases, of which so many are made.
        words: Of the command line, for its folder.
    """

    title: str
    cases: int
    made: int
    case_mb: float
    write: Callable[[Path, int, int], None]
    words: Callable[[Path], Sequence[str]]


def head_cts(root: Path, cases: int, made: int) -> None:
    """Head CTs with masks in nnU-Net's raw layout."""
    write_cohort(root, made)
    for number in range(made, cases):
        for folder, end in (("imagesTr", "_0000"), ("labelsTr", "")):
            ending = f"{end}.nii.gz"
            link(root / folder / f"case{number % made:04d}{ending}", root / folder / f"case{number:04d}{ending}")


def livers(root: Path, cases: int, made: int) -> None:
    """Patients with CT, MR, tiles and tables."""
    phantom = root.with_name(f"{root.name}_made")
    LiverPhantom(made, size=(48, 192, 192), tiles=16, tile_size=224, workers=2).write(phantom)
    with (phantom / "patients.csv").open() as opened:
        rows = [*csv.DictReader(opened)]
    genes = [line.split("\t") for line in (phantom / "genomics.tsv").read_text().splitlines()]
    root.mkdir()
    with (root / "patients.csv").open("w", newline="") as opened:
        table = csv.DictWriter(opened, [*rows[0]])
        table.writeheader()
        for number in range(cases):
            row = rows[number % made]
            link(phantom / row["id"], root / f"patient{number:04d}")
            table.writerow({**row, "id": f"patient{number:04d}"})
    header = ["gene", *(f"patient{number:04d}" for number in range(cases))]
    copies = [[name, *(cells[number % made] for number in range(cases))] for name, *cells in genes[1:]]
    (root / "genomics.tsv").write_text("\n".join("\t".join(line) for line in (header, *copies)) + "\n")


def pathology(root: Path, cases: int, made: int) -> None:
    """Colour images of 224 pixels in MedMNIST's layout; `made` different ones, repeated."""
    root.mkdir()
    rng = np.random.default_rng(0)
    few = rng.integers(0, 255, (made, 14, 14, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    few = (few // 2 + rng.integers(0, 64, few.shape, np.uint8)).astype(np.uint8)
    counts = {"val": cases // 10, "test": cases // 15}
    counts["train"] = cases - sum(counts.values())
    with zipfile.ZipFile(root / "path.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for name, count in counts.items():
            with packed.open(f"{name}_images.npy", "w", force_zip64=True) as opened:
                shape = {"shape": (count, *few.shape[1:]), "descr": "|u1", "fortran_order": False}
                np.lib.format.write_array_header_1_0(opened, shape)
                for start in range(0, count, made):
                    opened.write(few[: min(made, count - start)].tobytes())
            with packed.open(f"{name}_labels.npy", "w") as opened:
                np.lib.format.write_array(opened, (np.arange(count) % 9)[:, None])


def _of_head_cts(root: Path) -> list[str]:
    narrow = ["lightning_module/net=nnunet", "datamodule.plan.features=[2,4,8,8,8,8,8]", "datamodule.plan.batch_size=1"]
    return ["experiment=hematoma_segmentation", f"datamodule.root={root}", *narrow]


def _of_livers(root: Path) -> list[str]:
    cohort = ["datamodule=liver_cohort_phantom", f"datamodule.root={root}", "datamodule.phantom=null"]
    sizes = ["spatial_size=[64,128,128]", "spacing_mm=[3.0,2.75,2.75]", "tiles=16", "tile_size=224", "batch_size=2"]
    sizes.append("use=[ct,mr,histology,clinical,genomics]")
    pooled = [f"lightning_module.encoders.{name}.no_max_pool=false" for name in ("ct", "mr")]
    narrow = ["lightning_module/encoders=small", "lightning_module.dim=32", *pooled]
    return ["experiment=liver_unimodal", *cohort, *(f"datamodule.{size}" for size in sizes), *narrow]


def _of_pathology(root: Path) -> list[str]:
    data = ["datamodule=npz", f"datamodule.file={root / 'path.npz'}", "datamodule.task=multiclass"]
    names = f"datamodule.class_names=[{','.join('abcdefghi')}]"
    net = ["lightning_module/net=timm", "lightning_module.net.name=mobilenetv3_small_100"]
    return ["experiment=medmnist_classification", *data, names, "datamodule.batch_size=32", *net]


COHORTS = {
    "ct": Cohort("2,206 head CTs", 2206, 40, 62.5, head_cts, _of_head_cts),
    "liver": Cohort("1,200 livers", 1200, 40, 5.3, livers, _of_livers),
    "pathology": Cohort("107,180 pathology images", 107_180, 512, 224 * 224 * 3 / 1e6, pathology, _of_pathology),
}
