"""One patient, written in eight orientations and four formats: every system reads, predicts and writes the same."""

import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from medzoo.callbacks import SegmentationWriter
from medzoo.datamodules import ImageSource, SegmentationDataModule
from medzoo.datamodules.followup.cohort import read_patient
from medzoo.datamodules.hematoma.cohort import Patient, drawn_ml
from medzoo.datamodules.io import find_volumes, read_mask, read_volume, write_like
from medzoo.datamodules.liver.images import ImageSizes
from medzoo.datamodules.preparation.scan import read_scan
from medzoo.datamodules.preparation.turned import read_turned, with_labels
from medzoo.datamodules.readers import read_images
from medzoo.evaluation.measures.expansion import ExpansionRule
from tests.datamodules.io.dicom_series import write_volume
from tests.datamodules.segmentation.test_datamodule import PLAN

AFFINE = np.array([[0.9, 0, 0, -7], [0, 0.8, 0, 3], [0, 0, 4.0, 11], [0, 0, 0, 1]])
ORIENTATIONS = ["LAS", "RPS", "RAI", "LPS", "LAI", "RPI", "LPI", "PIR"]
SIZES = ImageSizes((4, 6, 6), (4, 1, 1))
DICOM = ""  # a folder; slices are stacked along the last axis
SERIES = [("LPS", DICOM), ("PIL", DICOM), ("LIP", DICOM), ("RAI", DICOM)]
KINDS = [(axes, ".nii.gz") for axes in ORIENTATIONS] + [("LPS", ".nrrd"), ("RAS", ".mha"), ("PIR", ".mha"), *SERIES]


def arrays():
    """A head of (x, y, z) = (12, 10, 6) in air, and a bleed in it, both unlike their mirror images."""
    rng = np.random.default_rng(0)
    ct, bleed = np.full((12, 10, 6), -1000, np.int16), np.zeros((12, 10, 6), np.uint8)
    ct[1:10, 1:9] = rng.integers(20, 50, (9, 8, 6))
    ct[1, 1:9] = 900
    bleed[3:6, 2:5, 1:3] = 1
    ct[bleed > 0] += 30
    return ct, bleed


def write(folder, axes="RAS", ending=".nii.gz"):
    """`ct`, `iph` and `ivh`; of DICOM the CT alone, beside masks as NIfTI."""
    folder.mkdir(parents=True, exist_ok=True)
    turn = nib.orientations.ornt_transform(nib.io_orientation(AFFINE), nib.orientations.axcodes2ornt(axes))
    ct, bleed = arrays()
    for name, data in (("ct", ct), ("iph", bleed), ("ivh", 0 * bleed)):
        file = folder / f"{name}.nii.gz"
        image = nib.Nifti1Image(data, AFFINE).as_reoriented(turn)
        if name == "ct" and ending == DICOM:
            write_volume(folder / name, image, ending="")
            continue
        nib.save(image, file)
        if ending not in (DICOM, ".nii.gz"):
            write_like(read_volume(file).array, file, folder / f"{name}{ending}")
            file.unlink()
    return folder


@pytest.mark.parametrize(("axes", "ending"), KINDS)
def test_every_reader_gives_one_array(tmp_path, axes, ending):
    plain, turned = write(tmp_path / "plain"), write(tmp_path / "turned", axes, ending)
    readers = {
        "predict": lambda folder, end: read_images(folder / f"ct{end}", (1, 6, 10, 12))[1],
        "unlabelled": lambda folder, end: ImageSource("*", spacing=[4, 1, 1]).read(folder / f"ct{end}"),
        "liver": lambda folder, end: SIZES.ct({"ct": folder / f"ct{end}", "liver": folder / f"iph{end or '.nii.gz'}"}),
        "liver, MR": lambda folder, end: SIZES.mr({"t1": folder / f"ct{end}"}),
        "prepared liver": lambda folder, end: with_labels(
            read_turned(folder / f"ct{end}"), folder / f"iph{end or '.nii.gz'}", (0, 1)
        ).array,
    }  # fmt: skip
    for name, read in readers.items():
        assert np.array_equal(read(turned, ending), read(plain, ".nii.gz")), name


@pytest.mark.parametrize(("axes", "ending"), [*((axes, ".nii.gz") for axes in ORIENTATIONS), *SERIES])
def test_layouts_give_one_patient(tmp_path, axes, ending):
    homes = [tmp_path / name / "north" / "p" for name in ("plain", "turned")]
    for home, one, end in zip(homes, ("RAS", axes), (".nii.gz", ending), strict=True):
        write(home / "baseline", one, end)
        write(home / "followup", one, end)
    found = find_volumes(homes[1] / "baseline", ["ct"])
    assert found == {"ct": homes[1] / "baseline" / f"ct{ending}"}, "as the liver layout does"
    first, second = (read_patient(home, "p", None, 16) for home in homes)
    assert np.array_equal(first.baseline, second.baseline)
    assert first.grid.spacing == pytest.approx(second.grid.spacing)
    ml = [drawn_ml(Patient("p", "train", home), "baseline", ExpansionRule()) for home in homes]
    assert ml[0] == pytest.approx(ml[1])
    raw = [read_scan(home / "baseline") for home in homes]
    for name in ("ct", "iph"):
        images = [getattr(scan, name) for scan in raw]
        assert np.array_equal(*map(sitk.GetArrayFromImage, images))
        assert images[0].GetOrigin() == pytest.approx(images[1].GetOrigin(), abs=1e-4)


class Trainer:
    def __init__(self, datamodule):
        self.datamodule = datamodule


def predicted(folder, data, image):
    """The mask that is written of an image by a network to which places are not alike."""
    data.set_predict_input(image)
    writer = SegmentationWriter(folder)
    writer.begin(torch.nn.Linear(1, 1), data, {})
    for batch in data.predict_dataloader():
        ramp = torch.arange(batch["image"][0, 0].numel()).reshape(batch["image"][0, 0].shape) / 500
        mask = (batch["image"][0] + ramp > 0.8).to(torch.uint8)
        writer.on_predict_batch_end(Trainer(data), None, {"id": batch["id"], "mask": mask}, batch)
    return next(file for file in folder.iterdir() if file.name[0] != ".")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return made_set(tmp_path_factory.mktemp("set"), ".nrrd")


def made_set(root, ending):
    """A data set in nnU-Net's raw layout; its volumes end as its `dataset.json` says."""
    for number, name in enumerate("abcd"):
        folder = write(root / "raw" / name, ["RAS", *ORIENTATIONS][number], ending)
        for kind, file in (("imagesTr", f"{name}_0000"), ("labelsTr", name)):
            (root / kind).mkdir(exist_ok=True)
            (folder / f"{'ct' if kind == 'imagesTr' else 'iph'}{ending}").rename(root / kind / f"{file}{ending}")
    said = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "bleed": 1}, "file_ending": ending}
    (root / "dataset.json").write_text(json.dumps(said))
    plan = {**PLAN, "spacing": [4, 0.8, 0.9]}
    data = SegmentationDataModule(root, plan=plan, folds=2, window=[0, 80], batches=1)
    data.setup()
    return data


def test_a_set_of_nrrd_is_read_whatever_way_each_case_is_stored(data):
    ct, bleed = arrays()
    for case in (case for cases in data._items.values() for case in cases):
        assert np.allclose(case.image[0], np.clip(ct.T, 0, 80) / 80, atol=1 / 65535), case.id
        assert np.array_equal(case.truth, bleed.T)
        assert case.spacing == pytest.approx((4, 0.8, 0.9))


@pytest.mark.parametrize(("axes", "ending"), KINDS)
def test_a_prediction_lies_where_its_image_lies(tmp_path, data, axes, ending):
    plain, turned = write(tmp_path / "plain") / "ct.nii.gz", write(tmp_path / "in", axes, ending) / f"ct{ending}"
    first, second = predicted(tmp_path / "a", data, plain), predicted(tmp_path / "b", data, turned)
    assert second.name == f"ct{ending or '.nii.gz'}", "in the format of its image"
    masks = [read_mask(file, (0, 1)) for file in (first, second)]
    assert masks[0].array.any()
    assert np.array_equal(masks[0].array, masks[1].array)
    assert np.allclose(masks[0].affine, masks[1].affine, atol=1e-5)
    image = read_volume(turned)
    assert read_volume(second).grid.file_shape == image.grid.file_shape
    if ending == ".nii.gz":
        assert np.array_equal(nib.load(second).affine, nib.load(turned).affine)


def test_pictures_as_nifti_are_planned_and_written_as_pictures(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abcd":
        (tmp_path / "set" / "imagesTr").mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / "labelsTr").mkdir(exist_ok=True)
        image = rng.normal(size=(24, 16, 1)).astype(np.float32)
        affine = np.diag([0.7, 0.8, 999, 1])
        nib.save(nib.Nifti1Image(image, affine), tmp_path / "set" / "imagesTr" / f"{name}_0000.nii.gz")
        nib.save(
            nib.Nifti1Image((image > 0).astype(np.uint8), affine), tmp_path / "set" / "labelsTr" / f"{name}.nii.gz"
        )
    (tmp_path / "set" / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "US"}, "labels": {"background": 0, "cyst": 1}})
    )
    data = SegmentationDataModule(tmp_path / "set", folds=2, batches=1)
    data.setup()
    assert data.spatial_dims == 2
    assert data.plan.spacing == pytest.approx((0.8, 0.7))
    case = data._items["train"][0]
    assert case.image.shape == (1, 16, 24)
    assert case.truth.shape == (16, 24)
    assert np.array_equal(data.raw(data._items["test"][0].id) > 0, data._items["test"][0].truth == 1)
    assert next(iter(data.train_dataloader()))["image"].ndim == 4
    assert data.unit == "mm"
    file = predicted(tmp_path / "out", data, tmp_path / "set" / "imagesTr" / "a_0000.nii.gz")
    said = nib.load(file)
    assert said.shape == (24, 16, 1)
    (batch,) = data.predict_dataloader()
    ramp = np.arange(16 * 24).reshape(16, 24) / 500
    mask = batch["image"][0, 0].numpy() + ramp > 0.8
    assert np.array_equal(np.asarray(said.dataobj)[..., 0].T, mask[::-1, ::-1])
    nib.save(nib.Nifti1Image(np.zeros((24, 16, 3), np.float32), np.eye(4)), tmp_path / "x.nii.gz")
    data.set_predict_input(tmp_path / "x.nii.gz")
    with pytest.raises(ValueError, match=r"x\.nii\.gz: 3 slices; the plan of this model is for pictures"):
        list(data.predict_dataloader())


def test_a_ct_without_its_intercept_is_refused_by_every_system(tmp_path, data):
    folder = write(tmp_path / "north" / "p" / "baseline")
    file = folder / "ct.nii.gz"
    ct = read_volume(file)
    write_like(ct.array + 1024, ct, tmp_path / "north" / "p" / "baseline" / "ct.nii.gz")
    data.set_predict_input(file)
    readers = {
        "segmentation": lambda: list(data.predict_dataloader()),
        "hemexp": lambda: read_patient(tmp_path / "north" / "p", "p", None, 16),
        "liver": lambda: SIZES.ct({"ct": file}),
        "pretraining": lambda: ImageSource("*", window=[-1000, 1000]).read(file),
        "prepare head_ct": lambda: read_scan(folder),
    }
    for read in readers.values():
        with pytest.raises(ValueError, match=r"ct\.nii\.gz: .*rescale intercept is missing"):
            read()
    ImageSource("*").read(file)  # by percentiles: no unit
