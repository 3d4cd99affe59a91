"""Random and damaged pictures: read as they were written, or refused in one line, never anything else.

`fuzzing` says how to try more.
"""

import io
import struct
import zlib

import numpy as np
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from medzoo.datamodules.io.pictures.labels import read_label_picture
from medzoo.datamodules.io.pictures.pages import read_pages, read_picture
from tests.datamodules.io.fuzzing import attempt, damage, folder_of, often

LOSSLESS = {"png": ("1", "L", "LA", "RGB", "RGBA", "P", "I;16"), "bmp": ("1", "L", "RGB", "P"), "gif": ("L", "P"),
            "tiff": ("1", "L", "LA", "RGB", "RGBA", "P", "I;16", "F"), "webp": ("RGB",)}  # fmt: skip
PACKED = st.sampled_from([None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
COUNTS = st.sampled_from([0, 1, 2, 3, 4, 6, 7, 8, 16, 32, 64, 255, 30000, 65535, 10**6, 2**31 - 1, 2**32 - 1])


@st.composite
def pictures(draw):
    """A file, how its name ends, and what a viewer shows: (H, W, 3) uint8; none where that is not plain."""
    ending = draw(st.sampled_from([*LOSSLESS, "jpg"]))
    mode = draw(st.sampled_from(LOSSLESS.get(ending, ("L", "RGB"))))
    side = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    levels = np.frombuffer(draw(st.binary(min_size=32, max_size=32)) * 11, np.uint8)[: side[0] * side[1] * 4]
    image = Image.fromarray(levels.reshape(*side, 4)).convert("RGB" if mode in ("I;16", "F", "P") else mode)
    image = image.convert("P") if mode == "P" else image
    if mode in ("I;16", "F"):
        image = Image.fromarray(np.asarray(image.convert("L")).astype("u2" if mode == "I;16" else "f4"))
    packed, options = io.BytesIO(), {"webp": {"lossless": True}, "tiff": {"compression": draw(PACKED)}}
    image.save(packed, ending.replace("jpg", "jpeg"), **options.get(ending, {}))
    plain = mode in ("1", "L", "RGB", "P") and ending in ("png", "bmp", "tiff", "webp")
    return packed.getvalue(), ending, np.asarray(image.convert("RGB")) if plain else None


def sound(pixels):
    assert pixels.dtype == np.float32
    assert pixels.ndim == 3
    assert np.isfinite(pixels).all()
    assert pixels.min() >= 0
    assert pixels.max() <= 255


def read(content, ending):
    with folder_of(**{f"a_{ending}": content}) as folder:
        file = folder / f"a.{ending}"
        found = attempt(lambda file: read_pages(file, colour=True), file)
        attempt(read_picture, file)
        attempt(read_label_picture, file)
    for page in found or ():
        sound(page)
    return found


@often
@given(pictures(), st.data())
def test_random_pictures(made, data):
    content, ending, shown = made
    harmed = data.draw(damage(content) | st.just(content))
    found = read(harmed, ending)
    if harmed == content:
        assert found
    if found and shown is not None and (harmed == content or ending == "png"):  # of which each part has a checksum
        assert len(found) == 1
        assert np.array_equal(found[0], shown)


@often
@given(pictures().filter(lambda made: made[1] == "png"), st.data())
def test_parts_of_a_png_with_right_checksums(made, data):
    content, at, parts = made[0], 8, []
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        parts.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += size + 12
    new = st.sampled_from(
        [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"iCCP", b"zTXt", b"acTL", b"fdAT", b"eXIf", b"gAMA"]
    )
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(parts) - 1))
        what = data.draw(st.sampled_from(["drop", "double", "name", "body", "add"]))
        name, body = parts[place]
        if what == "drop":
            parts[place : place + 1] = [] if len(parts) > 1 else [(name, body)]
        elif what == "double":
            parts.insert(place, (name, body))
        elif what == "name":
            parts[place] = data.draw(new), body
        elif what == "body" and body:
            parts[place] = name, data.draw(damage(body))
        elif what == "add":
            parts.insert(place, (data.draw(new), data.draw(st.binary(max_size=20))))
    harmed = content[:8]
    for name, body in parts:
        harmed += len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
    read(harmed, "png")


@st.composite
def tiffs(draw):
    """A TIFF with some entries of its first directory changed: tag, type, count or value."""
    kind = draw(st.sampled_from(["u1", "u2", "i2", "u4", "f4", "f8", "i1"]))
    array = np.arange(24).reshape(draw(st.sampled_from([(4, 6), (4, 2, 3), (2, 3, 4)]))).astype(kind)
    packed = io.BytesIO()
    order = draw(st.sampled_from("<>"))
    colour = "rgb" if array.shape[-1] == 3 and kind == "u1" else draw(st.sampled_from(["minisblack", "miniswhite"]))
    tifffile.imwrite(packed, array, byteorder=order, photometric=colour, bigtiff=draw(st.booleans()))
    content = bytearray(packed.getvalue())
    if content[2:4] in (b"\x2a\0", b"\0\x2a"):
        start = struct.unpack_from(order + "I", content, 4)[0]
        count = struct.unpack_from(order + "H", content, start)[0]
        for _ in range(draw(st.integers(0, 3))):
            at = start + 2 + 12 * draw(st.integers(0, count - 1))
            form, shift = draw(st.sampled_from([("H", 0), ("H", 2), ("I", 4), ("I", 8), ("H", 8)]))
            value = draw(COUNTS)
            struct.pack_into(order + form, content, at + shift, value & (0xFFFF if form == "H" else 2**32 - 1))
    known = order == "<" and kind != "f8" and colour != "miniswhite"  # to Pillow
    return bytes(content), known and content == packed.getvalue()


@often
@given(tiffs())
def test_random_tags_of_a_tiff(made):
    content, plain = made
    assert read(content, "tif") or not plain
