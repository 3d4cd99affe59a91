"""Ids are text and match exactly: 007 is not 7, and a table with both is refused."""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from medzoo.datamodules.io.files import some

__all__ = ["alike", "match_ids"]


def match_ids(wanted: Iterable[str], known: Iterable[str], file: Path) -> list[str]:
    """Find ids without a row in a table.

    Args:
        wanted: Ids of folders or files.
        known: Ids of the table.
        file: The table, for the message.

    Returns:
        The ids of `wanted` that are not in `known`, in order.

    Raises:
        ValueError: If an id is missing but another differs only in case, blanks, dashes, leading zeros or `.0`.
    """
    known = dict.fromkeys(known)
    absent = [name for name in dict.fromkeys(wanted) if name not in known]
    near = {alike(name): name for name in known} if absent else {}
    pairs = [(name, near[alike(name)]) for name in absent if alike(name) in near]
    if pairs:
        told = some([f"none of '{name}' but one of '{other}'" for name, other in pairs])
        raise ValueError(
            f"{file} has rows of almost the same ids: {told}; ids are text, so write "
            "them alike (in Excel, make the column text first), or add a row for each"
        )
    return absent


def alike(name: str) -> str:
    """A key equal for names that differ in case, blanks, dashes, leading zeros, a final `.0` or Unicode form."""
    text = unicodedata.normalize("NFKC", name).casefold().strip()
    text = "".join(letter for letter in text if unicodedata.category(letter)[0] != "C")
    text = re.sub(r"(?<=\d)[.,]0+$", "", text)
    text = re.sub(r"[\s_\-\u2010-\u2015]+", "-", text)
    text = re.sub(r"(?<!\d)-|-(?!\d)", "", text)  # between numbers it parts them
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)
