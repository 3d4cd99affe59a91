import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from medzoo.datamodules.io.pictures.pages import read_pages, read_picture

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOUR = np.stack([GREY, GREY.T, 255 - GREY], axis=-1)
SHOWN = {  # by EXIF's orientation, what a viewer shows
    1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1], 5: GREY.T, 6: np.rot90(GREY, -1),
    7: GREY[::-1, ::-1].T, 8: np.rot90(GREY),
}  # fmt: skip


def saved(folder, array, name="x.png", mode=None, **options):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(folder / name, **options)
    return folder / name


def tiff(folder, array, photometric):
    """One strip, little-endian, as Pillow cannot write it."""
    size, kind = array.dtype.itemsize, {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    height, width = array.shape
    tags = {256: width, 257: height, 258: 8 * size, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    tags |= {279: array.nbytes, 339: kind}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    body = array.tobytes() + struct.pack("<H", len(tags)) + entries + bytes(4)
    (folder / "x.tif").write_bytes(b"II*\0" + struct.pack("<I", 8 + array.nbytes) + body)
    return folder / "x.tif"


def bomb(folder):
    def part(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    parts = part(b"IHDR", head) + part(b"IDAT", zlib.compress(bytes(99))) + part(b"IEND", b"")
    (folder / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return folder / "x.png"


@pytest.mark.parametrize("turn", SHOWN)
@pytest.mark.parametrize(("name", "depth"), [("x.png", np.uint8), ("x.png", np.uint16), ("x.tif", np.uint16)])
def test_pictures_are_upright(tmp_path, turn, name, depth):
    exif = Image.Exif()
    exif[0x0112] = turn
    assert np.abs(read_picture(saved(tmp_path, GREY.astype(depth), name, exif=exif)) - SHOWN[turn]).max() < 1e-3


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "YCbCr", "LA", "RGBA", "P", "L"])
def test_grey_is_grey_however_it_is_stored(tmp_path, mode):
    file = saved(tmp_path, GREY, "x.tif", mode)
    assert np.array_equal(read_picture(file), GREY)
    assert np.array_equal(read_picture(file, colour=True), np.stack([GREY] * 3, axis=-1))


def test_colour_becomes_grey_by_itu_r_601(tmp_path):
    file = saved(tmp_path, COLOUR)
    assert np.array_equal(read_picture(file, colour=True), COLOUR)
    assert np.abs(read_picture(file) - COLOUR @ [0.299, 0.587, 0.114]).max() <= 0.51


@pytest.mark.parametrize("kind", ["u2", "i4", "f4"])
def test_more_than_8_bits_are_stretched(tmp_path, kind):
    levels = np.arange(64 * 64).reshape(64, 64).astype(kind)
    read = read_picture(saved(tmp_path, levels, "x.tif"))
    assert np.abs(read - levels * (255 / 4095)).max() < 1e-3
    assert read_picture(saved(tmp_path, levels * 0 + 7, "flat.tif")).max() == 0


def test_few_bits_are_shown(tmp_path):
    assert np.unique(read_picture(saved(tmp_path, GREY > 9))).tolist() == [0, 255]
    assert read_picture(saved(tmp_path, GREY < 0)).max() == 0
    assert np.unique(read_picture(saved(tmp_path, GREY // 64 * 0 + 200, "low.png"))).tolist() == [200], "not stretched"


@pytest.mark.parametrize(
    ("kind", "first"),
    [("u1", 0), ("u2", 0), ("f4", 0), ("i1", -3), ("u4", 2**31)],
)
def test_white_is_bright_whatever_number_says_so(tmp_path, kind, first):
    levels = (first + np.arange(6)).astype(kind).reshape(2, 3)
    read = read_picture(tiff(tmp_path, levels, photometric=1)).ravel()
    assert (np.diff(read) > 0).all()
    if kind in ("u1", "u2", "f4"):  # Pillow reads no others with white as 0
        assert (np.diff(read_picture(tiff(tmp_path, levels, photometric=0)).ravel()) < 0).all()


def test_what_is_transparent_is_black(tmp_path):
    alpha = np.dstack([GREY, GREY, GREY, np.where(GREY > 99, 255, 0).astype(np.uint8)])
    assert np.array_equal(read_picture(saved(tmp_path, alpha)), np.where(GREY > 99, GREY, 0))


def test_pages_are_counted(tmp_path):
    pages = [Image.fromarray(np.full((4, 4), level, np.uint8)) for level in (10, 120, 240)]
    for name in ("x.tif", "x.gif", "x.webp"):
        options = {"lossless": True} if name == "x.webp" else {}
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:], **options)
        assert [int(page.mean()) for page in read_pages(tmp_path / name)] == [10, 120, 240]
        with pytest.raises(ValueError, match=f"{name}: holds 3 pages, and one is expected; save each as a file"):
            read_picture(tmp_path / name)
    saved(tmp_path, GREY, "stack.tif", description="ImageJ=1.53\nimages=40\nslices=40\n")
    with pytest.raises(ValueError, match=r"stack.tif: is a stack whose pages are not listed"):
        read_picture(tmp_path / "stack.tif")


def test_a_camera_keeps_more_than_the_picture(tmp_path):
    image = Image.fromarray(COLOUR)
    image.save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=[image])
    assert len(read_pages(tmp_path / "x.jpg")) == 1


def test_content_counts_and_not_the_name(tmp_path):
    saved(tmp_path, GREY, "x.tif").rename(tmp_path / "x.jpg")
    assert np.array_equal(read_picture(tmp_path / "x.jpg"), GREY)


def flipped(folder):
    file = saved(folder, GREY)
    content = bytearray(file.read_bytes())
    content[60] ^= 4
    file.write_bytes(content)
    return file


def cut(folder, name, **options):
    file = saved(folder, COLOUR, name, **options)
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 3])
    return file


def written(folder, content):
    (folder / "x.png").write_bytes(content)
    return folder / "x.png"


def two_pages(folder):
    page = Image.fromarray(GREY)
    page.save(folder / "x.tif", save_all=True, append_images=[page])
    (folder / "x.tif").write_bytes((folder / "x.tif").read_bytes()[:300])
    return folder / "x.tif"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: written(folder, b""), r"x.png could not be read as a picture \(it is empty\)"),
        (lambda folder: written(folder, b"no picture"), "its content is no PNG, JPEG, BMP, TIFF, GIF or WebP"),
        (lambda folder: written(folder, b"%!PS-Adobe-3.0 EPSF-3.0\n"), "its content is no PNG"),
        (flipped, "cut short or damaged"),
        (two_pages, "x.tif could not be read as a picture"),
        (lambda folder: cut(folder, "x.png"), "x.png could not be read as a picture"),
        (lambda folder: cut(folder, "x.jpg"), "x.jpg could not be read as a picture"),
        (lambda folder: cut(folder, "x.bmp"), "x.bmp could not be read as a picture"),
        (lambda folder: cut(folder, "x.tif", compression="tiff_lzw"), "x.tif could not be read as a picture"),
        (bomb, "x.png would fill the memory: .*3600000000 pixels"),
        (lambda folder: saved(folder, np.array([[0, np.nan]], np.float32), "x.tif"), "holds NaN or infinite"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(tmp_path, make, said):
    with pytest.raises(ValueError, match=said) as told:
        read_picture(make(tmp_path))
    assert "\n" not in str(told.value)


def test_16_bits_of_colour_are_not_cut_to_8(tmp_path):
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in COLOUR)
    head = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    content = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts]
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))
    with pytest.raises(ValueError, match=r"x.png: holds 16 bits for each colour"):
        read_picture(tmp_path / "x.png")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*none\.png"):
        read_picture(tmp_path / "none.png")
