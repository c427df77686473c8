"""Tables as text: which encoding, which separator, and the cells; what had to be found out is told.

Spreadsheets write what their language wants: semicolons or tabs for commas, a first line `sep=;`, UTF-16, GB18030.
The heading decides between separators: the one that gives columns whose names are known.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from nanoemox.files.errors import NanoEmoXError

LONGEST_CELL = 2**31 - 1
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_LINE_END = re.compile(r"\r\n|\r|\n")
_LONGEST_HEADING = 100_000  # characters, less than csv's own limit
_LOOKED_AT = 4096  # bytes, to tell UTF-16 without a mark
_COMMON_HAN = (
    0.8  # share of the characters beyond ASCII that a Chinese table has in the old, smaller character set
)


class Decoded(NamedTuple):
    """A file's text without a byte-order mark, and how it was read."""

    text: str
    encoding: str
    sure: bool  # whether the file itself says so, or is valid UTF-8
    damaged_lines: tuple[int, ...] = ()  # that hold bytes which became U+FFFD


def decoded(data: bytes, fallback: str | None = None) -> Decoded:
    """A file's text.

    Args:
        data: The bytes of the file.
        fallback: The encoding of a file that is neither Unicode nor Chinese; None reads it as UTF-8 with gaps.

    Returns:
        The text, and in which encoding it was read.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _with_gaps(data.decode(encoding, "replace"), encoding.removesuffix("-sig").upper())
    wide = _wide(data[:_LOOKED_AT])
    if wide:
        return _with_gaps(data.decode(wide, "replace"), wide.upper(), sure=False)
    try:
        return Decoded(data.decode("utf-8"), "UTF-8", True)
    except UnicodeDecodeError:
        pass
    if _is_chinese(data):
        return Decoded(data.decode("gb18030"), "gb18030", False)
    if fallback:
        return Decoded(data.decode(fallback, "replace"), fallback, False)
    return _with_gaps(data.decode("utf-8", "replace"), "UTF-8")


def _with_gaps(text: str, encoding: str, sure: bool = True) -> Decoded:
    lines = tuple(number for number, line in enumerate(text.split("\n"), 1) if "\ufffd" in line)
    return Decoded(text, encoding, sure, lines)


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark: in a table every second byte is nought."""
    for encoding, high in (("utf-16-le", head[1::2]), ("utf-16-be", head[0::2])):
        if len(high) > 1 and high.count(0) > 0.4 * len(high) and head.count(0) < 0.6 * len(head):
            return encoding
    return None


def _is_chinese(data: bytes) -> bool:
    """Whether bytes that are not UTF-8 are GB18030, mostly of the characters that everybody writes."""
    try:
        beyond = [letter for letter in data.decode("gb18030") if not letter.isascii()]
    except UnicodeDecodeError:
        return False
    common = sum(_is_common(letter) for letter in beyond)
    return common >= _COMMON_HAN * len(beyond)


def _is_common(letter: str) -> bool:
    try:
        return bool(letter.encode("gb2312"))
    except UnicodeEncodeError:
        return False


# ---------------------------------------------------------------- cells


class Layout(NamedTuple):
    """How the cells of a table are separated, and the first line of the table, counted from 0."""

    separator: str
    first_line: int = 0


def layout_of(text: str, usual: str, known: Collection[str]) -> Layout:
    """The separator of a table.

    Args:
        text: The table.
        usual: The separator that the file's ending promises.
        known: Names of columns that are looked for, in lower case.

    Returns:
        The separator that a first line such as `sep=;` names, else the one that finds most of the known names in the
        heading, else the usual one if it finds several columns, else one that does; and where the table begins.
    """
    head = text[:_LONGEST_HEADING]
    first = _LINE_END.split(head, maxsplit=1)[0].strip().strip('"')
    if first.casefold().startswith("sep=") and len(first) <= len("sep=") + 1:
        return Layout(first[len("sep=") :] or "\t", 1)

    def fit(separator: str) -> tuple[int, bool, bool, int]:
        """Known names; two equally long rows of several cells; the usual separator; cells."""
        rows: list[list[str]] = []
        with suppress(TableError):
            rows += (row.cells for row in islice(_split(head, separator, quoted=True), 2))
        names = [name.strip().casefold() for name in rows[0]] if rows else []
        even = len(names) > 1 and all(len(row) == len(names) for row in rows if row != [""])
        usual_fits = separator == usual and len(names) > 1
        return sum(name in known for name in names), usual_fits or even, separator == usual, len(names)

    return Layout(max((usual, *(each for each in SEPARATORS if each != usual)), key=fit))


class TableError(NanoEmoXError):
    """A table that breaks off; `line` says where. The reason alone; the file is for the caller to name."""

    def __init__(self, reason: str, line: int = 1) -> None:
        """Remember the reason and the line, from 1."""
        super().__init__(reason)
        self.line = line


class Cells(NamedTuple):
    """One row of a table: its cells, and the lines of the file where it begins and ends."""

    first_line: int
    last_line: int
    cells: list[str]


def rows_of(text: str, layout: Layout, quoted: bool = True, longest: int = LONGEST_CELL) -> list[Cells]:
    """The rows of a table that hold anything, the heading among them.

    Args:
        text: The table.
        layout: How its cells are separated, and where it begins.
        quoted: Whether a cell may stand in quotes.
        longest: The most characters that a cell may have.

    Returns:
        The rows in their order.

    Raises:
        TableError: The table breaks off, or a cell is too long.
    """
    body = _LINE_END.split(text, maxsplit=layout.first_line)[-1] if layout.first_line else text
    found = []
    for row in _split(body, layout.separator, quoted, layout.first_line):
        if max(map(len, row.cells)) > longest:
            raise TableError(f"a cell has more than {longest:,} characters", row.first_line)
        if any(cell.strip() for cell in row.cells):
            found.append(row)
    return found


def _split(text: str, separator: str, quoted: bool, before: int = 0) -> Iterator[Cells]:
    """All rows, with the lines that lie `before` the text counted in.

    The csv module is not used: it takes no cell of over 128 KiB unless a limit is raised for the whole process, and
    where a quote is never closed it makes one cell of all the rest.
    """
    quote = '(?:"([^"]*(?:""[^"]*)*)")?' if quoted else "()"
    cell = re.compile(rf"{quote}([^{re.escape(separator)}\r\n]*)({re.escape(separator)}|\r\n|\r|\n|\Z)")
    place, line, first, cells = 0, before + 1, before + 1, list[str]()
    while place < len(text) or cells:
        found = cell.match(text, place)
        if found is None or (quoted and found[1] is None and found[2].startswith('"')):
            raise TableError("a quote is opened and never closed", line)
        inside, rest, end = found.groups()
        cells.append((inside or "").replace('""', '"') + rest)
        place = found.end()
        line += len(_LINE_END.findall(inside or ""))
        if end == separator:
            continue
        yield Cells(first, line, cells)
        line += 1
        first, cells = line, []
