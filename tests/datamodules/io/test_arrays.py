import zipfile

import numpy as np
import pytest

from medzoo.datamodules.io.arrays import npz_header, npz_keys, npz_rows, read_npy, read_npz, stretched

IMAGES = np.arange(2 * 5 * 6, dtype=np.uint8).reshape(2, 5, 6)


@pytest.mark.parametrize("kind", ["<u2", ">u2", ">f4", "<f8", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_order_of_bytes_and_axes(tmp_path, kind, order):
    array = np.asarray(IMAGES.astype(kind), order=order)
    np.save(tmp_path / "x.npy", array)
    np.savez_compressed(tmp_path / "x.npz", images=array)
    for read in (read_npy(tmp_path / "x.npy"), read_npz(tmp_path / "x.npz", "images")):
        assert np.array_equal(read, array)
        assert read.flags.c_contiguous
        assert read.dtype.isnative


def test_keys_and_shapes_come_from_headers(tmp_path):
    np.savez(tmp_path / "x.npz", images=IMAGES, one=np.array("text"))
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as archive:
        archive.writestr("__MACOSX/._images.npy", b"left by a Mac")
        archive.writestr(".DS_Store", b"")
    assert npz_keys(tmp_path / "x.npz") == ["images", "one"]
    assert npz_header(tmp_path / "x.npz", "images")[0] == (2, 5, 6)
    assert str(read_npz(tmp_path / "x.npz", "one")) == "text"
    with pytest.raises(ValueError, match=r"no array 'labels'; it holds \['images', 'one'\]"):
        read_npz(tmp_path / "x.npz", "labels")


def header(shape, kind="|u1"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def npz(folder, content, name="x.npz", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(folder / name, "w", compression) as archive:
        archive.writestr("images.npy", content)
    return folder / name


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (header((10**6, 10**6, 10**6)) + bytes(9), "its header says .1000000, 1000000, 1000000."),
        (header((-1, 9)) + bytes(9), "its header says"),
        (header((2, 5)) + bytes(9), "uint8, 138 bytes in all; there are 137"),
        (header((2, 5)) + bytes(11), "there are"),
        (header((2,), "|O") + bytes(16), "holds Python objects, which are not loaded; save it again as numbers"),
        (header((1,), "<c8") + bytes(8), "holds complex64; expected numbers"),
        (header((1,), "<M8[s]") + bytes(8), "expected numbers"),
        (b"\x93NUMPY", "x.np"),
        (b"no array", "x.np"),
        (b"", "x.np"),
    ],
)
def test_headers_are_not_believed(tmp_path, content, said):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(ValueError, match=said) as told:
        read_npy(tmp_path / "x.npy")
    assert "\n" not in str(told.value)
    with pytest.raises(ValueError, match=said):
        read_npz(npz(tmp_path, content), "images")
    with pytest.raises(ValueError, match=said):
        npz_header(npz(tmp_path, content), "images")


@pytest.mark.parametrize("at", [0.5, 0.9])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_archive_is_named(tmp_path, at, compression):
    noise = np.random.default_rng(0).integers(0, 255, (1, 50, 50), dtype=np.uint8)
    file = npz(tmp_path, header(noise.shape) + noise.tobytes(), compression=compression)
    content = bytearray(file.read_bytes())
    file.write_bytes(content[: int(at * len(content))])
    with pytest.raises(ValueError, match=r"x.npz could not be read as an npz .*copy it again"):
        read_npz(file, "images")
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    for read in (read_npz, lambda *given: [*npz_rows(*given, at_once=1)]):
        with pytest.raises(ValueError, match=r"x.npz could not be read as an npz .*copy it again"):
            read(file, "images")


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_read_in_parts(tmp_path, order):
    array = np.asarray(np.arange(7 * 3 * 2, dtype=">i4").reshape(7, 3, 2), order=order)
    np.savez_compressed(tmp_path / "x.npz", images=array)
    parts = [*npz_rows(tmp_path / "x.npz", "images", at_once=3)]
    assert [len(part) for part in parts] == [3, 3, 1]
    assert np.array_equal(np.concatenate(parts), array)


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("medzoo.datamodules.io.arrays._BOMB", (1 << 20, 300))
    file = npz(tmp_path, header((1 << 21,)) + bytes(1 << 21), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="from almost nothing"):
        read_npz(file, "images")


def test_missing_files_are_named(tmp_path):
    for read in (read_npy, npz_keys, lambda file: read_npz(file, "images")):
        with pytest.raises(FileNotFoundError, match=r"no file .*none\.npz"):
            read(tmp_path / "none.npz")


def test_intensities(tmp_path):
    assert np.array_equal(stretched(IMAGES, tmp_path), IMAGES)
    assert np.unique(stretched(IMAGES > 3, tmp_path)).tolist() == [0, 255]
    wide = np.array([2**31 - 3, 2**31 - 2, 2**31 - 1], np.int32)
    assert stretched(wide, tmp_path).tolist() == [0, 127.5, 255]
    with pytest.raises(ValueError, match="NaN or infinite"):
        stretched(np.array([0, np.inf]), tmp_path)
