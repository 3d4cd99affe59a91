"""Draws docs/images/liver_phantom.png and prints how informative each modality of the liver phantom is.

    python -m docs.figures_liver_phantom [folder for the cohort]

It prints the AUC of the best possible score given each modality, by the causal model, and the AUC of simple
measurements in the files. Takes some minutes on one core.
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from medzoo.datamodules.io import read_table
from medzoo.datamodules.phantoms.liver import LiverPhantom, causal
from medzoo.datamodules.phantoms.liver.tables import PATHWAYS
from medzoo.evaluation.figures.style import new_figure
from medzoo.evaluation.scores.diagnostic import delong

ROOT = Path(__file__).resolve().parent.parent
PEOPLE = 200_000
CLINICAL = ("afp_ng_ml", "age_years", "platelets_g_l", "albumin_g_dl")


def main() -> None:
    """Print the tables and draw the picture."""
    phantom = LiverPhantom(patients=400, missing_cells=0.0)
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "data/phantoms") / phantom.name
    print_model()
    phantom.write(root)
    print_measured(root)
    draw(root, ROOT / "docs" / "images" / "liver_phantom.png")


def print_model() -> None:
    """Print the AUC of the best scores, over many people."""
    people = causal.draw_people(np.random.default_rng(0), PEOPLE)
    sets = [(name,) for name in causal.MODALITIES] + [("clinical", "genomics"), ("clinical", "histology")]
    sets += [tuple(set(causal.MODALITIES) - {name}) for name in causal.MODALITIES] + [causal.MODALITIES]
    scores = {seen: causal.log_odds(people.viral, people.findings, seen) for seen in sets}
    for seen, score in scores.items():
        print(f"best AUC, {' + '.join(sorted(seen))}: {delong(people.cancer, score)['auc']:.3f}")
    alone = sum(scores[(name,)] for name in causal.MODALITIES)
    print(f"best AUC of a sum of the scores of single modalities: {delong(people.cancer, alone)['auc']:.3f}")


def print_measured(root: Path) -> None:
    """Print correlations of measurements in the files with the findings, and AUCs of logistic regressions on them."""
    rows, truth = read_table(root / "patients.csv").rows, read_table(root / "truth.csv").rows
    cancer = np.array([row["hcc"] == "1" for row in rows])
    said = {name: np.array([float(row[name]) for row in truth]) for name in (*causal.MODALITIES, "viral", "log_odds")}
    columns = measured(root)
    fatty, viral = columns.pop("fatty"), np.array([float(row["viral_hepatitis"]) for row in rows])
    print(f"|r| of CT liver HU with the disease behind: {abs(np.corrcoef(fatty, said['viral'])[0, 1]):.3f}")
    for name, value in columns.items():
        r = np.corrcoef(value, said[name])[0, 1]
        area = delong(cancer, value * np.sign(r))
        print(f"{name}: |r| with the finding {abs(r):.3f}, measured AUC {_interval(area)}")
    scaled = {name: (value - value.mean()) / value.std() for name, value in columns.items()}
    crossed = [scaled[name] * (viral - 0.5) for name in ("histology", "genomics")]
    for name, parts in {"sum": [], "with viral x histology, viral x genomics": crossed}.items():
        x = np.stack([*scaled.values(), viral, *parts], axis=1)
        score = cross_val_predict(LogisticRegression(), x, cancer, cv=10, method="decision_function")
        print(f"measured, all, {name}: AUC {_interval(delong(cancer, score))}")
    print(f"best score of these patients: AUC {_interval(delong(cancer, said['log_odds']))}")


def measured(root: Path) -> dict[str, np.ndarray]:
    """One simple measurement for each modality; `fatty` is the HU of the liver."""
    rows = read_table(root / "patients.csv").rows
    homes = [root / row["id"] for row in rows]
    ct, mr, fatty = zip(*map(_contrasts, homes), strict=True)
    values = {"ct": ct, "mr": mr, "fatty": fatty, "histology": [_darkness(home) for home in homes]}
    table = np.array([[float(row[name]) for name in CLINICAL] for row in rows])
    table[:, 0] = np.log10(table[:, 0])
    values["clinical"] = ((table - table.mean(0)) / table.std(0)) @ np.array([1, 1, -1, -1])
    genes = read_table(root / "genomics.tsv").by("gene")
    values["genomics"] = [
        np.mean([np.log2(float(genes[gene][home.name]) + 1) for gene in PATHWAYS["proliferation"]]) for home in homes
    ]
    return {name: np.asarray(column, float) for name, column in values.items()}


def _contrasts(home: Path) -> tuple[float, float, float]:
    """CT difference of lesion and liver in HU, T2 ratio of lesion to liver, and HU of the liver."""
    ct, t2, labels = (np.asarray(nib.load(home / f"{name}.nii.gz").dataobj, float) for name in ("ct", "t2", "liver"))
    inner = ndimage.binary_erosion(labels == 2)
    lesion = inner if inner.any() else labels == 2
    liver = ndimage.binary_erosion(labels == 1, iterations=2)
    return (
        float(np.median(ct[lesion]) - np.median(ct[liver])),
        float(np.median(t2[lesion]) / np.median(t2[liver])),
        float(np.median(ct[liver])),
    )


def _darkness(home: Path) -> float:
    """Share of pixels with a dark red channel (nuclei), averaged over the four tiles where it is largest."""
    tiles = [np.asarray(Image.open(file))[..., 0] for file in sorted((home / "tiles").iterdir())]
    return float(np.sort([np.mean(tile < 135) for tile in tiles])[-4:].mean())


def draw(root: Path, file: Path) -> None:
    """Draw patients from benign to malignant: CT, T1, T2 and two tiles."""
    truth = sorted(read_table(root / "truth.csv").rows[:80], key=lambda row: float(row["log_odds"]))
    chosen = [truth[place] for place in (1, 25, 54, 78)]
    figure, axes = new_figure(11, 8.5, len(chosen), 5)
    for row, line in zip(chosen, axes, strict=True):
        home = root / row["id"]
        scans = [np.asarray(nib.load(home / f"{name}.nii.gz").dataobj) for name in ("ct", "t1", "t2", "liver")]
        place = int((scans[3] == 2).sum((0, 1)).argmax())
        for axis, scan, name in zip(line[:3], scans, ("CT", "T1", "T2"), strict=False):
            limits = (-160, 240) if name == "CT" else (0, np.percentile(scan, 99.5))
            axis.imshow(scan[::-1, ::-1, place].T, cmap="gray", vmin=limits[0], vmax=limits[1])
            axis.set_title(name)
        tiles = sorted((home / "tiles").iterdir(), key=lambda tile: np.asarray(Image.open(tile)).mean())
        for axis, tile in zip(line[3:], (tiles[0], tiles[-1]), strict=True):
            axis.imshow(np.asarray(Image.open(tile)))
        line[3].set_title(f"log-odds {float(row['log_odds']):.1f}")
    for axis in axes.flat:
        axis.set_axis_off()
    figure.savefig(file, dpi=90)


def _interval(area: dict[str, float]) -> str:
    return f"{area['auc']:.3f} [{area['auc_low']:.3f}, {area['auc_high']:.3f}]"


if __name__ == "__main__":
    main()
