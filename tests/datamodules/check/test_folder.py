"""What `prepare.py check=<folder>` finds: one planted fault of every kind, and none in a sound set."""

import csv
import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from scipy.ndimage import gaussian_filter

from medzoo.datamodules import HeadPhantom, HeadScans
from medzoo.datamodules.check import FolderCheck
from medzoo.datamodules.check.copies import nearest_before
from medzoo.datamodules.check.reading import thumbnail

FOLDERS = "medzoo.datamodules.ImageFolderDataModule"


def texture(seed, shape=(64, 80)):
    """An image like no other."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2)
    return np.rint(255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)


def save(file, pixels, **options):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **options)


def photos(root, splits=("train", "val", "test")):
    """Six images of each class in each split, of six patients; by name `<split>/<class>/<patient>_<n>.png`."""
    for number in range(12 * len(splits)):
        split = splits[number // 12]
        save(root / split / "ab"[number % 2] / f"p{number // 2:02d}_{number}.png", texture(number))
    return root


def checked(capsys, root, said=None, **options):
    """What is printed, and the lines of faults."""
    faults = FolderCheck(root, said, **options).run()
    output = capsys.readouterr().out
    assert output.strip().splitlines()[-1] == {0: "no faults", 1: "1 fault"}.get(faults, f"{faults} faults")
    found = re.findall(r"^fault  (.*)$", output, flags=re.M)
    assert len(found) == faults or options.get("shown")
    return output, found


def cells(output, name):
    """The row of a table."""
    return next(line.split() for line in output.splitlines() if line.startswith(name))[len(name.split()) :]


def files(root):
    return {file: file.stat().st_mtime_ns for file in root.rglob("*")}


def test_a_sound_set_is_counted_and_has_no_fault(tmp_path, capsys):
    before = files(photos(tmp_path))
    output, faults = checked(capsys, tmp_path, {"_target_": FOLDERS, "patient": r"(.*)_\d+"})
    assert not faults
    assert files(tmp_path) == before, "nothing is written"
    assert cells(output, "a ") == ["6", "6", "6", "18"]
    assert cells(output, "all") == ["12", "12", "12", "36"]
    assert cells(output, "patients") == ["6", "6", "6", "18"]
    assert cells(output, "height") == ["64", "64", "64", "0"]
    assert "36 png, 8-bit grey" in output
    assert "0 of the same content, 0 near" in output
    assert max(len(line) for line in output.splitlines() if line != str(tmp_path)) <= 80


def test_grey_values_sizes_and_spacings_are_those_of_numpy(tmp_path, capsys):
    rng, volumes = np.random.default_rng(0), []
    for number, side in enumerate((6, 8, 8)):
        volumes.append(rng.integers(-1000, 2000, (7, side, 5), np.int16))
        nib.save(nib.Nifti1Image(volumes[-1], np.diag([1, 2, 3 + number, 1])), tmp_path / f"{number}.nii.gz")
    output, faults = checked(capsys, tmp_path)
    assert not faults
    assert cells(output, "slices (z)") == ["5", "5", "5", "0"]
    assert cells(output, "rows (y)") == ["6", "8", "8", "1"]
    assert cells(output, "mm of a voxel (z)") == ["3", "4", "5", "2"]
    statistics = np.array([np.percentile(each, [0, 1, 50, 99, 100]) for each in volumes])
    printed = [
        [float(cell) for cell in line.split()[-5:]] for line in output.splitlines() if re.search("lowest|highest", line)
    ]
    assert printed[0] == pytest.approx(statistics.min(0), rel=1e-3)
    assert printed[1] == pytest.approx(statistics.max(0), rel=1e-3)


def test_every_fault_of_class_folders_is_named(tmp_path, capsys):
    photos(tmp_path)
    first = tmp_path / "train" / "a" / "p00_0.png"
    save(tmp_path / "loose.png", texture(100))
    save(tmp_path / "train" / "b" / "p50_50.png", np.full((64, 80), 9, np.uint8))
    (tmp_path / "val" / "a" / "p51_51.png").write_bytes(first.read_bytes()[:900])
    save(tmp_path / "test" / "a" / "p52_52.tif", texture(0))
    save(tmp_path / "train" / "a" / "p53_53.bmp", texture(1))
    small = Image.fromarray(texture(2)).resize((60, 48))
    small.save(tmp_path / "val" / "a" / "p54_54.jpg", quality=70)
    save(tmp_path / "train" / "a" / "p55_55.png", texture(0))
    save(tmp_path / "test" / "b" / "p03_56.png", texture(56))
    save(tmp_path / "test" / "c" / "p57_57.png", texture(57))
    save(tmp_path / "test" / "c" / "unnamed.png", texture(58))
    (tmp_path / "notes.txt").write_text("by hand")
    save(tmp_path / "train" / "a" / "p01_59.png", texture(2) // 2)
    output, faults = checked(capsys, tmp_path, {"_target_": FOLDERS, "patient": r"(.*)_\d+"})
    assert "pairs of one patient, not listed: 1\n" in output
    assert "p01_59" not in output
    assert "other files, left out: 1 .txt (notes.txt)" in output
    assert "train/a/p55_55.png = train/a/p00_0.png" in output, "within a split it is told"
    expected = [
        "loose.png: is not in a class folder",
        "train/b/p50_50.png: all of it is 9",
        "val/a/p51_51.png could not be read as a picture",
        "test/a/p52_52.tif has the same content as train/a/p00_0.png, in train and test",
        "has the same content as train/a/p53_53.bmp, but is b, not a",
        "val/a/p54_54.jpg is nearly (0.99",
        "patient p03 is in train (train/a/p03_6.png) and test (test/b/p03_56.png)",
        "class c: no image of it in train",
        "'(.*)_\\\\d+' does not match unnamed",
    ]
    for each in expected:
        assert sum(each in line for line in faults) == 1, (each, faults)
    assert len(faults) == len(expected)
    assert all(";" in line for line in faults), "each has a remedy"


def test_of_many_faults_of_a_kind_some_are_listed_and_all_counted(tmp_path, capsys):
    for number in range(8):
        save(tmp_path / "ab"[number % 2] / f"{number}.png", np.full((9, 9), number, np.uint8))
    output, faults = checked(capsys, tmp_path, shown=3)
    assert len(faults) == 3
    assert "and 5 more like these; checks.shown=8 lists all" in output
    assert output.endswith("8 faults\n")


def test_a_table_is_found_and_its_rows_are_matched_with_files(tmp_path, capsys):
    rows = [
        {"path": f"{number}.png", "label": "xy"[number % 2], "who": number // 2, "split": "train"}
        for number in range(8)
    ]
    for row in rows:
        save(tmp_path / row["path"], texture(int(row["path"][0])))
    rows[2]["label"] = ""
    rows[3]["path"] = "gone.png"
    rows[4]["split"] = "holdout"
    rows[6]["split"] = "test"
    with (tmp_path / "images.csv").open("w", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    output, faults = checked(capsys, tmp_path)
    assert "images listed in images.csv" in output
    assert faults == [
        "images.csv, line 4: 2.png: label missing; correct it",
        "images.csv, line 5: gone.png: no such file; add it, or delete the row",
        "images.csv, line 6: 4.png: split is 'holdout'; expected train, val or test",
        "3.png: an image without a row in images.csv; add one, or move the image away",
    ]
    said = {"_target_": FOLDERS, "table": "images.csv", "patient": "who"}
    assert "patient 3 is in train (7.png) and test (6.png)" in "\n".join(checked(capsys, tmp_path, said)[1])


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    root = tmp_path_factory.mktemp("scans") / "raw"
    HeadScans(HeadPhantom({"Aare": 6, "Kander": 2}, image_size=32, spacing_mm=6.0), ["Kander"]).write(root)
    return root


def test_labels_of_a_segmentation_have_their_cases_and_volumes(scans, capsys):
    output, faults = checked(
        capsys, scans, {"_target_": "medzoo.datamodules.SegmentationDataModule", "patient": "(.*)_.*"}
    )
    assert not faults
    assert cells(output, "with a mask") == ["12", "4", "16"]
    assert cells(output, "patients") == ["6", "2", "8"]
    loaded = [nib.load(file) for file in sorted(scans.glob("labels*/*"))]
    masks = [np.asarray(each.dataobj) for each in loaded]
    ml = [
        (mask == 1).sum() * abs(np.linalg.det(each.affine[:3, :3])) / 1000
        for mask, each in zip(masks, loaded, strict=True)
    ]
    share = sum((mask == 1).sum() for mask in masks) / sum(mask.size for mask in masks)
    value, count, said, *volumes = cells(output, "hematoma")
    assert (value, count, said) == ("1", str(sum(volume > 0 for volume in ml)), f"{share:.2%}")
    there = [volume for volume in ml if volume]
    assert [float(volume) for volume in volumes] == pytest.approx([min(there), np.median(there), max(there)], rel=1e-3)


def test_every_fault_of_nnunets_layout_is_named(scans, tmp_path, capsys):
    root = tmp_path / "raw"
    shutil.copytree(scans, root)
    images = sorted((root / "imagesTr").iterdir())
    masks = [root / "labelsTr" / file.name.replace("_0000", "") for file in images]

    def change(file, by, move=0.0, target=None):
        image = nib.load(file)
        affine = image.affine.copy()
        affine[0, 3] += move
        nib.save(nib.Nifti1Image(by(np.asarray(image.dataobj).copy()), affine), target or file)

    def painted(mask):
        mask[0, 0, 0] = 7
        return mask

    masks[0].unlink()
    images[1].unlink()
    change(masks[2], painted)
    change(masks[3], np.asarray, move=5)
    change(masks[4], np.zeros_like)
    images[5].write_bytes(images[5].read_bytes()[:-2000])
    change(images[6], lambda ct: (ct + 1024).astype(np.int16))
    change(masks[7], lambda mask: mask.astype(np.float32) / 2)
    noise = np.random.default_rng(0).normal(size=nib.load(images[8]).shape)
    change(images[8], lambda ct: (ct + noise).astype(np.float32), target=root / "imagesTs" / "again_0000.nii.gz")
    shutil.copy(images[9], root / "imagesTr" / "odd_0001.nii.gz")
    shutil.copy(masks[9], root / "labelsTr" / "odd.nii.gz")
    output, faults = checked(capsys, root)
    names = [file.name for file in masks]
    expected = [
        f"imagesTr: {names[0][:-7]} has no mask in labelsTr",
        f"labelsTr/{names[1]}: no image of it in imagesTr",
        f"labelsTr/{names[2]}: holds label 7, which nothing names",
        f"labelsTr/{names[3]}: lies on another grid than {images[3].name}",
        f"imagesTr/{images[5].name} could not be read as a volume",
        f"imagesTr/{images[6].name}: values from",
        f"labelsTr/{names[7]}: holds 0.5; a mask holds whole numbers",
        "imagesTs/again is nearly (",
        "imagesTr: of odd there is odd_0001.nii.gz; dataset.json names channels 0 to 0",
    ]
    for each in expected:
        assert sum(line.startswith(each) for line in faults) == 1, (each, faults)
    assert len(faults) == len(expected)
    assert f"masks that are empty: 1 (imagesTr/{names[4][:-7]})" in output
    assert "cases without a mask, for prediction alone: 1 (again)" in output


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"labels": {"background": 0, "a": 2}}', '{"channel_names": {"x": "CT"}}', None]
)
def test_a_damaged_description_is_a_fault_and_images_are_looked_at_all_the_same(scans, tmp_path, capsys, text):
    for kind in ("imagesTs", "labelsTs"):
        shutil.copytree(scans / kind, tmp_path / kind.replace("Ts", "Tr"))
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    output, faults = checked(capsys, tmp_path)
    assert len(faults) == 1
    assert faults[0].startswith("dataset.json")
    assert cells(output, "slices (z)")
    assert cells(output, "with a mask") == ["4"]


def test_regions_and_what_is_not_annotated_are_labels(scans, tmp_path, capsys):
    shutil.copytree(scans, tmp_path / "raw")
    file = tmp_path / "raw" / "dataset.json"
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    file.write_text(json.dumps({**json.loads(file.read_text()), "labels": labels, "regions_class_order": [1, 2]}))
    output, faults = checked(capsys, tmp_path / "raw")
    assert not faults
    assert cells(output, "whole")[:3] == ["1,", "2", "16"]
    assert cells(output, "ignore")[1] == "0"


def test_pictures_with_masks(tmp_path, capsys):
    for number in range(4):
        save(tmp_path / "images" / f"{number}.png", texture(number))
        save(tmp_path / "masks" / f"{number}.png", 255 * (texture(number) > 128).astype(np.uint8))
    assert cells(checked(capsys, tmp_path)[0], "foreground")[:2] == ["1", "4"]
    save(tmp_path / "masks" / "0.png", 255 * (texture(0)[:20] > 128).astype(np.uint8))
    save(tmp_path / "masks" / "1.png", texture(1))
    (tmp_path / "masks" / "2.png").rename(tmp_path / "masks" / "lost.png")
    faults = checked(capsys, tmp_path)[1]
    starts = [
        "images: 2 has no mask in masks",
        "masks/lost.png: no image of it in images",
        "masks/0.png: 20 x 80 pixels",
    ]
    assert all(sum(line.startswith(start) for line in faults) == 1 for start in (*starts, "masks/1.png: holds"))
    assert len(faults) == 4


def test_folders_of_patients_are_no_classes_and_are_read_where_they_are_said(tmp_path, capsys):
    for number in range(6):
        for name in ("t1", "t2", "liver"):
            volume = texture(10 * number + len(name) + ord(name[-1]), (9, 8, 7))
            file = tmp_path / f"p{number}" / f"{name}.nii.gz"
            file.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image((volume > 128).astype(np.uint8) if name == "liver" else volume, np.eye(4)), file)
    output, faults = checked(capsys, tmp_path)
    assert "images without labels" in output
    assert "say datamodule=patient_folders" in output
    (tmp_path / "p3" / "t2.nii.gz").unlink()
    said = {"images": ["t1", "t2"], "mask": "liver", "classes": ["background", "liver"]}
    output, faults = checked(capsys, tmp_path, {"_target_": "medzoo.datamodules.PatientFoldersDataModule", **said})
    assert faults == ["p3: no t2.nii.gz; add it, or leave the patient out"]
    assert cells(output, "liver")[:2] == ["1", "5"]
    assert all(cells(output, name)[0] == "lowest" for name in ("t1", "t2"))


def test_images_without_labels_may_be_of_any_kind(tmp_path, capsys):
    save(tmp_path / "a.png", np.stack([texture(number) for number in range(3)], -1))
    save(tmp_path / "grey.png", np.stack([texture(4)] * 3, -1))
    save(tmp_path / "deep.png", texture(5).astype(np.uint16) * 200)
    Image.fromarray(texture(6)).save(tmp_path / "pages.tif", save_all=True, append_images=[Image.fromarray(texture(7))])
    np.save(tmp_path / "b.npy", texture(8, (8, 9, 10)))
    np.save(tmp_path / "c.npy", np.full((8, 9), np.nan, np.float32))
    output, faults = checked(capsys, tmp_path)
    for kind in (
        "png, 8-bit colour;",
        "colour, all of it grey",
        "png, 16-bit grey",
        "tif, 8-bit grey, 2 pages",
        "npy, uint8",
    ):
        assert kind in " ".join(output.split()), kind
    assert len(faults) == 1
    assert faults[0].startswith("c.npy: holds no values, or NaN")


def test_what_is_no_folder_of_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        FolderCheck(tmp_path / "nowhere").run()
    with pytest.raises(ValueError, match="does not support the layout of FollowUpDataModule"):
        FolderCheck(tmp_path, {"_target_": "medzoo.datamodules.FollowUpDataModule"})
    with pytest.raises(ValueError, match="near=2 must be"):
        FolderCheck(tmp_path, near=2)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match="no image to check"):
        FolderCheck(tmp_path).run()


def test_linked_folders_are_told_and_the_voxels_of_a_header_belong_to_it(tmp_path, capsys):
    photos(tmp_path / "set", ("train",))
    (tmp_path / "set" / "more").symlink_to(tmp_path / "elsewhere")
    assert "other files, left out: 1 no ending (more)" in checked(capsys, tmp_path / "set")[0]
    sitk.WriteImage(sitk.GetImageFromArray(texture(0, (9, 8, 7))), tmp_path / "volume.mhd")
    (tmp_path / "set").rename(tmp_path / ".set")
    output = checked(capsys, tmp_path)[0]
    assert "mhd, uint8" in output
    assert "other files" not in output


def test_warnings_of_readers_are_told_once_for_all_files(tmp_path, capsys):
    for number in range(3):
        image = nib.Nifti1Image(texture(number, (9, 8, 7)), np.diag([1, 1, 2 + number, 1]))
        image.header["pixdim"][3] = 9
        nib.save(image, tmp_path / f"{number}.nii.gz")
    output = checked(capsys, tmp_path)[0]
    assert output.count("its pixdim") == 1
    assert "(3 files are like this)" in output


def test_nearest_before_is_the_same_in_blocks_of_any_size():
    rng = np.random.default_rng(0)
    thumbnails = rng.normal(size=(50, 6))
    thumbnails /= np.linalg.norm(thumbnails, axis=1, keepdims=True)
    codes = rng.integers(0, 3, (50, 2))
    for block in (7, 64):
        places, most = nearest_before(thumbnails, codes, block)
        for row in range(50):
            may = [other for other in range(row) if (codes[row] != codes[other]).all()]
            alike = [float(thumbnails[row] @ thumbnails[other]) for other in may]
            assert most[row] == pytest.approx(max(alike, default=-1), abs=1e-6)
            assert not may or places[row] == may[int(np.argmax(alike))]


@pytest.mark.parametrize("shape", [(31, 77), (40, 9, 23)])
def test_a_thumbnail_is_the_mean_of_cells_without_its_slow_part(shape):
    image = np.random.default_rng(0).normal(size=shape)
    side = 32 if len(shape) == 2 else 16
    fine = image
    for axis in range(image.ndim):  # each pixel as many times as there are cells: means of whole pixels
        fine = np.repeat(fine, side, axis)
    for axis, count in enumerate(shape):
        fine = fine.reshape(*fine.shape[:axis], side, count, *fine.shape[axis + 1 :]).mean(axis + 1)
    slow = np.zeros_like(fine)
    padded = np.pad(fine, 2, mode="edge")
    for offset in np.ndindex(*[5] * fine.ndim):
        slow += padded[tuple(slice(o, o + side) for o in offset)] / 5**fine.ndim
    expected = (fine - slow) - (fine - slow).mean()
    assert thumbnail(image) == pytest.approx(expected.ravel() / np.linalg.norm(expected), abs=1e-3)
