"""Hearts of the causal model as a table only, as in a registry: no images, no outlines.

Hearts are drawn from the model in `causal.py`. The table has their measurements without error. Fibroelastosis e appears
only as an examiner notes it: `bright_lining` is 1 if e + N(0, 0.15) is above 0.5. `truth.csv` has the probability of
HLHS in this cohort by the causal model, which uses e itself.
"""

import json
from pathlib import Path

import numpy as np
from scipy.special import expit

from medzoo.datamodules.phantoms.fetal_heart import causal
from medzoo.datamodules.phantoms.fetal_heart.cohort import sampling_shift
from medzoo.datamodules.phantoms.writing import appearing, is_there, write_table

__all__ = ["FetalHeartTable"]

VERSION = 1
"""Increased when a change of the generator changes its files."""


class FetalHeartTable:
    """A synthetic table, written once.

    Args:
        normal: Number of cases without HLHS.
        hypoplastic: Number of cases with HLHS.
        missing: Share of measurements that are missing, at random.
        test_share: Share of cases that the column `split` assigns to the test; with 0 there is no such column.
        seed: Seed of the cohort.

    Raises:
        ValueError: If a share is not in [0, 0.5].
    """

    def __init__(
        self,
        normal: int = 322,
        hypoplastic: int = 104,
        *,
        missing: float = 0.0,
        test_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        if not (0 <= missing <= 0.5 and 0 <= test_share <= 0.5):
            raise ValueError(f"missing={missing} and test_share={test_share} must lie between 0 and 0.5")
        self.normal, self.hypoplastic, self.missing = normal, hypoplastic, missing
        self.test_share, self.seed = test_share, seed

    @property
    def name(self) -> str:
        """Folder name, unique for these arguments."""
        gaps = f"_missing{self.missing:g}" if self.missing else ""
        tested = f"_test{self.test_share:g}" if self.test_share else ""
        return f"heart_table_{self.normal}_{self.hypoplastic}{gaps}{tested}_seed{self.seed}"

    def write(self, root: Path) -> None:
        """Write `cases.csv` and `truth.csv` to `root` if they are missing."""
        record = {"phantom": "heart_table", "version": VERSION, **vars(self)}
        if is_there(root, record):
            return
        hearts = causal.draw_hearts(self.normal, self.hypoplastic, seed=self.seed)
        rng = np.random.default_rng((self.seed, 4))
        bright = hearts.fibroelastosis + rng.normal(0, 0.15, len(hearts.week)) > 0.5
        measures = {
            "age [years]": hearts.age,
            "gestational_week [weeks]": hearts.week,
            "LV_diameter [mm]": hearts.predictors["LV_diameter"],
            "LA_RA_area_ratio": hearts.predictors["LA_RA_area_ratio"],
            "LV_RV_area_ratio": hearts.predictors["LV_RV_area_ratio"],
        }
        lost = rng.uniform(size=(len(measures), len(bright))) < self.missing
        tested = rng.uniform(size=len(bright)) < self.test_share
        names = [f"H{number:04d}" for number in range(len(bright))]
        probability = expit(hearts.logit + sampling_shift(hearts))
        with appearing(root) as folder:
            write_table(
                folder / "cases.csv",
                [
                    {
                        "case": name,
                        "HLHS": int(hearts.positive[row]),
                        **{
                            key: "" if lost[place, row] else f"{values[row]:.3f}"
                            for place, (key, values) in enumerate(measures.items())
                        },
                        "bright_lining": int(bright[row]),
                        **({"split": ("train", "test")[int(tested[row])]} if self.test_share else {}),
                    }
                    for row, name in enumerate(names)
                ],
            )
            truth = zip(names, probability, strict=True)
            write_table(folder / "truth.csv", [{"case": name, "probability": f"{p:.5f}"} for name, p in truth])
            (folder / "README.txt").write_text(f"Synthetic cases: no heart was seen.\n\n{__doc__}\n{causal.__doc__}")
            (folder / "phantom.json").write_text(json.dumps(record, indent=2) + "\n")
