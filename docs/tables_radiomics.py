"""Prints tables of docs/models/cvae.md from sweeps over `mi_weight` and seeds, and draws docs/images/cvae_<set>.png.

    python -m docs.tables_radiomics <sweep> [<sweep> ...]

All sweeps use one data set, with `stages.plain=null stages.penalty.lightning_module.mi_weight=...`. AUCs are means
over the seeds, with the standard deviation. p is DeLong's paired test on probabilities averaged over the seeds. A
second table has every set of features and every learner at the smallest weight, the best on validation first.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from omegaconf import OmegaConf

from medzoo.evaluation.figures import sweep_figure
from medzoo.evaluation.scores.diagnostic import delong_test
from medzoo.runtime.output.run_folder import read_csv, read_metrics

IMAGES = Path(__file__).parent / "images"
AREAS = {"AUC of HCR": "test/auc_hcr", "AUC of DLR": "test/auc_dlr", "AUC of both": "test/auc"}
REDUNDANCY = {"CKA": "test/cka", "mean |r|": "test/correlation", "MI of a pair [nats]": "test/information"}
DRAWN = {
    "AUC of DLR": "test/auc_dlr",
    "AUC of both": "test/auc",
    "CKA": "test/cka",
    "mean |r|": "test/correlation",
    "MSE of a pixel": "test/mse",
}


def main(sweeps: Sequence[Path]) -> None:
    """Print the table, draw the figure."""
    jobs: dict[float, list[Path]] = {}
    for metrics in (file for sweep in sweeps for file in sorted(sweep.glob("*/metrics.json"))):
        config = OmegaConf.load(metrics.parent / "penalty" / "config.yaml")
        jobs.setdefault(float(config.lightning_module.mi_weight), []).append(metrics.parent)
        name = config.datamodule.name
    jobs = dict(sorted(jobs.items()))
    titles = ["mi_weight", *AREAS, "p against HCR", "p against 0", *(title.replace("|", "\\|") for title in REDUNDANCY)]
    print("|", " | ".join(titles), "|\n" + "|---" * len(titles) + "|")
    label, _, reference = averaged(jobs[0.0])
    for weight, folders in jobs.items():
        _, hcr, both = averaged(folders)
        p = [f"{delong_test(label == 1, both, other)['p']:.2f}" for other in (hcr, reference)]
        found = [read_metrics(folder) for folder in folders]
        told = {title: [metrics[key] for metrics in found] for title, key in {**AREAS, **REDUNDANCY}.items()}
        areas, measures = (
            [f"{mean(told[title]):.3f} ± {stdev(told[title]):.3f}" for title in each] for each in (AREAS, REDUNDANCY)
        )
        print(f"| {weight:g} |", " | ".join([*areas, *p, *measures]), "|")
    print("\n" + every_set(next(iter(jobs.values()))))
    panels = {
        title: [[read_metrics(each)[key] for each in folders] for folders in jobs.values()]
        for title, key in DRAWN.items()
    }
    sweep_figure([f"mi_weight={weight:g}" for weight in jobs], panels).savefig(IMAGES / f"cvae_{name}.png", dpi=70)


def every_set(folders: Sequence[Path]) -> str:
    """Validation and test areas of every row of `test_representations.csv`, over runs that differ in their seed."""
    tables = [read_csv(folder / "penalty" / "test_representations.csv") for folder in folders]
    rows = []
    for same in zip(*tables, strict=True):
        told = [[float(row[key]) for row in same] for key in ("validation_auc", "auc", "acc")]
        rows.append((mean(told[0]), [same[0]["name"], *(f"{mean(each):.3f} ± {stdev(each):.3f}" for each in told)]))
    rows.sort(key=lambda row: -row[0])
    titles = ["features, learner", "validation AUC", "test AUC", "test ACC"]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (titles, ["---"] * 4, *(cells for _, cells in rows)))


def averaged(folders: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, and the probabilities of class 1 from HCR and from both, averaged over runs on the same test images."""
    runs = [read_csv(folder / "penalty" / "predictions" / "representations.csv") for folder in folders]
    columns = [
        np.mean([[float(row[name]) for row in run] for run in runs], axis=0) for name in ("HCR/1", "HCR + DLR/1")
    ]
    return np.array([int(row["label"]) for row in runs[0]]), columns[0], columns[1]


if __name__ == "__main__":
    main([Path(sweep) for sweep in sys.argv[1:]])
