"""Draws docs/images/hlhs_{hc18,breast}.png: the autoencoder of the HLHS nomogram on real ultrasound.

    python docs/figures_fetal_ultrasound.py <folder of HC18> <folder of MedMNIST> <work folder>

HC18 (van den Heuvel et al. 2018, CC BY 4.0) shows fetal heads, without hearts or diagnoses; BreastMNIST (CC BY 4.0)
shows breasts. The figures show that the module learns real speckle. They show nothing about HLHS.
"""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
HC18 = [
    "datamodule.image_size=[96,128]",
    "datamodule.val_share=0.15",
    "datamodule.batch_size=8",
    "lightning_module.net={channels:[16,32,64,96],num_res_blocks:1,latent_features:64}",
    "lightning_module.criterion.warmup_steps=100",
    "trainer.max_epochs=80",
]
BREAST = [
    "datamodule=medmnist",
    "datamodule/augment=batch",
    "datamodule.name=breastmnist",
    "datamodule.mean=0.0",
    "datamodule.std=1.0",
    "lightning_module.net={channels:[32,64,96],num_res_blocks:1,latent_features:64}",
    "lightning_module.criterion.warmup_steps=200",
    "trainer.max_epochs=60",
]
BOTH = [
    "experiment=hlhs_rvae",
    "lightning_module.optimizer.lr=2e-3",
    "trainer.check_val_every_n_epoch=10",
    "logger=csv_only",
]


def laid_out(source: Path, root: Path) -> None:
    """Write images and cases as the datamodule reads them; a fetus may have several images (`010_HC`, `010_2HC`)."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    names = set()
    for file in sorted(source.glob("training_set/*.png")):
        found = re.fullmatch(r"(\d+)_(\d*HC)", file.stem)
        if found:
            names.add(found.group(1))
            Image.open(file).convert("L").save(root / "images" / f"{found.group(1)}_{found.group(2)}.png")
    with (root / "cases.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([["case"], *([name] for name in sorted(names))])


def drawn(name: str, settings: list[str], root: Path, run: Path) -> None:
    """Train, print the metrics, and stack the two figures of the run."""
    command = [sys.executable, "train.py", *BOTH, *settings, f"datamodule.root={root}", f"hydra.run.dir={run}"]
    subprocess.run(command, cwd=ROOT, check=True)
    said = json.loads((run / "metrics.json").read_text())
    print(name, {key: round(said[key], 5) for key in ("test/ssim", "test/error", "test/kl", "fit/minutes")})
    parts = [Image.open(run / "figures" / f"{part}.png").convert("L") for part in ("reconstruction", "traversal")]
    width = max(part.width for part in parts)
    parts = [part.resize((width, round(part.height * width / part.width))) for part in parts]
    canvas = Image.new("L", (width, sum(part.height for part in parts)), 255)
    for part, top in zip(parts, np.cumsum([0, parts[0].height]).tolist(), strict=False):
        canvas.paste(part, (0, top))
    canvas.save(ROOT / "docs" / "images" / f"hlhs_{name}.png", optimize=True)


def main(hc18: str, medmnist: str, work: str) -> None:
    """Draw both figures."""
    laid_out(Path(hc18), Path(work) / "hc18")
    drawn("hc18", HC18, Path(work) / "hc18", Path(work) / "run_hc18")
    drawn("breast", BREAST, Path(medmnist), Path(work) / "run_breast")


if __name__ == "__main__":
    main(*sys.argv[1:])
