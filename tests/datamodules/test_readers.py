import nibabel
import numpy as np
import pytest
from PIL import Image

from medzoo.datamodules.readers import read_each, read_images
from tests.datamodules.io.dicom_series import HU, write_ct

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4


def test_a_folder_is_read_in_order_and_other_files_are_told(tmp_path, caplog):
    for name in ("b.png", "a.png"):
        Image.fromarray(GREY).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("none of our business")
    for name in ("._a.png", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"left by a system")
    ids, images = read_images(tmp_path, (1, 8, 8))
    assert ids == ["a", "b"]
    assert np.array_equal(images[0, 0], GREY)
    assert f"{tmp_path}: 1 files of 3 are no images and are left out: notes.txt" in caplog.text


def test_folders_below_keep_files_of_one_name_apart(tmp_path):
    for place in ("one/scan.png", "two/scan.png", "two/scan.bmp", "__MACOSX/one/scan.png", "scan.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(GREY).save(tmp_path / place)
    assert read_images(tmp_path, (1, 8, 8), below=True)[0] == ["one/scan", "scan", "two/scan", "two/scan.png"]
    assert read_images(tmp_path, (1, 8, 8))[0] == ["scan"]


def test_all_damaged_files_of_a_folder_are_told_at_once(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).write_bytes(b"no picture")
    Image.fromarray(GREY).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"a.png could not be read as a picture .*; 2 files of 3 are like this: a, c"):
        read_images(tmp_path, (1, 8, 8))


def test_pages_are_images_or_a_volume(tmp_path):
    pages = [Image.fromarray(GREY // 4 + 50 * number) for number in range(3)]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    ids, images = read_images(tmp_path / "x.tif", (1, 8, 8))
    assert ids == ["x_00000", "x_00001", "x_00002"]
    ids, volumes = read_images(tmp_path / "x.tif", (1, 3, 8, 8))
    assert ids == ["x"]
    assert np.array_equal(volumes[0, 0], images[:, 0])


def test_colour_and_grey_become_what_the_model_takes(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([GREY, GREY * 0, GREY * 0], -1)).save(tmp_path / "red.png")
    assert np.array_equal(read_images(tmp_path / "grey.png", (3, 8, 8))[1][0, 2], GREY)
    assert np.allclose(read_images(tmp_path / "red.png", (1, 8, 8))[1][0, 0], GREY * 0.299, atol=0.5)


def test_other_sizes_are_interpolated(tmp_path):
    Image.fromarray(np.full((40, 60), 77, np.uint8)).save(tmp_path / "x.png")
    _, images = read_images(tmp_path / "x.png", (1, 8, 8))
    assert images.shape == (1, 1, 8, 8)
    assert (images == 77).all()


def test_volumes_and_arrays(tmp_path):
    volume = np.linspace(-1000, 1000, 4 * 5 * 6).reshape(4, 5, 6).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(volume.T, np.eye(4)), tmp_path / "v.nii.gz")  # x, y, z
    np.save(tmp_path / "w.npy", np.stack([volume, volume]))
    ids, images = read_images(tmp_path, (1, 4, 5, 6))
    assert ids == ["v", "w_00000", "w_00001"]
    assert images.min() == 0
    assert images.max() == 255
    assert np.array_equal(images[0], images[1])


def test_an_npz_gives_its_test_images(tmp_path):
    np.savez(tmp_path / "set.npz", test_images=np.stack([GREY, GREY]), train_images=GREY[None])
    ids, images = read_images(tmp_path / "set.npz", (1, 8, 8))
    assert ids == ["set_00000", "set_00001"]
    assert images.shape == (2, 1, 8, 8)


def corrupt(folder):
    (folder / "x.png").write_bytes(b"no picture")
    return folder / "x.png"


def infinite(folder):
    np.save(folder / "x.npy", np.full((8, 8), np.nan))
    return folder / "x.npy"


def flat(folder):
    np.save(folder / "x.npy", np.zeros(8))
    return folder / "x.npy"


def channels_first(folder):
    np.save(folder / "x.npy", np.zeros((2, 3, 8, 8), np.uint8))
    return folder / "x.npy"


def with_alpha(folder):
    np.save(folder / "x.npy", np.zeros((8, 8, 4), np.uint8))
    return folder / "x.npy"


def words(folder):
    np.save(folder / "x.npy", np.full((8, 8), "white"))
    return folder / "x.npy"


def empty(folder):
    np.save(folder / "x.npy", np.zeros((0, 8, 8), np.uint8))
    return folder / "x.npy"


def pickled(folder):
    np.save(folder / "x.npy", np.array([{}]), allow_pickle=True)
    return folder / "x.npy"


@pytest.mark.parametrize(("make", "message"), [
    (lambda folder: folder, "no image to read"),
    (corrupt, "could not be read as"),
    (infinite, "NaN or infinite"),
    (flat, "takes 2 spatial axes"),
    (channels_first, "channels before rows"),
    (with_alpha, "4 channels"),
    (words, "holds <U5; expected numbers"),
    (empty, "holds no image"),
    (pickled, "holds Python objects"),
])  # fmt: skip
def test_what_cannot_be_read_is_named(make, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_images(make(tmp_path), (1, 8, 8))


def test_an_axis_of_one_is_no_axis(tmp_path):
    np.save(tmp_path / "x.npy", GREY[..., None])
    np.save(tmp_path / "y.npy", np.stack([GREY, GREY])[..., None])
    assert read_images(tmp_path, (1, 8, 8))[0] == ["x", "y_00000", "y_00001"]


def test_colour_first_is_no_volume(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="channels before rows"):
        read_images(tmp_path / "x.npy", (1, 8, 8, 8))


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_images(tmp_path / "nowhere", (1, 8, 8))


def test_a_folder_of_dicom_is_a_volume_or_pictures(tmp_path):
    write_ct(tmp_path / "p1" / "head")
    for file in (tmp_path / "p1" / "head").iterdir():
        file.rename(file.with_suffix(""))  # as scanners name them
    write_ct(tmp_path / "p2")
    ids, volumes = read_images(tmp_path, (1, 4, 6, 8), below=True)
    assert ids == ["p1/head", "p2"]
    expected = np.rint((HU - HU.min()) / np.ptp(HU) * 255)[:, ::-1, ::-1]
    assert np.array_equal(volumes[:, 0], [expected, expected])
    assert np.array_equal(read_images(tmp_path / "p2", (1, 4, 6, 8))[1], volumes[:1])
    assert read_images(tmp_path / "p2", (1, 4, 6, 8))[0] == ["p2"]
    ids, pictures = read_images(tmp_path, (1, 6, 8), below=True)
    assert [one.rpartition("/")[0] for one in ids] == ["p1/head"] * 4 + ["p2"] * 4
    assert ids[4:] == [f"p2/1.1_{number}" for number in range(4)]
    assert pictures.shape == (8, 1, 6, 8)
    last, shown = HU[3], read_images(tmp_path / "p2" / "1.1_0.dcm", (1, 6, 8))
    assert shown[0] == ["1.1_0"]
    assert np.array_equal(shown[1][0, 0], np.rint((last - last.min()) / np.ptp(last) * 255))
    with pytest.raises(ValueError, match="p2: a volume of 4 slices; this model takes 2"):
        read_each({"p2": tmp_path / "p2"}, (1, 6, 8))


def test_what_is_no_dicom_among_pictures_is_told(tmp_path, caplog):
    for name in "ab":
        Image.fromarray(GREY).save(tmp_path / f"{name}.png")
    write_ct(tmp_path / "raw")
    (tmp_path / "raw" / "1.1_0.dcm").rename(tmp_path / "IM1")  # has the mark, but as many pictures lie beside it
    (tmp_path / "notes").write_text("words")
    assert read_images(tmp_path, (1, 8, 8))[0] == ["a", "b"]
    assert "2 files of 4 are no images and are left out: IM1, notes" in caplog.text
