"""Random npy and npz files: their arrays as numpy reads them, or one line, never anything else.

`fuzzing` says how to try more.
"""

import io
import pickle
import struct
import warnings
import zipfile

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medzoo.datamodules.io.arrays import npz_header, npz_keys, read_npy, read_npz
from tests.datamodules.io.fuzzing import attempt, damage, folder_of, often

SHAPES = st.sampled_from(
    ["()", "(3,)", "(2, 2)", "(0,)", "(-1,)", "(30000, 30000, 30000)", "(2**62, 4)", "(1e3,)", "(True,)", "(3.0,)", "3",
     "[3]", "('3',)", "None", "(9223372036854775808,)", "(" * 200, "(1,) * 99999999", "(" + "1," * 70 + ")", "(\n3,)"]
)  # fmt: skip
KINDS = st.sampled_from(
    ["'<f4'", "'>i2'", "'|u1'", "'|b1'", "'|O'", "'<c8'", "'<M8[s]'", "'<U5'", "'|S4'", "'|V8'", "'<f2'", "'<f16'",
     "[('a', '<i4')]", "'evil'", "None", "'<U0'",
     "('<f4', (2, 2))", "'<U2147483647'", "'f4,i2'", "'O8'", "[('a', '|O')]", "{}"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["images.npy", "images", "../images.npy", "/images.npy", "a/images.npy",
     "C:\\images.npy", ".npy",
     "x" * 300 + ".npy", "imag\u00e9s.npy", "images.npy/", "__MACOSX/._images.npy", "images.npz",
     "images\n.npy", ""]
)  # fmt: skip


class Trap:
    """An object that ends the tests when it is unpickled: no reader catches a `SystemExit`."""

    def __reduce__(self):
        return exec, ("raise SystemExit('a pickled object was loaded')",)


@st.composite
def arrays(draw):
    """An npy file, and the array that it holds; none where its header is odd."""
    kind, shape = (
        draw(st.sampled_from(["<f4", ">i2", "|u1", "|b1", "<u8", ">f8", "<U3"])),
        draw(st.tuples(*[st.integers(0, 3)] * 3)),
    )
    array = np.arange(np.prod(shape)).reshape(shape).astype(kind)
    if draw(st.booleans()):
        array = np.asfortranarray(array)
    packed = io.BytesIO()
    np.lib.format.write_array(packed, array, version=draw(st.sampled_from([(1, 0), (2, 0), (3, 0)])))
    if draw(st.booleans()):
        return packed.getvalue(), array
    if draw(st.booleans()):
        return draw(damage(packed.getvalue())), None
    order = draw(st.sampled_from(["True", "False", "None", "7"]))
    text = f"{{'descr': {draw(KINDS)}, 'fortran_order': {order}, 'shape': {draw(SHAPES)}, }}\n"
    major = draw(st.sampled_from([0, 1, 2, 3, 4]))
    length = draw(st.just(len(text)) | st.integers(0, 65535))
    head = b"\x93NUMPY" + bytes([major, 0]) + struct.pack("<H" if major == 1 else "<I", length) + text.encode()
    return head + draw(st.binary(max_size=40) | st.just(pickle.dumps(Trap()))), None


def same(found, array):
    return (
        found.dtype.isnative
        and found.flags.c_contiguous
        and found.shape == array.shape
        and np.array_equal(found, array)
    )


@often
@given(arrays())
def test_random_npy_headers(made):
    content, array = made
    with folder_of(a_npy=content) as folder:
        found = attempt(read_npy, folder / "a.npy")
    if array is not None:
        assert same(found, array)
    elif found is not None:
        assert same(found, np.load(io.BytesIO(content), allow_pickle=False))


@st.composite
def archives(draw):
    """A zip file of arrays, and what its array `images` is; none where that is not plain."""
    members, packed = draw(st.lists(st.tuples(NAMES, arrays()), max_size=2)), io.BytesIO()
    content, array = draw(arrays())
    with zipfile.ZipFile(
        packed, "w", draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
    ) as made:
        made.writestr(zipfile.ZipInfo("images.npy"), content, made.compression)
        for name, (other, _) in members:
            with warnings.catch_warnings(action="ignore"):  # of names that are there twice
                made.writestr(zipfile.ZipInfo(name), other)
    plain = not any(name in ("images", "images.npy") for name, _ in members)
    changed = bytearray(packed.getvalue())
    for _ in range(draw(st.integers(0, 2))):
        plain = False
        _change(draw, changed)
    return bytes(changed), array if plain else None


def _change(draw, content):
    """A field of the central directory or of a local header: flags, method, checksum, sizes, lengths, place."""
    mark = draw(st.sampled_from([b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"]))
    places = [k for k in range(len(content)) if content[k : k + 4] == mark]
    if places:
        at = draw(st.sampled_from(places)) + draw(st.integers(4, 45))
        value = draw(
            st.sampled_from([b"\0", b"\1", b"\x08", b"\x63", b"\xff" * 2, b"\xff" * 4, b"\0\0\0\x7f", b"\0" * 4])
        )
        content[at : at + len(value)] = value[: len(content) - at]


@often
@given(archives(), st.data())
def test_random_zip_structures(made, data):
    content, array = made
    harmed = data.draw(damage(content) | st.just(content))
    with folder_of(a_npz=harmed) as folder:
        keys = attempt(npz_keys, folder / "a.npz")
        found = attempt(read_npz, folder / "a.npz", "images")
        shape = attempt(npz_header, folder / "a.npz", "images")
    if array is not None and harmed == content:
        assert "images" in keys
        assert same(found, array)
        assert shape == (array.shape, array.dtype)
    elif found is not None:
        with zipfile.ZipFile(io.BytesIO(harmed)) as archive:
            member = next(name for name in archive.namelist() if name in ("images", "images.npy"))
            assert same(found, np.load(io.BytesIO(archive.read(member)), allow_pickle=False))
