"""Random headers of volumes: what a reader by the book reads is read alike or refused in one line, never anything else.

`fuzzing` says how to try more.
"""

import gzip
import math
import zlib

import nibabel as nib
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medzoo.datamodules.io import read_volume
from tests.datamodules.io.fuzzing import attempt, damage, folder_of, often

TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
LAYOUTS = {348: nib.nifti1.header_dtype, 540: nib.nifti2.header_dtype}  # offsets and types of fields, no more
NUMBERS = st.sampled_from([0, -1, 1, 0.5, 1e-3, 3e38, 1e12, 49, 51, math.nan, math.inf, -math.inf]) | st.floats(
    width=32
)
COUNTS = st.sampled_from([0, -1, 1, 2, 3, 4, 7, 8, 348, 352, 540, 544, 30000, 32767, -32768, 2**31 - 1])
CODES = st.integers(-1, 8) | st.sampled_from([32, 128, 1792, 2304, *TYPES])
FIELDS = {
    "dim": COUNTS, "datatype": CODES, "bitpix": COUNTS, "pixdim": NUMBERS, "qform_code": CODES, "sform_code": CODES,
    **{f"{name}_{axis}": NUMBERS for name in ("qoffset", "srow") for axis in "xyz"},
    **dict.fromkeys(("quatern_b", "quatern_c", "quatern_d", "scl_slope", "scl_inter", "cal_max"), NUMBERS),
    "vox_offset": COUNTS, "xyzt_units": CODES, "intent_code": COUNTS, "sizeof_hdr": COUNTS,
    "magic": st.sampled_from([b"n+1", b"ni1", b"n+2", b"ni2", b"", b"\0\0n+", b"n+1\0\r\n\x1a\n"]),
}  # fmt: skip


@st.composite
def niftis(draw):
    """A file, unpacked, and whether nothing in it is odd."""
    size, order = draw(st.sampled_from([348, 540])), draw(st.sampled_from("<>"))
    header = np.zeros(1, LAYOUTS[size].newbyteorder(order))
    shape = draw(st.lists(st.integers(1, 5), min_size=2, max_size=3))
    code = draw(st.sampled_from(sorted(TYPES)))
    fields = {"sizeof_hdr": size, "datatype": code, "bitpix": 8 * np.dtype(TYPES[code]).itemsize, "xyzt_units": 2,
              "vox_offset": size + 4, "magic": b"n+1" if size == 348 else b"n+2\0\r\n\x1a\n",
              "qform_code": draw(st.integers(0, 2)), "sform_code": draw(st.integers(0, 2)),
              "scl_slope": draw(st.sampled_from([0, 1, 2.5, math.nan])),
              "scl_inter": draw(st.sampled_from([0, -1024]))}  # fmt: skip
    for name, value in fields.items():
        header[name] = value
    header["dim"][0, : len(shape) + 1] = len(shape), *shape
    header["pixdim"][0, :4] = draw(st.sampled_from([-1, 1])), *draw(st.tuples(*[st.floats(0.1, 5)] * 3))
    turns = draw(st.permutations(range(3))), draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    for row, (axis, sign) in enumerate(zip(*turns, strict=True)):
        header[f"srow_{'xyz'[row]}"][0, axis] = sign * header["pixdim"][0, 1 + axis]
        header[f"srow_{'xyz'[row]}"][0, 3] = 10 * row
    header["quatern_b"] = draw(st.sampled_from([0, 0.5, -0.5]))
    changes = draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3))
    for name in changes:
        place = (0, *(draw(st.integers(0, n - 1)) for n in header[name].shape[1:]))
        value, kind = draw(FIELDS[name]), header[name].dtype
        header[name][place] = np.clip(value, *_limits(kind)) if kind.kind in "iu" else value
    values = draw(st.binary(min_size=16, max_size=16)) * 63  # of 5 x 5 x 5 in 8 bytes
    if TYPES[code] in ("f4", "f8"):
        values = np.frombuffer(values, "u1").astype(TYPES[code]).astype(order + TYPES[code]).tobytes()
    values = values[: math.prod(shape) * np.dtype(TYPES[code]).itemsize]
    return header.tobytes() + bytes(4) + values, not changes


def _limits(kind):
    about = np.iinfo(kind)
    return about.min, about.max


def by_the_book(content):
    """Values and affine of NIfTI as its standard has them (nifti1.h), or none; geometry is none where it says none."""
    size = next((n for n in LAYOUTS if content[:4] in (n.to_bytes(4, "little"), n.to_bytes(4, "big"))), 0)
    if not size or len(content) < size:
        return None
    order = "<" if content[:4] == size.to_bytes(4, "little") else ">"
    header = np.frombuffer(content, LAYOUTS[size].newbyteorder(order), 1)[0]
    axes, code = int(header["dim"][0]), int(header["datatype"])
    if not 1 <= axes <= 7 or code not in TYPES:
        return None
    shape = [int(n) for n in header["dim"][1 : axes + 1]]
    kind, start = np.dtype(order + TYPES[code]), int(header["vox_offset"])
    if min(shape) < 1 or start < size + 4 or len(content) - start < math.prod(shape) * kind.itemsize:
        return None
    values = np.frombuffer(content, kind, math.prod(shape), start).reshape(shape, order="F").astype(np.longdouble)
    slope, inter = header["scl_slope"], header["scl_inter"]
    if slope != 0 and np.isfinite(slope):
        values = values * np.longdouble(slope) + np.longdouble(inter)
    return values, _affine(header)


def _affine(header):
    affine = np.eye(4)
    if header["sform_code"] > 0:
        affine[:3] = [header[f"srow_{axis}"] for axis in "xyz"]
        return affine
    if header["qform_code"] <= 0:
        return None
    b, c, d = (float(header[f"quatern_{axis}"]) for axis in "bcd")
    a = math.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    turn = [[a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b]]  # fmt: skip
    edges = np.abs(header["pixdim"][1:4]).astype(float)
    edges[edges == 0] = 1  # of an axis of one voxel; others are refused
    edges *= (1, 1, -1 if header["pixdim"][0] < 0 else 1)
    affine[:3, :3] = np.array(turn) * edges
    affine[:3, 3] = [header[f"qoffset_{axis}"] for axis in "xyz"]
    return affine


def check(volume, values=None, affine=None):
    """Finite and whole in itself, and each voxel of `values` where `affine` says."""
    assert volume.array.ndim == 3
    assert volume.array.shape == volume.grid.shape
    assert np.isfinite(volume.array).all()
    assert np.isfinite(volume.spacing).all()
    assert min(volume.spacing) > 0
    assert np.isfinite(volume.affine).all()
    if values is None:
        return
    shape = (*values.shape, 1)[:3]
    assert volume.array.size == math.prod(shape)
    if affine is None:
        affine = volume.grid.file_affine
    assert np.allclose(volume.grid.file_affine, affine, rtol=1e-5, atol=1e-4)
    if np.abs(affine[:3, 3]).max() < 1e5:
        places = np.indices(shape).reshape(3, -1)
        mm = affine[:3, :3] @ places + affine[:3, 3:]
        back = np.linalg.inv(volume.affine) @ [*mm, np.ones(mm.shape[1])]
        x, y, z = np.rint(back[:3]).astype(int)
        scale = 1e-5 * float(np.abs(values).max()) + 1e-37  # 32 bits have none below
        assert np.allclose(volume.array[z, y, x], values.astype(float).ravel(), rtol=1e-5, atol=scale)


@often
@given(niftis(), st.data())
def test_random_nifti_headers(made, data):
    content, sound = made
    harmed = data.draw(damage(content) | st.just(content))
    packed = data.draw(st.booleans())
    with folder_of(a_nii=harmed, b_nii_gz=gzip.compress(harmed, 1)) as folder:
        found = attempt(read_volume, folder / ("b.nii.gz" if packed else "a.nii"))
    expected = by_the_book(harmed)
    assert found or not sound or harmed != content or not np.isfinite(expected[0].astype("f4")).all()
    if found:
        assert expected, "the standard knows no such file"
        check(found, *expected)


@often
@given(niftis(), st.data())
def test_a_damaged_gzip_is_never_read(made, data):
    content = gzip.compress(made[0], 1, mtime=0)
    harmed = data.draw(damage(content) | damage(made[0]))
    with folder_of(a_nii_gz=harmed) as folder:
        found = attempt(read_volume, folder / "a.nii.gz")
    if found:
        assert by_the_book(made[0])
        check(found, *by_the_book(made[0]))


KINDS = {"uint8": "u1", "short": "i2", "unsigned short": "u2", "int": "i4", "float": "f4", "double": "f8"}
TURNS = st.sampled_from([[1, 1, 1], [-1, -1, 1], [1, -1, -1]])
WORDS = st.sampled_from(
    ["", "0", "-1", "1", "2 2 2", "3 3", "nan", "inf", "-inf", "1e400", "30000 30000 30000", "4294967296 1 1",
     "(1,0,0)", "none", "(nan,0,0) (0,1,0) (0,0,1)", "(1,0,0) (1,0,0) (0,0,1)", "(0,0,0) (0,1,0) (0,0,1)",
     "(2,0,0) (0,2,0) (0,0,2)", '"cm" "cm" "cm"', "cm", "raw", "gzip", "ascii", "hex", "bz2", "float", "block",
     "MET_FLOAT", "MET_SHORT", "MET_OTHER", "True", "False",
     "LIST", "LOCAL", "../a.raw", "a%d.raw 1 9 1", "right-anterior-superior", "3D-right-handed", "big", "\xe4",
     "1e-30 1 1", "1e30 1 1", "0.02 0.02 0.02", "1 1 1 1", "1 0 0 0 1 0 0 0 0", "0 1 0 1 0 0 0 0 1", "list list list"]
) | st.text("0123456789.,()- e", max_size=12)  # fmt: skip


@st.composite
def texts(draw, lines, more):
    """Lines of a header with a few of them changed, doubled, dropped or added, and whether none is."""
    said, changes = dict(lines), draw(st.integers(0, 2))
    for _ in range(changes):
        name = draw(st.sampled_from([*lines, *more]))
        if draw(st.booleans()) and name in said:
            del said[name]
        else:
            said[name] = draw(WORDS)
    return said, said == lines


@st.composite
def grids(draw):
    """Sizes, type and values of a volume, its spacing, and the directions of its axes in LPS."""
    shape = draw(st.tuples(*[st.integers(1, 4)] * 3))
    name = draw(st.sampled_from(sorted(KINDS)))
    count = math.prod(shape)
    values = np.frombuffer(draw(st.binary(min_size=count, max_size=count)), np.int8).astype(KINDS[name])
    spacing = draw(st.tuples(*[st.floats(0.1, 5).map(lambda mm: round(mm, 3))] * 3))
    turn = np.eye(3)[:, draw(st.permutations(range(3)))] * draw(TURNS)
    return shape, name, values.reshape(shape, order="F"), spacing, turn


def in_ras(turn, spacing, origin):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * spacing, origin
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


@st.composite
def nrrds(draw):
    shape, name, values, spacing, turn = draw(grids())
    packed, order = draw(st.booleans()), draw(st.sampled_from("<>"))
    axes = " ".join(f"({','.join(map(repr, map(float, axis)))})" for axis in (turn * spacing).T)
    lines = {"type": name, "dimension": "3", "sizes": " ".join(map(str, shape)), "space": "left-posterior-superior",
             "space directions": axes, "space origin": "(1,-2,3.5)", "encoding": "gzip" if packed else "raw",
             "endian": "little" if order == "<" else "big", "kinds": "domain domain domain"}  # fmt: skip
    more = (
        "spacings",
        "data file",
        "byte skip",
        "line skip",
        "thicknesses",
        "units",
        "space units",
        "centers",
        "old max",
    )
    said, sound = draw(texts(lines, more))
    stored = values.astype(order + KINDS[name]).tobytes(order="F")
    text = "".join(f"{key}: {value}\n" for key, value in said.items())
    head = f"NRRD000{draw(st.sampled_from('45'))}\n{text}\n".encode("latin1")
    return (
        head + (gzip.compress(stored, 1, mtime=0) if packed else stored),
        sound,
        values,
        in_ras(turn, spacing, (1, -2, 3.5)),
    )


@st.composite
def metas(draw):
    shape, name, values, spacing, turn = draw(grids())
    packed, order = draw(st.booleans()), draw(st.sampled_from("<>"))
    stored = values.astype(order + KINDS[name]).tobytes(order="F")
    content = zlib.compress(stored) if packed else stored
    lines = {"ObjectType": "Image", "NDims": "3", "BinaryData": "True", "BinaryDataByteOrderMSB": str(order == ">"),
             "CompressedData": str(packed), "CompressedDataSize": str(len(content)),
             "TransformMatrix": " ".join(map(str, turn.T.ravel())), "Offset": "1 -2 3.5",
             "ElementSpacing": " ".join(map(str, spacing)), "DimSize": " ".join(map(str, shape)),
             "ElementType": "MET_" + {"uint8": "UCHAR", "unsigned short": "USHORT"}.get(name, name.upper()),
             "ElementDataFile": "LOCAL"}  # fmt: skip
    more = (
        "HeaderSize",
        "ElementNumberOfChannels",
        "ElementSize",
        "ID",
        "Rotation",
        "Position",
        "AnatomicalOrientation",
    )
    said, sound = draw(texts(lines, more))
    said["ElementDataFile"] = said.pop("ElementDataFile", "")  # the last line of a header
    head = "".join(f"{key} = {value}\n" for key, value in said.items()).encode("latin1")
    return head + content, sound, values, in_ras(turn, spacing, (1, -2, 3.5))


@often
@given(nrrds() | metas(), st.data())
def test_random_nrrd_and_metaimage_headers(made, data):
    content, sound, values, affine = made
    harmed = data.draw(damage(content) | st.just(content))
    ending = "nrrd" if content.startswith(b"NRRD") else "mha"
    with folder_of(**{f"a_{ending}": harmed}) as folder:
        found = attempt(read_volume, folder / f"a.{ending}")
    if sound and harmed == content:
        assert found
        check(found, values, affine)
    elif found:
        check(found)


def test_a_header_of_30000_voxels_a_side_is_refused_before_room_is_made():
    header = np.zeros(1, LAYOUTS[348])
    for name, value in {"sizeof_hdr": 348, "datatype": 4, "bitpix": 16, "vox_offset": 352, "magic": b"n+1"}.items():
        header[name] = value
    header["dim"][0, :4], header["pixdim"][0, :4] = (3, 30000, 30000, 30000), 1
    nifti = header.tobytes() + bytes(100)
    meta = (
        b"ObjectType = Image\nNDims = 3\nDimSize = 30000 30000 30000\nElementType = MET_SHORT\nCompressedData = True\n"
        b"CompressedDataSize = 100\nElementDataFile = LOCAL\n"
    )
    nrrd = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 30000 30000 30000\nencoding: gzip\nendian: little\n\n"
    files = {"a_nii": nifti, "a_nii_gz": gzip.compress(nifti), "a_mha": meta + bytes(100), "a_nrrd": nrrd + bytes(100)}
    with folder_of(**files) as folder:
        for file in folder.iterdir():
            assert attempt(read_volume, file) is None
