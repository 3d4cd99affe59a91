"""NRRD and MetaImage: reading headers and voxels.

SimpleITK silently reads damaged voxels, and uses uninitialised memory for numbers missing in a header, so both are
checked first.
"""

import math
import re
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medzoo.datamodules.io.volumes.grid import from_itk
from medzoo.datamodules.io.volumes.header import RawHeader

__all__ = ["read_itk"]

_ITK = {sitk.sitkUInt8: 1, sitk.sitkInt8: 1, sitk.sitkUInt16: 2, sitk.sitkInt16: 2, sitk.sitkUInt32: 4,
        sitk.sitkInt32: 4, sitk.sitkUInt64: 8, sitk.sitkInt64: 8, sitk.sitkFloat32: 4, sitk.sitkFloat64: 8}  # fmt: skip

_LAST_OF_NRRD, _LINE_OF_NRRD = re.compile(rb"\r?\n\r?\n"), re.compile(r"(?m)^([a-z][a-z ]*):[ \t]*(.*?)[ \t]*\r?$")
_LAST_OF_META = re.compile(rb"(?m)^ElementDataFile\s*=[ \t]*\S.*(\n|\Z)")
_LINE_OF_META = re.compile(r"(?m)^(\w+)\s*=[ \t]*(.*?)[ \t]*\r?$")
_NUMBERS = {
    "HeaderSize CompressedDataSize ElementNumberOfChannels ID ParentID": 0,
    "DimSize ElementSpacing ElementSize Offset Origin Position": 1,
    "TransformMatrix Orientation Rotation": 2,
}  # value: numbers expected, as a power of the number of axes
_FLAGS = {"BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "CompressedData"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MM = ("mm", "millimeter", "millimeters", "millimetre", "millimetres", "", "?")


def read_itk(file: Path) -> RawHeader:
    """The header of an NRRD or MetaImage file; to be called within `opening`."""
    fields, end = _fields(file)
    (_check_nrrd if _is_nrrd(file) else _check_meta)(fields)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise EOFError from error
    voxel = _ITK.get(reader.GetPixelIDValue(), 0)
    parts = reader.GetNumberOfComponents()
    shape = reader.GetSize() + ((parts,) if parts > 1 else ())
    size = math.prod(shape) * voxel
    stored, packed, plain = _voxels(file, fields, end)

    def load() -> np.ndarray:
        if plain >= 0:
            _check_voxels(stored, packed, plain, size, fields.get("CompressedDataSize"))
        try:
            return sitk.GetArrayFromImage(reader.Execute()).T
        except RuntimeError as error:
            raise EOFError from error

    return RawHeader(shape, from_itk(reader), voxel, load, packed or plain < 0)


def _check_voxels(stored: Path, packed: bool, start: int, size: int, told: str | None) -> None:
    """Check that a file has enough bytes of voxels, and that the compressed size in a MetaImage is right."""
    if not stored.is_file():
        raise ValueError(f"its voxels in {stored.name} are not there")
    content = stored.read_bytes()[start:]
    if packed:
        if not _is_nrrd(stored) and told not in (str(len(content)), *((None, "0") if start == 0 else ())):
            raise ValueError(f"its CompressedDataSize is {told}, and there are {len(content)} bytes")
        unpacked = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib or gzip
        content = unpacked.decompress(content, size + 1)
        if not unpacked.eof:
            raise EOFError
    if len(content) < size:
        raise EOFError


def _voxels(file: Path, fields: dict[str, str], end: int) -> tuple[Path, bool, int]:
    """The file of the voxels, whether they are compressed, and their offset in bytes; -1 if unknown."""
    if _is_nrrd(file):
        coding = fields.get("encoding", "").lower()
        odd = {"data file", "datafile", "line skip", "byte skip"} & {*fields} or coding not in ("raw", "gzip", "gz")
        return file, coding in ("gzip", "gz"), -1 if odd else end
    packed = fields.get("CompressedData") == "True"
    place = fields["ElementDataFile"]
    if "HeaderSize" in fields or fields.get("BinaryData") == "False" or place.split()[0] == "LIST":
        if packed:
            raise ValueError("it is compressed behind a HeaderSize, as text or in several files")
        return file, packed, -1
    return (file, packed, end) if place == "LOCAL" else (file.parent / place, packed, 0)


def _is_nrrd(file: Path) -> bool:
    return file.suffix.lower() == ".nrrd"


def _fields(file: Path) -> tuple[dict[str, str], int]:
    """Fields of a header by name, and its length in bytes."""
    with file.open("rb") as opened:
        head = opened.read(1 << 20)
    last, line = (_LAST_OF_NRRD, _LINE_OF_NRRD) if _is_nrrd(file) else (_LAST_OF_META, _LINE_OF_META)
    end = last.search(head)
    if not end:
        raise EOFError
    lines = line.findall(head[: end.end()].decode("latin1"))
    names = [name for name, _ in lines]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"its header has {twice[0]} twice")
    return dict(lines), end.end()


def _check_nrrd(fields: dict[str, str]) -> None:
    for name in ("units", "space units"):
        _check_unit(re.findall(r'"([^"]*)"', fields.get(name, ""))[:3])


def _check_meta(fields: dict[str, str]) -> None:
    lacking = [name for name in ("NDims", "DimSize", "ElementType", *fields) if not fields.get(name)]
    if lacking:
        raise ValueError(f"its header has no {lacking[0]}")
    _check_unit([fields.get("DistanceUnits", "mm")])
    axes = int(fields["NDims"]) if re.fullmatch("[2-4]", fields["NDims"]) else 0
    if not axes:
        raise ValueError(f"its NDims is {fields['NDims'][:9]!r}; expected 2 to 4")
    for name in _FLAGS & {*fields}:
        if fields[name] not in ("True", "False"):
            raise ValueError(f"its {name} is {fields[name][:9]!r}; expected True or False")
    for names, count in _NUMBERS.items():
        for name in {*names.split()} & {*fields}:
            numbers = fields[name].split()
            if len(numbers) != axes**count or not all(_NUMBER.fullmatch(one) for one in numbers):
                raise ValueError(f"its {name} is {fields[name][:40]!r}; expected {axes**count} numbers")


def _check_unit(units: list[str]) -> None:
    other = [unit for unit in units if unit.lower() not in _MM]
    if other:
        raise ValueError(f"its header is in {other[0][:9]!r}; write it in mm")
