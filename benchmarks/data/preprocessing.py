"""Preparing a head CT for training, by the zoo's store and by nnU-Net 2.8's preprocessor.

Both read the same NIfTI files (30 x 512 x 512 voxels of 5 x 0.45 x 0.45 mm, and a mask), clip to the same bounds,
resample to 5 x 0.5 x 0.5 mm, sample voxels of the foreground and write compressed blocks. nnU-Net normalises, crops to
what is not zero and resamples by cubic splines; the zoo resamples linearly and keeps 16 bits. A second pair of rows
measures the intensities of the foreground, which needs a reading of its own on both sides. Times are CPU seconds of a
case on one thread; cases take turns, with the files in the page cache. The peer needs `pip install nnunetv2`, in an
environment of its own if it asks for other versions.
"""

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import torch

from benchmarks.data.full_size.head_ct import write_cohort
from benchmarks.tables.row import Row, not_installed, print_rows
from medzoo.datamodules.segmentation.cases import CaseReading, Intensities, make_case
from medzoo.datamodules.segmentation.cases.intensities import foreground
from medzoo.datamodules.segmentation.files import CaseFiles
from medzoo.datamodules.store.entry import write_entry

__all__ = ["run"]

SPACING, PATCH = (5.0, 0.5, 0.5), (16, 320, 320)
WINDOW = Intensities(0.0, 80.0, 38.0, 12.0)  # HU of brain and bleed, as measured in a cohort


def run(*, cases: int = 6) -> list[Row]:
    """Measure both steps of nnU-Net's preparation.

    Args:
        cases: Cases that each side prepares, after one that is not counted.

    Returns:
        Two rows, in CPU seconds a case.
    """
    torch.set_num_threads(1)
    blosc2.set_nthreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_cohort(folder / "raw", cases + 1)
        files = [
            CaseFiles(
                mask.name.removesuffix(".nii.gz"), (folder / "raw/imagesTr" / f"{mask.name[:8]}_0000.nii.gz",), mask
            )
            for mask in sorted((folder / "raw" / "labelsTr").iterdir())
        ]
        how = CaseReading(2, SPACING, (WINDOW.bounds,), ct=True)

        def prepare(case: CaseFiles) -> None:
            write_entry(folder / "store" / case.id, make_case(case, how))

        remark = not_installed("nnunetv2", "nnunetv2")
        peers = dict.fromkeys(("prepare", "measure")) if remark else _nnunet(folder)
        pairs = {
            "a case, prepared": (prepare, peers["prepare"]),
            "intensities of its foreground": (lambda case: foreground(case, (2, None, ())), peers["measure"]),
        }
        return [_compared(title, files, *sides, remark) for title, sides in pairs.items()]


def _compared(
    title: str,
    files: list[CaseFiles],
    zoo: Callable[[CaseFiles], Any],
    peer: Callable[[CaseFiles], Any] | None,
    remark: str,
) -> Row:
    """The median of all cases but the first."""
    seconds: list[list[float]] = [[], []]
    for case in files:
        for spent, side in zip(seconds, (zoo, peer), strict=True):
            began = time.process_time()
            if side:
                side(case)
            spent.append(time.process_time() - began)
    ours, theirs = (statistics.median(spent[1:]) for spent in seconds)
    return Row(title, "CPU s", ours, theirs if peer else None, 1.0, higher_is_better=False, remark=remark)


def _nnunet(folder: Path) -> dict[str, Callable[[CaseFiles], Any]]:
    """nnU-Net's `run_case_save` with the settings that its planner writes for CT, and its `analyze_case`."""
    for name in ("raw", "preprocessed", "results"):  # it complains without them
        os.environ.setdefault(f"nnUNet_{name}", str(folder))
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    resampling: dict[str, Any] = {}
    for name, order in (("data", 3), ("seg", 1), ("probabilities", 1)):
        resampling[f"resampling_fn_{name}"] = "resample_data_or_seg_to_shape"
        given = {"is_seg": name == "seg", "order": order, "order_z": 0, "force_separate_z": None}
        resampling[f"resampling_fn_{name}_kwargs"] = given
    bounds = {"percentile_00_5": WINDOW.low, "percentile_99_5": WINDOW.high, "mean": WINDOW.mean, "std": WINDOW.std}
    normal = {"normalization_schemes": ["CTNormalization"], "use_mask_for_norm": [False], "architecture": {}}
    full = {"spacing": list(SPACING), "patch_size": list(PATCH), **normal, **resampling}
    plans = PlansManager(
        {
            "image_reader_writer": "SimpleITKIO",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "label_manager": "LabelManager",
            "foreground_intensity_properties_per_channel": {"0": bounds},
            "configurations": {"3d_fullres": full},
        }
    )
    settings, labels = plans.get_configuration("3d_fullres"), {"labels": {"background": 0, "hematoma": 1}}
    maker = DefaultPreprocessor(verbose=False)

    def prepare(case: CaseFiles) -> None:
        names = str(folder / case.id), [str(case.images[0])], str(case.mask)
        with contextlib.redirect_stdout(None):
            maker.run_case_save(*names, plans, settings, labels)

    def measure(case: CaseFiles) -> None:
        DatasetFingerprintExtractor.analyze_case([str(case.images[0])], str(case.mask), SimpleITKIO, 100_000)

    return {"prepare": prepare, "measure": measure}


if __name__ == "__main__":
    print_rows("preprocessing", run())
