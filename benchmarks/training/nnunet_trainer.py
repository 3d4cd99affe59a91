"""Segmentation beside nnU-Net's own trainer (nnunetv2 2.8): Dice, CPU time and memory with the same plan and cases.

Both sides read one data set in nnU-Net's raw layout, follow one narrow plan, train on the same cases of one fold for
the same number of steps with three seeds, and predict by sliding window without mirroring. The peer is nnU-Net's
preparation, patches, augmentation, plain U-Net, loss and optimiser, unchanged. The zoo's U-Net is trained by
nnU-Net's recipe (SGD, polynomial decay), and by that of the zoo's demos (AdamW, one cycle); U-Mamba, nnFormer and
UNETR++ by the latter, for equally many steps and for equal CPU time of training. Dice is that of the zoo on the
grid of the files. Heads are phantoms, tested on another hospital; liver slices are of MSD, tested on the fold that was
not trained on.

Minutes are CPU time of training on one thread, memory the peak of the whole process with its libraries. The means of
the seeds are compared; remarks have the standard deviations. Finished trainings are kept in `outputs/nnunet_trainer`
(`MEDZOO_BENCHMARKS`) and not repeated. The peer needs `pip install nnunetv2`, in an environment of its own or on
`PYTHONPATH`; without it the zoo's rows remain. The liver slices need `MEDZOO_REAL_DATA`.
"""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks import ROOT
from benchmarks.tables.row import Row, not_installed, print_rows
from benchmarks.training.trainers.data import DATA
from benchmarks.training.trainers.sides import EPOCHS, nnunet, zoo

__all__ = ["run"]

SEEDS = (1, 2, 3)
NETS = {"umamba": "U-Mamba", "nnformer": "nnFormer", "unetrpp": "UNETR++"}

Results = list[dict[str, float]]


def run(*, names: Sequence[str] = ("head", "liver"), seeds: Sequence[int] = SEEDS) -> list[Row]:
    """Train both sides.

    Args:
        names: Of the data, in `benchmarks.training.trainers.data.DATA`.
        seeds: Of the trainings.

    Returns:
        Rows of Dice, CPU minutes and memory.
    """
    folder = Path(os.environ.get("MEDZOO_BENCHMARKS", ROOT / "outputs" / "nnunet_trainer")).resolve()
    rows: list[Row] = []
    for name in names:
        raw = DATA[name].write(folder / "data")
        if raw is not None:
            rows += _rows(name, raw, folder, seeds)
    return rows


def _rows(name: str, raw: Path, folder: Path, seeds: Sequence[int]) -> list[Row]:
    steps, title = DATA[name].steps, DATA[name].title

    def ours(net: str, recipe: str, count: int) -> Results:
        def train(run: Path, seed: int) -> dict[str, float]:
            return zoo(name, raw, run, net=net, recipe=recipe, seed=seed, steps=count)

        return [_once(folder / f"{name}_{net}_{recipe}_{count}_{seed}", train, seed) for seed in seeds]

    plain = ours("nnunet", "nnunet", steps)
    missing = not_installed("nnunetv2", "nnunetv2")
    peers: Results | None = None
    if not missing:
        split = json.loads((folder / f"{name}_nnunet_nnunet_{steps}_{seeds[0]}" / "split.json").read_text())["ids"]

        def train(run: Path, seed: int) -> dict[str, float]:
            return nnunet(name, raw, run, split=split, seed=seed, steps=steps)

        peers = [_once(folder / f"{name}_peer_{steps}_{seed}", train, seed) for seed in seeds]
    said = f"{title}, {steps} steps"
    rows = _compared(f"{said}: U-Net, nnU-Net's recipe", plain, peers, missing, goal=True)
    rows += _compared(f"{said}: U-Net, the demo's recipe", ours("nnunet", "one_cycle", steps), peers, missing)
    if name != "head":
        return rows
    minutes = [result["cpu_s"] for result in peers or plain]
    for net, called in NETS.items():
        same_steps = ours(net, "one_cycle", steps)
        rows += _compared(f"{said}: {called}", same_steps, peers, missing)
        seconds = float(np.mean([result["cpu_s"] for result in same_steps])) / steps
        count = max(EPOCHS, round(float(np.mean(minutes)) / seconds / EPOCHS) * EPOCHS)
        told = f"{title}, equal minutes: {called}, {count} steps"
        rows += _compared(told, ours(net, "one_cycle", count), peers, missing)
    return rows


def _compared(title: str, ours: Results, peers: Results | None, missing: str, *, goal: bool = False) -> list[Row]:
    """Dice, CPU minutes and memory, means over the seeds."""
    rows = []
    for key, what, unit, scale, higher in (
        ("dice", "Dice", "", 1.0, True),
        ("cpu_s", "training", "CPU min", 1 / 60, False),
        ("memory_gb", "memory", "GB", 1.0, False),
    ):
        sides = [[scale * result[key] for result in side] for side in (ours, peers or [])]
        told = [f"{who} SD {np.std(side, ddof=1):.3g}" for who, side in zip(("zoo", "peer"), sides, strict=True)
                if len(side) > 1]  # fmt: skip
        remark = "; ".join([f"{len(ours)} seeds", *told, *filter(None, [missing])])
        theirs = float(np.mean(sides[1])) if sides[1] else None
        rows.append(
            Row(f"{title}, {what}", unit, float(np.mean(sides[0])), theirs, 1.0 if goal else None, higher, remark)
        )
    return rows


def _once(run: Path, train: Callable[[Path, int], dict[str, float]], seed: int) -> dict[str, float]:
    """The result of a training, which is kept beside its folder."""
    kept = run.with_name(f"{run.name}.json")
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        result = train(run, seed)
        kept.write_text(json.dumps(result))
    return json.loads(kept.read_text())


if __name__ == "__main__":
    print_rows("nnunet_trainer", run())
