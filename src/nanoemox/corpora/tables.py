"""Tables as corpora ship them: CSV, TSV, XLSX and JSON -> rows that know their file and line.

Nothing is guessed: a cell is text until a reader asks for a number, so `0007` stays `0007`. Tables that are
not UTF-8 are read in the encoding their language would have, and the reader is told.
"""

from __future__ import annotations

import math
import re
import unicodedata
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nanoemox.files.errors import NanoEmoXError
from nanoemox.files.json_text import Document, JsonError, is_usable, read_document
from nanoemox.files.separated import SEPARATORS, Layout, TableError, decoded, layout_of, rows_of

LARGEST_BYTES = 1 << 30  # of a table
LARGEST_SHEET_BYTES = 256 << 20  # of what a spreadsheet unpacks to
LONGEST_CELL = 1 << 17  # characters; in a corpus a longer one is a quote that was never closed
_LEFTOVERS = {code: bytes([code]).decode("cp1252", "ignore") or " " for code in range(0x80, 0xA0)}
_STRAIGHT = {**dict.fromkeys(map(ord, "‘’‚‛ʼ"), "'"), **dict.fromkeys(map(ord, "“”„‟"), '"'), 0xFEFF: ""}


class CorpusError(NanoEmoXError):
    """A corpus that cannot be read at all. One line: file, what is wrong, what was expected."""


class RowError(NanoEmoXError):
    """A row that cannot be used; it is reported and left out."""


class Row:
    """One row of a table. Names of columns do not depend on case; `fault`: why it cannot be used at all."""

    def __init__(self, values: Mapping[str, Any], where: str, fault: str = "") -> None:
        """One row of a table. The names of columns do not depend on upper and lower case.

        Args:
            values: column -> cell.
            where: file and line, for errors.
            fault: why the row cannot be used at all; empty if it can.
        """
        self.where, self.fault = where, fault
        self.values = {str(key).strip().lower(): value for key, value in values.items()}

    def __contains__(self, key: str) -> bool:
        return key.lower() in self.values

    def __getitem__(self, key: str) -> str:
        """A cell that must hold something."""
        text = self.get(key)
        if not text:
            raise RowError(f"{key} is empty" if key in self else f"there is no {key}")
        return text

    def get(self, key: str) -> str:
        """A cell as text, "" where there is none."""
        value = self.values.get(key.lower())
        if value is None:
            return ""
        if isinstance(value, float) and value.is_integer():
            value = int(value)  # a spreadsheet's 12.0
        if isinstance(value, (dict, list)):
            raise RowError(f"{key} is a {type(value).__name__}, expected text")
        return str(value).strip()

    def number(self, key: str) -> float:
        """A cell that must hold a finite number."""
        text = self[key]
        try:
            value = float(text)
        except ValueError:
            raise RowError(f"{key} is {text!r}, expected a number") from None
        if not math.isfinite(value):
            raise RowError(f"{key} is {text!r}, expected a finite number")
        return value

    def within(self, key: str, kind: type) -> Any:
        """A nested object or list."""
        value = self.values.get(key.lower())
        if not isinstance(value, kind):
            raise RowError(f"{key} is {type(value).__name__}, expected {kind.__name__}")
        return value


def plain(text: str) -> str:
    """Words of a transcript: straight quotes, single blanks, and nothing left over from Windows-1252."""
    text = unicodedata.normalize("NFC", text).translate(_LEFTOVERS).translate(_STRAIGHT)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def listed(text: str) -> list[str]:
    """`[a, 'b', c]` or `a, b, c` -> its parts, without brackets, blanks and quotes, each once."""
    parts = (
        part.strip(" \t'\"") for part in re.split("[,，、;；|｜/／]", re.sub(r"^\s*\[|\]\s*$", "", text))
    )
    return list(dict.fromkeys(part for part in parts if part))


def rows(
    path: Path,
    columns: Iterable[str] = (),
    *,
    header: tuple[str, ...] | None = None,
    delimiter: str | None = None,
    known: Collection[str] = (),
    fallback: str = "cp1252",
    assume: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Row]:
    """The rows of a CSV, TSV or XLSX file.

    Args:
        path: The file.
        columns: Names that the table must have.
        header: Names for a table without a header line.
        delimiter: Between the cells of a line; None takes what the heading shows, usually a tab for .tsv, else a comma.
        known: More names of columns, in lower case, by which a heading is recognized.
        fallback: The encoding of a table that is neither Unicode nor Chinese.
        assume: Called with a sentence about what had to be assumed.

    Yields:
        The rows, in their order; one with the wrong number of cells has a fault.

    Raises:
        CorpusError: If the file cannot be read, or lacks one of the columns.
    """
    if path.suffix.lower() == ".xlsx":
        lines: Iterator[tuple[int, list[Any]]] = _sheet(path)
    else:
        usual = delimiter or ("\t" if path.suffix.lower() == ".tsv" else ",")
        text = text_of(path, fallback, assume)
        names_sought = {*known, *(column.lower() for column in columns)}
        layout = Layout(usual) if delimiter or header else layout_of(text, usual, names_sought)
        if layout.separator != usual:
            name = SEPARATORS.get(layout.separator, repr(layout.separator))
            assume(f"{path.name}: its cells are separated by {name}, and were read so")
        lines = _separated(path, text, layout, usual)
    names = header
    for number, cells in lines:
        if names is None:
            names = tuple(str(cell or "").strip().lower() for cell in cells)
            missing = [column for column in columns if column.lower() not in names]
            if missing:
                raise CorpusError(
                    f"{path}: expected columns {', '.join(columns)}, there is no {', '.join(missing)} among "
                    f"{', '.join(names)[:200]}; check that it is the right file"
                )
            continue
        where = f"{path.name}:{number}"
        if len(cells) > len(names) or len(cells) < len(names) - _trailing(names, columns):
            yield Row({}, where, f"has {len(cells)} fields, expected {len(names)}")
        else:
            yield Row(dict(zip(names, cells, strict=False)), where)


def _trailing(names: tuple[str, ...], columns: Iterable[str]) -> int:
    """How many of the last columns a row may leave out: those nobody asked for."""
    asked = {column.lower() for column in columns} or set(names)
    return next((i for i, name in enumerate(reversed(names)) if name in asked), 0)


def _separated(path: Path, text: str, layout: Layout, usual: str) -> Iterator[tuple[int, list[str]]]:
    quoted = usual != "\t" or layout.separator != "\t"  # in a .tsv a quote is only a quote
    try:
        found = rows_of(text, layout, quoted, LONGEST_CELL)
    except TableError as error:
        raise CorpusError(f"{path}, line {error.line}: {error}; expected a table in CSV form") from error
    for row in found:
        yield row.first_line, row.cells


def _sheet(path: Path) -> Iterator[tuple[int, list[Any]]]:
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise CorpusError(f"{path}: reading .xlsx needs openpyxl; pip install openpyxl") from error
    _check_unpacked(path)
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        try:
            sheet = book.worksheets[0]
            sheet.reset_dimensions()  # a sheet that claims 16,384 columns would be filled up to them
            for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
                if any(cell is not None for cell in cells):
                    yield number, list(cells)
        finally:
            book.close()
    except CorpusError:
        raise
    except Exception as error:  # a zip that is none, XML that is none: many kinds
        raise CorpusError(
            f"{path}: is not a readable .xlsx file ({type(error).__name__}); save it again, or as CSV"
        ) from error


def _check_unpacked(path: Path) -> None:
    """Refuse a spreadsheet that unpacks to more than any table has."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (OSError, zipfile.BadZipFile) as error:
        raise CorpusError(f"{path}: is not a readable .xlsx file ({error}); save it again") from error
    if size > LARGEST_SHEET_BYTES:
        raise CorpusError(
            f"{path}: unpacks to more than {LARGEST_SHEET_BYTES >> 20} MiB, expected a table; save it as CSV"
        )


def text_of(
    path: Path, fallback: str = "cp1252", assume: Callable[[str], None] = lambda sentence: None
) -> str:
    """A file's text.

    Args:
        path: The file.
        fallback: The encoding of a file that is neither Unicode nor Chinese.
        assume: Called with a sentence about it if the file does not tell its encoding.

    Returns:
        The text, without a byte-order mark.
    """
    raw = _bytes(path)
    found = decoded(raw, fallback)
    if not found.sure:
        line = _first_odd_line(raw)
        where = f" (line {line})" if line else ""
        assume(f"{path.name} is not UTF-8{where}; it was read as {found.encoding}")
    return found.text


def _first_odd_line(raw: bytes) -> int:
    """The first line with bytes that are not UTF-8; 0 where there is none."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        return raw.count(b"\n", 0, error.start) + 1
    return 0


def document(path: Path) -> Document:
    """A JSON file. Numbers in it that cannot be kept are NaN."""
    try:
        return read_document(_bytes(path).removeprefix(b"\xef\xbb\xbf"))
    except JsonError as error:
        where = f", line {error.line}" if error.line else ""
        raise CorpusError(f"{path}{where}: is not JSON ({error}); download it again") from error


def entries(path: Path) -> Iterator[Row]:
    """The objects of a JSON list, or of a JSON object: then the key is the column `key`."""
    content, repeated = document(path)
    if isinstance(content, dict):
        items: Iterable[tuple[Any, Any]] = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    else:
        raise CorpusError(f"{path}: expected a list or an object, got {type(content).__name__}")
    for key in dict.fromkeys(repeated):
        yield Row({}, path.name, f"has the key {key!r:.60} twice in one object; the first one is left out")
    for key, value in items:
        where = f"{path.name}[{key}]"
        if not isinstance(value, dict):
            yield Row({}, where, f"is {type(value).__name__}, expected an object")
        elif not is_usable(value):
            yield Row({}, where, "holds NaN, an infinite number or one of too many digits")
        else:
            yield Row({"key": str(key), **value}, where)


def chats(path: Path) -> Iterator[Row]:
    """The list form of the published loaders -> rows of `file` (where it lay once), `text` and `label`."""
    for row in entries(path):
        if not row.fault:
            try:
                row = Row(_chat(row), row.where)
            except RowError as error:
                row = Row({}, row.where, str(error))
        yield row


def _chat(row: Row) -> dict[str, str]:
    files = row.within("audios" if "audios" in row else "videos", list)
    messages = row.within("messages", list)
    contents = {m.get("role"): m.get("content") for m in messages if isinstance(m, dict)}
    label = contents.get("assistant")
    if len(files) != 1 or not isinstance(files[0], str) or not isinstance(label, str):
        raise RowError("expected one media file, and messages of user and assistant")
    file = files[0].replace("\\", "/")
    return {"file": file, "text": plain(str(contents.get("user") or "")), "label": label.strip()}


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise CorpusError(f"{path}: is larger than 1 GiB, expected a table; check the file")
        return path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"{path}: cannot be read ({(error.strerror or '').casefold()}); check it"
        ) from error
