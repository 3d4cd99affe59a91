"""Small good data sets, one of each layout, and how the verbs are called with them."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from tests.datamodules.io.dicom_series import write_ct

PLAN = (
    "{spacing:[3,1,1],patch:[4,16,16],batch_size:2,features:[4,8],strides:[[1,1,1],[2,2,2]],kernels:[[3,3,3],[3,3,3]]}"
)
FLAT = "{spacing:[1,1],patch:[16,16],batch_size:2,features:[4,8],strides:[[1,1],[2,2]],kernels:[[3,3],[3,3]]}"
AFFINE = np.diag([-1.0, -1.0, 3.0, 1.0])  # x to the left and y to the back, as most files have it
CLINICAL = {"time_from_onset_to_CT": 2.5, "IPH_baseline_ml": "", "Anticoagulant": 0, "Antiplatelet": 1, "Age": 70,
            "GCS": 14, "Systolic": 160}  # fmt: skip
VIT = ["lightning_module/net=vit_tiny", "lightning_module.net.name=vit_tiny_patch16_224",
       "+lightning_module.net.depth=1"]  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """A kind of data set.

    Attributes:
        write: Makes a good one in a folder.
        words: Of the command line of `train.py`, but for the data's place.
        files: By what they are, those that kinds of bad input are made of: one each, below the root.
        root: The key that says where the data are.
        place: What of the folder that key names.
        input: What of the folder `predict.py` is given.
        fitted: Whether a part of the model is fitted after training, without which it cannot predict.
        verbs: That take such data; words are of `prepare.py` where it is alone.
    """

    write: Callable[[Path], None]
    words: list[str]
    files: dict[str, str] = field(default_factory=dict)
    root: str = "datamodule.root"
    place: str = ""
    input: str = ""
    fitted: bool = False
    verbs: tuple[str, ...] = ("train", "prepare", "predict")


def save(file: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """Write a NIfTI."""
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), file)


def head(number: int, size: tuple[int, int, int] = (16, 18, 6)) -> tuple[np.ndarray, np.ndarray]:
    """HU (x, y, z) int16 of air, bone, brain and a bleed, and the mask of the bleed."""
    rng = np.random.default_rng(number)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in size), indexing="ij")
    radius = np.hypot(x, y)
    ct = np.where(radius < 0.9, 900, -1000) + 0 * z
    ct[radius < 0.7] = 35
    bleed = (np.hypot(x - 0.2, y) < 0.35) & (abs(z) < 0.5 + 0.1 * (number % 3))
    ct[bleed] = 65
    return (ct + rng.normal(0, 3, ct.shape)).astype(np.int16), bleed.astype(np.uint8)


def nnunet(root: Path) -> None:
    """nnU-Net's raw layout."""
    for number, name in enumerate("abcd"):
        ct, mask = head(number)
        save(root / "imagesTr" / f"{name}_0000.nii.gz", ct)
        save(root / "labelsTr" / f"{name}.nii.gz", mask)
    said = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "hematoma": 1}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(said))


def picture(file: Path, levels: np.ndarray) -> None:
    """Write grey levels (H, W)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels.astype(np.uint8)).save(file)


def view(number: int, bright: bool, size: int = 24) -> np.ndarray:
    """(H, W) of a speckled image with a bright or a dark disc."""
    y, x = np.mgrid[:size, :size] / size - 0.5
    levels = 90 + 20 * np.random.default_rng(number).random((size, size))
    levels[np.hypot(x, y) < 0.3] = 200 if bright else 30
    return levels


def masks(root: Path) -> None:
    """Pictures and masks of the same names."""
    for patient in "abcd":
        for number in (1, 2):
            levels = view(ord(patient) + number, True)
            picture(root / "images" / f"{patient}_{number}.png", levels)
            picture(root / "masks" / f"{patient}_{number}.png", 255 * (levels > 150))


def classes(root: Path) -> None:
    """Class folders."""
    for number in range(20):
        name = ("ill", "well")[number % 2]
        picture(root / name / f"p{number:02d}.png", view(number, name == "ill"))


def listed(root: Path) -> None:
    """Images listed in a table."""
    rows = []
    for number in range(20):
        picture(root / "views" / f"p{number:02d}.png", view(number, number % 2 == 0))
        split = "train" if number < 12 else "val" if number < 16 else "test"
        label = ("ill", "well")[number % 2]
        rows.append({"path": f"views/p{number:02d}.png", "label": label, "patient": f"P{number:02d}", "split": split})
    table(root / "images.csv", rows)


def volumes(root: Path) -> None:
    """Class folders of volumes."""
    for number in range(20):
        save(root / ("ill", "well")[number % 2] / f"p{number:02d}.nii.gz", head(number, (12, 12, 12))[0])


def npz(root: Path) -> None:
    """An npz in MedMNIST's layout."""
    arrays = {}
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        arrays[f"{split}_images"] = np.stack([view(n, n % 2 == 1) for n in range(count)]).astype(np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2)[:, None]
    np.savez(root / "images.npz", **arrays)


def followup(root: Path) -> None:
    """Hospitals of patients with two scans and a clinical table."""
    rows = []
    for number, hospital in enumerate(("north", "north", "south", "west")):
        name = f"0{number + 1}"
        for time in ("baseline", "followup"):
            ct, bleed = head(number if time == "baseline" else number + 2)
            save(root / hospital / name / time / "ct.nii.gz", ct)
            save(root / hospital / name / time / "iph.nii.gz", bleed)
            save(root / hospital / name / time / "ivh.nii.gz", 0 * bleed)
        rows.append({"Patient_ID": name, **CLINICAL, "Expansion_classic": number % 2})
    table(root / "clinical.csv", rows)


def hearts(root: Path) -> None:
    """Views of hearts with a table of cases."""
    rows = []
    for number in range(24):
        picture(root / "images" / f"c{number:02d}_1.png", view(number, number % 2 == 0, 32))
        split = "train" if number < 12 else "val" if number < 18 else "test"
        rows.append({"case": f"c{number:02d}", "label": number % 2, "age": 25.5 + number, "split": split})
    table(root / "cases.csv", rows)


def liver(root: Path) -> None:
    """Patients with CT, tiles and clinical columns."""
    rows = []
    for number in range(24):
        ct, _ = head(number)
        save(root / f"0{number:02d}" / "ct.nii.gz", ct)
        save(root / f"0{number:02d}" / "liver.nii.gz", (ct > 0).astype(np.uint8))
        picture(root / f"0{number:02d}" / "tiles" / "t1.png", view(number, number % 2 == 0, 32))
        split = "train" if number < 12 else "val" if number < 18 else "test"
        rows.append({"id": f"0{number:02d}", "age_years": 40.5 + number, "label": number % 2, "split": split})
    table(root / "patients.csv", rows)


def cases(root: Path) -> None:
    """A table alone."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(40):
        label = number % 2
        rows.append({"case": f"0{number:02d}", "label": label, "age": round(float(rng.normal(50 + 2 * label, 9)), 1),
                     "size": round(float(rng.normal(3, 1)), 2)})  # fmt: skip
    table(root / "cases.csv", rows)


def unlabelled(root: Path) -> None:
    """Volumes of patients."""
    for number in range(6):
        save(root / "ct" / f"p{number}.nii.gz", head(number)[0])


def dicom(root: Path) -> None:
    """A series of CT slices."""
    write_ct(root / "scan")


def table(file: Path, rows: list[dict], **options: str) -> None:
    """Write a CSV."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, [*rows[0]], **options)
        writer.writeheader()
        writer.writerows(rows)


CLASSIFIER = ["experiment=medmnist_classification", *VIT]
SEGMENTER = [
    "experiment=hematoma_segmentation",
    "datamodule.folds=2",
    "datamodule.batches=1",
    "lightning_module/net=nnunet",
]
LAYOUTS = {
    "nnunet": Layout(
        nnunet,
        [*SEGMENTER, f"datamodule.plan={PLAN}"],
        {"volume": "imagesTr/b_0000.nii.gz", "mask": "labelsTr/b.nii.gz", "json": "dataset.json",
         "folder": "dataset.json"},
        input="imagesTr",
    ),
    "masks": Layout(
        masks,
        ["experiment=hematoma_slices_segmentation", *SEGMENTER[1:], 'datamodule.patient="(.*)_\\d+"',
         f"datamodule.plan={FLAT}"],
        {"picture": "images/b_1.png", "coloured": "masks/b_1.png", "folder": "images/b_1.png"},
        input="images",
    ),
    "classes": Layout(
        classes,
        [*CLASSIFIER, "datamodule=image_folder", "datamodule.image_size=[16,16]", "lightning_module.net.img_size=16"],
        {"picture": "ill/p02.png", "folder": "ill/p02.png"},
    ),
    "listed": Layout(
        listed,
        [*CLASSIFIER, "datamodule=image_folder", "datamodule.table=images.csv", "datamodule.patient=patient",
         "datamodule.image_size=[16,16]"],
        {"picture": "views/p02.png", "table": "images.csv"},
        input="views",
    ),
    "volumes": Layout(
        volumes,
        ["experiment=medmnist_adrenal", "datamodule=image_folder", "datamodule.image_size=[12,12,12]",
         "datamodule.batch_size=4", "lightning_module.net.widen_factor=0.0625", "lightning_module.calibrate=false"],
        {"volume": "ill/p02.nii.gz", "folder": "ill/p02.nii.gz"},
    ),
    "npz": Layout(
        npz,
        [*CLASSIFIER, "datamodule=npz", "datamodule.task=binary", "datamodule.class_names=[a,b]"],
        {"npz": "images.npz"},
        root="datamodule.file",
        place="images.npz",
        input="images.npz",
    ),
    "followup": Layout(
        followup,
        ["experiment=hemexp", "test_checkpoint=last", "datamodule.val_hospitals=[south]",
         "datamodule.test_hospitals=[west]",
         "datamodule.image_size=32", "stages.autoencoder.lightning_module.net.channels=[32,32,32]",
         "+stages.autoencoder.lightning_module.adversarial.channels=8",
         "stages.diffusion.lightning_module.diffusion.net.dim=16", "stages.diffusion.lightning_module.samples=2",
         "stages.diffusion.lightning_module.sampler.steps=2"],
        {"volume": "north/02/baseline/ct.nii.gz", "mask": "north/02/baseline/iph.nii.gz", "table": "clinical.csv"},
        input="north/02",
        fitted=True,
    ),
    "hearts": Layout(
        hearts,
        ["experiment=hlhs_rvae", "datamodule.image_size=[32,32]", "datamodule.batch_size=4",
         "datamodule.predictors=[age]", "lightning_module.net.channels=[8,16]"],
        {"picture": "images/c02_1.png", "table": "cases.csv", "folder": "cases.csv"},
        fitted=True,
    ),
    "liver": Layout(
        liver,
        ["experiment=liver_unimodal", "datamodule.use=[ct,histology,clinical]",
         "datamodule.clinical={age_years:[18,100]}",
         "datamodule.spatial_size=[16,32,32]", "datamodule.tiles=1", "datamodule.tile_size=32",
         "datamodule.batch_size=4", "lightning_module/encoders=small", "lightning_module.dim=32"],
        {"volume": "002/ct.nii.gz", "mask": "002/liver.nii.gz", "picture": "002/tiles/t1.png", "table": "patients.csv"},
        fitted=True,
    ),
    "cases": Layout(
        cases,
        ["experiment=nomogram", "trainer.max_epochs=0", "lightning_module.nomogram.resamples=3"],
        {"table": "cases.csv"},
        root="datamodule.file",
        place="cases.csv",
        input="cases.csv",
        fitted=True,
    ),
    "unlabelled": Layout(
        unlabelled,
        ["datamodule=unlabelled", "datamodule.patch=[4,8,8]", "datamodule.crops=1", "datamodule.seed=0",
         "datamodule.sources={ct:{_target_:medzoo.datamodules.ImageSource,files:'ct/*.nii.gz',window:[-1000,1000]}}"],
        {"volume": "ct/p2.nii.gz"},
        verbs=("prepare",),
    ),
    "dicom": Layout(
        dicom,
        ["preparation=head_ct", "preparation.skull_strip=null"],
        {"series": "scan"},
        root="preparation.input",
        place="scan",
        verbs=("prepare",),
    ),
}  # fmt: skip
