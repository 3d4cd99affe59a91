"""Writes the cohort as a hospital would have it, with the ground truth.

| file in the root | what |
|---|---|
| `images/<case>_<view>.png` | grey-scale views |
| `masks/<case>_<view>.png` | labels of the chambers |
| `cases.csv` | case, label (1 HLHS), age in years, gestational week, pixel spacing in mm |
| `readers.csv` | case, reader, score from 1 to 5, called (1 HLHS) |
| `truth.csv` | known only for phantoms: predictors, probability of HLHS in this cohort |
| `README.txt`, `phantom.json` | the causal model; seed, version and arguments |
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.progress import track
from scipy.optimize import brentq
from scipy.special import expit

from medzoo.datamodules.phantoms.fetal_heart import causal
from medzoo.datamodules.phantoms.fetal_heart.view import View, draw_view
from medzoo.datamodules.phantoms.head.cohort import appearing

__all__ = ["FetalHeartPhantom", "write_fetal_hearts"]

VERSION = 1
"""Increased when a change of the generator changes its files."""


class FetalHeartPhantom:
    """A synthetic cohort, written once.

    Args:
        normal: Number of cases without HLHS.
        hypoplastic: Number of cases with HLHS; the defaults are the numbers of the paper.
        views: Number of images of each case.
        size: Edge of an image in pixels.
        readers: Whether sonographers have rated the cases.
        seed: Seed of the cohort.
    """

    def __init__(
        self,
        normal: int = 161,
        hypoplastic: int = 52,
        *,
        views: int = 3,
        size: int = 128,
        readers: bool = True,
        seed: int = 0,
    ) -> None:
        if views < 1 or size < 32:
            raise ValueError(f"views={views} must be positive and size={size} at least 32 pixels")
        self.normal, self.hypoplastic, self.views, self.size = normal, hypoplastic, views, size
        self.readers, self.seed = readers, seed

    @property
    def name(self) -> str:
        """Folder name, unique for these arguments."""
        told = "" if self.readers else "_unread"
        return f"fetal_heart_{self.normal}_{self.hypoplastic}_{self.views}x{self.size}{told}_seed{self.seed}"

    def write(self, root: Path) -> None:
        """Write the folder if it is missing."""
        if (root / "phantom.json").is_file():
            return
        with appearing(root) as folder:
            write_fetal_hearts(folder, self)
            record = {"phantom": "fetal_heart", "version": VERSION, **vars(self)}
            (folder / "phantom.json").write_text(json.dumps(record, indent=2) + "\n")


def write_fetal_hearts(folder: Path, phantom: FetalHeartPhantom) -> None:
    """Write images and tables into an existing folder.

    Args:
        folder: An existing, empty folder.
        phantom: The cohort to write.
    """
    hearts = causal.draw_hearts(phantom.normal, phantom.hypoplastic, seed=phantom.seed)
    rng = np.random.default_rng((phantom.seed, 2))
    names = [f"H{number:04d}" for number in range(len(hearts.week))]
    widths = 44 * rng.uniform(0.92, 1.08, len(names))  # the examiner's zoom
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for row in track(range(len(names)), "fetal hearts", transient=True, disable=len(names) < 20):
        _write_case(folder, names[row], hearts, row, widths[row], phantom)
    spacing = widths / phantom.size
    _write(folder / "cases.csv", [_case(names[k], hearts, k, spacing[k]) for k in range(len(names))])
    probability = expit(hearts.logit + sampling_shift(hearts))
    truth = {**hearts.predictors, "probability": probability}
    _write(
        folder / "truth.csv",
        [{"case": name, **{key: f"{v[k]:.5f}" for key, v in truth.items()}} for k, name in enumerate(names)],
    )
    if phantom.readers:
        _write(folder / "readers.csv", _readings(names, hearts, phantom.seed))
    (folder / "README.txt").write_text(f"Synthetic views: no heart was scanned.\n\n{causal.__doc__}")


def sampling_shift(hearts: causal.Hearts) -> float:
    """Shift of the intercept due to sampling by class: the mean probability becomes the share of HLHS."""
    share = hearts.positive.mean()
    return float(brentq(lambda shift: expit(hearts.logit + shift).mean() - share, -20, 20))


def _write_case(
    folder: Path, name: str, hearts: causal.Hearts, row: int, width: float, phantom: "FetalHeartPhantom"
) -> None:
    rng = np.random.default_rng((phantom.seed, 3, row))
    axes = {chamber: each[row] for chamber, each in hearts.axes.items()}
    lie = rng.uniform(-0.35, 0.35)  # orientation of this fetus
    for number in range(phantom.views):
        view = View(
            angle=lie + rng.normal(0, 0.08),
            shift=(rng.normal(3.0, 1.0), rng.normal(0, 1.0)),
            gain=rng.normal(0, 2.0),
            rib=rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.7, 0.95)]),
        )
        drawn = draw_view(axes, hearts.fibroelastosis[row], view, size=phantom.size, width_mm=width, rng=rng)
        for part, picture in zip(("images", "masks"), drawn, strict=True):
            Image.fromarray(picture).save(folder / part / f"{name}_{number}.png")


def _case(name: str, hearts: causal.Hearts, row: int, spacing: float) -> dict[str, Any]:
    return {
        "case": name,
        "label": int(hearts.positive[row]),
        "age": f"{hearts.age[row]:.1f}",
        "gestational_week": f"{hearts.week[row]:.1f}",
        "spacing_mm": f"{spacing:.5f}",
    }


def _readings(names: list[str], hearts: causal.Hearts, seed: int) -> list[dict[str, Any]]:
    return [
        {"case": name, "reader": reader, "score": int(score), "called": int(called)}
        for reader, (scores, calls) in causal.read_by(hearts, seed=seed).items()
        for name, score, called in zip(names, scores, calls, strict=True)
    ]


def _write(file: Path, rows: list[dict[str, Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
