"""Your own clips: a folder and a table (CSV, TSV, XLSX or JSONL) become a manifest; no class has to be written.

Columns have the names of COLUMNS, or are named on the command line; all are optional but some medium or words. What
`file` names is a video, a sound, a picture or a folder of pictures, by its ending; a name without an ending is
looked for anywhere below the table's folder. A column that nobody knows is kept under `extra`.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nanoemox.corpora.corpus import Corpus, split_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.own_labels import (
    LABEL_COLUMNS,
    candidates_in,
    counted,
    labels_of,
    only_in_test,
    questions,
)
from nanoemox.corpora.tables import CorpusError, Row, RowError, plain, text_of
from nanoemox.data.schema import Record
from nanoemox.files.json_text import JsonError, read_json
from nanoemox.media.clip import CodedWarning
from nanoemox.media.container import inspect
from nanoemox.media.endings import AUDIO_ENDINGS, MEDIA_ENDINGS, PICTURE_ENDINGS, VIDEO_ENDINGS
from nanoemox.media.untrusted import MediaError
from nanoemox.tasks.task import TASKS

MEDIA_COLUMNS = ("file", "video", "audio", "image", "frames_dir")
COLUMNS = (
    *("id", *MEDIA_COLUMNS, "text", "language", "start_s", "end_s", "speaker", "person_box", "split"),
    *("dialogue", *LABEL_COLUMNS),
)
EARLIER_TURNS = 3  # of a dialogue, that a line is given
TEST_SHARE = 5  # one speaker in five is for the test where the table names no splits
_FEW = 20  # clips of a test, of which a figure says little


@dataclass(frozen=True)
class Table:
    """How a table is read. columns: ours -> the table's. where: (column, equal or not, value), all must hold."""

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    where: Sequence[tuple[str, bool, str]] = ()


def table_of(path: Path, columns: Sequence[str] = (), where: Sequence[str] = ()) -> Table:
    """A table from what is written on a command line: `emotion=label`, `set=ravdess`, `label!=fear`.

    Args:
        path: the table's file.
        columns: NAME=COLUMN reads our NAME from the table's COLUMN.
        where: COLUMN=VALUE or COLUMN!=VALUE chooses rows.

    Returns:
        The table, not read yet.

    Raises:
        CorpusError: for an entry that has another form.
    """
    named = {}
    for text in columns:
        ours, sign, theirs = (part.strip() for part in text.partition("="))
        if not sign or not theirs or ours not in COLUMNS:
            raise CorpusError(f"column {text!r}: expected NAME=COLUMN with one of {', '.join(COLUMNS)}")
        named[ours] = theirs
    conditions = []
    for text in where:
        column, sign, value = text.partition("=")
        if not sign or not column.strip("! "):
            raise CorpusError(f"where {text!r}: expected COLUMN=VALUE or COLUMN!=VALUE")
        conditions.append((column.rstrip("! "), not column.rstrip().endswith("!"), value.strip()))
    return Table(path, named, tuple(conditions))


def own_corpus(table: Table) -> Corpus:
    """The table as a corpus like any other."""
    return Corpus(
        name=table.path.stem,
        title="your own clips",
        tasks=tuple(TASKS),
        language="",
        size="",
        licence="",
        where="",
        read=partial(_read, table),
    )


def _read(table: Table, folder: Folder) -> Iterator[Line]:
    folder.layout = "table"
    found = [row for row in _rows(table, folder) if _chosen(row, table.where)]
    rows = [row for row in found if not row.fault]
    if not rows:
        raise CorpusError(f"{table.path}: no row is left to read; check the table and --where")
    if not any({*MEDIA_COLUMNS, "text"} & row.values.keys() for row in rows):
        raise CorpusError(
            f"{table.path}: expected a column {', '.join((*MEDIA_COLUMNS, 'text'))}, there are only "
            f"{', '.join(rows[0].values)[:200]}; name one with --column file=COLUMN"
        )
    known = {*COLUMNS, *(theirs.lower() for theirs in table.columns.values())}
    folder.ask(_about_columns(rows, known))

    # Make all lines first: who is tested, and what is a candidate, hangs on the rows that can be used.
    splits = any(row.get("split") for row in rows)
    make = partial(_line, folder, known, _histories(rows), splits)
    lines = list(folder.each(found, make, _split if splits else None))
    used = _usable(lines)
    if not splits:
        _deal(lines, used, {row.where: _who(row) for row in rows}, folder)
    # Rows of splits that are not asked for give candidates too, so that every split has the same ones.
    others = [row for row in rows if splits and not folder.reads(_split(row))]
    for task, candidates in candidates_in([*used, *_labels_alone(others)]).items():
        for line in lines:
            if label := line.values["labels"].get(task):
                label["candidates"] = candidates
    folder.ask([*questions(counted(used)), *only_in_test(used), *_about_test(used)])
    yield from lines


def _split(row: Row) -> str | None:
    """The split that a row names; None where that is no split, which is told when its line is made."""
    try:
        return split_of(row["split"])
    except RowError:
        return None


def _labels_alone(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """The labels of rows whose clips are not looked at."""
    for row in rows:
        with contextlib.suppress(RowError):
            yield {"labels": labels_of(row)}


def _usable(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """The lines that the manifest will hold: of the right form, and each id once."""
    used: dict[str, dict[str, Any]] = {}
    for line in lines:
        try:
            Record.model_validate(line.values)
        except ValidationError:
            continue
        used.setdefault(line.values["id"], line.values)
    return list(used.values())


def _about_columns(rows: Sequence[Row], known: Iterable[str]) -> list[CodedWarning]:
    """Columns whose names are nearly ours, and a table without any label."""
    there = list(dict.fromkeys(name for row in rows for name in row.values))
    asked = []
    for name in there:
        near = [] if name in known else get_close_matches(name, set(COLUMNS) - set(there), 1, 0.8)
        if near:
            text = f"the column {name!r:.60} is kept under extra; is it {near[0]}? Then: --column {near[0]}={name}"
            asked.append(CodedWarning("near_column", text))
    if not set(LABEL_COLUMNS) & set(there):
        text = (
            f"no column holds labels (expected {', '.join(LABEL_COLUMNS)}), there are {', '.join(there):.200}; "
            "name one with --column emotion=COLUMN"
        )
        asked.append(CodedWarning("no_labels", text))
    return asked


def _about_test(lines: Iterable[Mapping[str, Any]]) -> list[CodedWarning]:
    """A test that is too small to say anything."""
    test = [line for line in lines if line["split"] == "test"]
    if not 0 < len(test) < _FEW:
        return []
    speakers = len({line["speaker"] for line in test if "speaker" in line})
    whose = f" of {speakers} speaker{'s' * (speakers > 1)}" if speakers else ""
    text = f"the test has {len(test)} clip{'s' * (len(test) > 1)}{whose}: a figure on so few says next to nothing"
    return [CodedWarning("small_test", text)]


def _rows(table: Table, folder: Folder) -> Iterator[Row]:
    """The table's rows with our names added to its own."""
    jsonl = table.path.suffix.lower() in (".jsonl", ".ndjson")
    named = (*table.columns.values(), *(column for column, _, _ in table.where))
    known = {*COLUMNS, *(name.lower() for name in named)}
    for row in _json_lines(table.path) if jsonl else folder.rows(table.path, known=known):
        if not row.fault:
            for ours, theirs in table.columns.items():
                if theirs.lower() in row:
                    row.values[ours] = row.values[theirs.lower()]
                elif not jsonl:  # there a line may leave out what it does not know
                    there = ", ".join(row.values)[:200]
                    raise CorpusError(f"{table.path}: there is no column {theirs!r}, only {there}")
        yield row


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(text_of(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            values = read_json(line)
        except JsonError as error:
            yield Row({}, where, f"is not JSON ({error})")
            continue
        yield Row(values, where) if isinstance(values, dict) else Row({}, where, "expected an object")


def _chosen(row: Row, where: Sequence[tuple[str, bool, str]]) -> bool:
    """Whether a row is asked for. One whose cells are no text is, too, and has a fault from here on."""
    try:
        for column in ("speaker", "dialogue", "text", "split"):
            row.get(column)
        return bool(row.fault) or all((row.get(column) == value) == equal for column, equal, value in where)
    except RowError as error:
        row.fault = str(error)
        return True


def _histories(rows: Sequence[Row]) -> dict[str, list[dict[str, str]]]:
    """Where of a row -> the turns before it in its dialogue, oldest first."""
    turns: dict[str, list[dict[str, str]]] = defaultdict(list)
    known = {}
    for row in rows:
        name = row.get("dialogue")
        if not name:
            continue
        known[row.where] = turns[name][-EARLIER_TURNS:]
        if text := plain(row.get("text")):
            turns[name].append({"role": plain(row.get("speaker")) or "user", "text": text})
    return known


def _line(
    folder: Folder,
    known: set[str],
    histories: Mapping[str, list[dict[str, str]]],
    splits: bool,
    row: Row,
) -> dict[str, Any]:
    media = _media(folder, row)
    line: dict[str, Any] = {"id": row.get("id") or _name(folder, media, row), **media}
    if text := plain(row.get("text")):
        line["text"] = text
    for key in ("language", "speaker"):
        if row.get(key):
            line[key] = row.get(key)
    for key in ("start_s", "end_s"):
        if row.get(key):
            line[key] = row.number(key)
    if row.get("person_box"):
        line["person_box"] = _box(row.get("person_box"))
    if turns := histories.get(row.where):
        line["dialogue"] = turns
    if splits:
        line["split"] = split_of(row["split"])
    line["labels"] = labels_of(row)
    extra = {k: value for k, value in row.values.items() if k not in known and value not in ("", None)}
    return {**line, **({"extra": extra} if extra else {})}


def _media(folder: Folder, row: Row) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for column in MEDIA_COLUMNS:
        if name := row.get(column):
            kind, path = _find(folder, name.replace("\\", "/"))
            kind = kind if column == "file" else column
            if kind in found:
                raise RowError(f"{column} names a second {kind}")
            found[kind] = path
    return found


def _find(folder: Folder, name: str) -> tuple[str, Path]:
    """What a name stands for: its key in a manifest, and the path."""
    path = Path(os.path.normpath(folder.root / name))
    if not path.is_relative_to(folder.root):
        raise RowError(f"{name!r} leads out of the table's folder")
    if path.is_dir():
        return "frames_dir", path
    if path.is_file():
        return _kind(path), path
    if Path(name).suffix.lower() in MEDIA_ENDINGS:
        raise RowError(f"there is no file {name!r}")
    for key, index in (("video", folder.video), ("audio", folder.sound), ("frames_dir", folder.frames)):
        if place := index(name):
            return key, place
    raise RowError(f"there is no clip {name!r}")


def _kind(path: Path) -> str:
    """The key of a file in a manifest: by its ending, or, where that tells nothing, by what is in it."""
    for key, endings in (("video", VIDEO_ENDINGS), ("audio", AUDIO_ENDINGS), ("image", PICTURE_ENDINGS)):
        if path.suffix.lower() in endings:
            return key
    try:
        source = inspect(path)
    except MediaError as error:
        raise RowError(f"{path.name} is neither video nor sound nor picture ({error})") from error
    if source.picture:
        return "image"
    return "video" if source.has_video else "audio"


def _name(folder: Folder, media: Mapping[str, Path], row: Row) -> str:
    """The clip's path without its ending; for words alone, the row."""
    first = next(iter(media.values()), None)
    if first is None:
        return row.where
    name = folder.short(first.with_suffix("") if first.is_file() else first)
    cut = [row.get(key) for key in ("start_s", "end_s") if row.get(key)]
    return "-".join([name, *cut])


def _box(text: str) -> list[float]:
    try:
        x, y, width, height = (float(part) for part in text.strip("[]() ").split(","))
    except ValueError:
        raise RowError(f"person_box is {text!r}, expected x, y, width, height as fractions") from None
    return [x, y, width, height]


def _deal(
    lines: Iterable[Line], used: Sequence[Mapping[str, Any]], whose: Mapping[str, str], folder: Folder
) -> None:
    """Put every fifth speaker (or row), at least one, into the test, by an order of names, and the others into train.

    Args:
        lines: Get their `split`.
        used: The values of the lines that the manifest will hold.
        whose: Where of a row -> who speaks in it.
        folder: Is told what was done.
    """
    held = {id(values) for values in used}
    owners = {whose[line.where] for line in lines if id(line.values) in held}
    names = sorted(owners, key=lambda name: sha256(name.encode()).digest())
    tested = set(names[TEST_SHARE - 1 :: TEST_SHARE] or names[1:][-1:])
    for line in lines:
        line.values["split"] = "test" if whose[line.where] in tested else "train"
    whom = "speaker" if any("speaker" in values for values in used) else "row"
    if tested:
        share = f"{len(tested)} of {len(names)} {whom}s"
        folder.assume(f"no split is named: {share} are test, chosen by name, the others train")
    else:
        text = (
            f"all rows are of one {whom}, so none is kept for the test; add clips of another {whom}, or a column "
            "`split` with train and test"
        )
        folder.ask([CodedWarning("no_test", text)])


def _who(row: Row) -> str:
    return plain(row.get("speaker") or row.get("dialogue")).casefold() or row.where
