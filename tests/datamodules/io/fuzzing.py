"""What the fuzz tests of the readers share: how often, damage to bytes, and how a reader may refuse a file.

    MEDZOO_FUZZ=20000 python -m pytest tests/datamodules/io -k fuzz

tries so many random files of each kind; without it the same 200 are tried each time.
"""

import logging
import os
import re
import resource
import sys
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

_MEMORY = 1 << 30  # bytes that reading a file of a few kilobytes may take at most

_NO_MEMORY = r"MemoryError|bad_alloc|(Una|Fai)\w+ to allocate"
_PRINTED = (  # by MetaIO and libtiff, of a file that they refuse
    r"Meta|\w+ (required and not|prior to|defined prior)|   ideal = |Uncompress failed|"
    r"TIFF\w+: |MissingRequired|\w+(Decode|Setup\w*): "
)

often = settings(
    max_examples=int(os.environ.get("MEDZOO_FUZZ", "200")),
    derandomize="MEDZOO_FUZZ" not in os.environ,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)


@st.composite
def damage(draw, content, start=0):
    """Bytes with some of them changed from `start` on, and perhaps cut short."""
    damaged = bytearray(content)
    for _ in range(draw(st.integers(0, 3))):
        damaged[draw(st.integers(start, len(damaged) - 1))] ^= draw(st.integers(1, 255))
    return bytes(damaged[: draw(st.just(len(damaged)) | st.integers(start, len(damaged)))])


@contextmanager
def folder_of(**files):
    """A folder with files of these names and bytes; `_` in a name stands for a point."""
    with tempfile.TemporaryDirectory() as name:
        for file, content in files.items():
            (Path(name) / file.replace("_", ".")).write_bytes(content)
        yield Path(name)


def attempt(reader, file, *rest, secrets=()):
    """What a reader returns, or none where it refuses: in one line with the name of the file.

    It may raise nothing else, write nothing, say little, and take no memory that the file has no use for.
    """
    folder = file if file.is_dir() else file.parent
    before = _content(folder)
    told, found = "", None
    with _watched() as said:
        try:
            found = reader(file, *rest)
        except (ValueError, FileNotFoundError) as error:
            told = str(error)
            causes = list(map(repr, _causes(error)))
            assert not any(re.search(_NO_MEMORY, cause) for cause in causes), causes
    assert _content(folder) == before, "something was written"
    if found is None:  # some libraries print why they refuse a file, before it is told in one line
        said = [line for line in said if not re.match(_PRINTED, line)]
    assert not said, said
    assert found is not None or (told and "\n" not in told and file.name in told), told
    assert not any(secret in told for secret in secrets), told
    return found


def _causes(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _content(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@contextmanager
def _watched():
    """With little memory; what was said that should not be: warnings of libraries, long logs and prints."""
    said, records = [], logging.Handler()
    records.emit = lambda record: said.append(record.getMessage())
    root = logging.getLogger()
    root.addHandler(records)
    limits = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    sys.stdout.flush(), sys.stderr.flush()
    with tempfile.TemporaryFile() as printed, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        kept = {stream: os.dup(stream) for stream in (1, 2)}
        try:
            for stream in kept:
                os.dup2(printed.fileno(), stream)
            resource.setrlimit(resource.RLIMIT_AS, (taken + _MEMORY, limits[1]))
            wrong = []
            yield wrong
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)
            for stream, copy in kept.items():
                os.dup2(copy, stream)
                os.close(copy)
            root.removeHandler(records)
        printed.seek(0)
        wrong += [str(one.message) for one in warned]
        wrong += [line for line in printed.read().decode(errors="replace").splitlines() if line.strip()]
        wrong += [text for text in said if "\n" in text] + said[6:]
