"""Writes what each full experiment needs into docs/how-to/scale.md: `python -m docs.needs` (slow; no data)."""

from pathlib import Path

from omegaconf import OmegaConf

from medzoo.datamodules.segmentation.plan import make_plan as make_sizes
from medzoo.files import write_between
from medzoo.runtime.composing.compose import compose
from medzoo.runtime.composing.resolvers import register_resolvers
from medzoo.runtime.environment import CONF
from medzoo.runtime.output.estimated import cells
from medzoo.runtime.plan import make_plan
from medzoo.runtime.training.costs.estimate import Estimate, estimate

__all__ = ["main"]

PAGE = Path(__file__).parent / "how-to" / "scale.md"
BEGIN, END = "<!-- needs: python -m docs.needs -->", "<!-- end of needs -->"
NOTE = """\
The table is for the settings of each experiment on one device, without data. Memory is what tensors hold, without the
workspace of kernels. Operations are those of convolutions, matrix products and attention. Hours are for computing alone
at 30% of the peak of an H200 (494 TFLOP/s in float32 by its tensor cores). They are an estimate: no GPU was at hand to
measure the share. `?`: depends on the number of images. Networks that are planned from the data are planned here for
slices of 512 x 512 pixels (hematoma_slices_segmentation) and volumes of 60 x 256 x 256 voxels of 3 x 1.2 x 1.2 mm
(liver_segmentation, liver_translation).
"""
COLUMNS = ("parameters", "peak of a step", "activations and batch", "operations a step", "steps", "hours, H200")
MADE_UP = {  # keys without a value in an experiment; no data are read
    "root": "x",
    "val_hospitals": "[a]",
    "test_hospitals": "[b]",
    "clinical": "{age_years:[18,100]}",
    "file": "x",
}
IMAGES = {  # spacing and size of the images for which networks are planned, where the data are asked
    "hematoma_slices_segmentation": ((1.0, 1.0), (512, 512)),
    "liver_segmentation": ((3.0, 1.2, 1.2), (60, 256, 256)),
    "liver_translation": ((3.0, 1.2, 1.2), (60, 256, 256)),
}


def needs(experiment: str) -> dict[str, Estimate]:
    """The estimate of an experiment without data, by stage."""
    data = compose("train", [f"experiment={experiment}"]).datamodule
    words = [f"datamodule.{key}={value}" for key, value in MADE_UP.items() if OmegaConf.is_missing(data, key)]
    if experiment in IMAGES:
        spacing, size = IMAGES[experiment]
        sizes = vars(make_sizes([spacing] * 20, [size] * 20, classes=2, gpu_memory_gb=8))
        plan = str({key: [*value] if isinstance(value, tuple) else value for key, value in sizes.items()})
        words.append(f"datamodule.plan={plan}".replace(" ", "").replace("'", "").replace("(", "[").replace(")", "]"))
    return estimate(make_plan(compose("train", [f"experiment={experiment}", *words])))


def main() -> None:
    """Write the table between its markers."""
    register_resolvers()
    rows = []
    for file in sorted((CONF / "experiment").glob("*.yaml")):
        if file.stem.endswith("_demo"):
            continue
        stages = {name: tuple(map(cells(found).get, COLUMNS)) for name, found in needs(file.stem).items()}
        for values in dict.fromkeys(stages.values()):  # equal stages have one row
            equal = ", ".join(name for name, other in stages.items() if other == values)
            rows.append(f"| {file.stem} | {equal} | {' | '.join(map(str, values))} |")
            print(rows[-1], flush=True)
    head = f"| experiment | stage | {' | '.join(COLUMNS)} |\n|{'---|' * (2 + len(COLUMNS))}"
    write_between(PAGE, BEGIN, END, "\n".join([NOTE, head, *rows]))


if __name__ == "__main__":
    main()
