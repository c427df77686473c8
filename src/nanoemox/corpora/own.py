"""Your own clips: a folder and a table (CSV, TSV, XLSX or JSONL) become a manifest; no class has to be written.

Columns have the names of COLUMNS, or are named on the command line; all are optional but some medium or words. What
`file` names is a video, a sound, a picture or a folder of pictures, by its ending; a name without an ending is
looked for anywhere below the table's folder. A column that nobody knows is kept under `extra`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion_of, one_of, split_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import CorpusError, Row, RowError, listed, plain, text_of
from nanoemox.files.json_text import JsonError, read_json
from nanoemox.media.container import inspect
from nanoemox.media.endings import AUDIO_ENDINGS, MEDIA_ENDINGS, PICTURE_ENDINGS, VIDEO_ENDINGS
from nanoemox.media.untrusted import MediaError
from nanoemox.tasks.closed import EMOTION, INTENT, ClosedTask
from nanoemox.tasks.task import TASKS

MEDIA_COLUMNS = ("file", "video", "audio", "image", "frames_dir")
COLUMNS = (
    *("id", *MEDIA_COLUMNS, "text", "language", "start_s", "end_s", "speaker", "person_box", "split"),
    *("dialogue", "emotion", "polarity", "valence", "emotions", "intent", "reason", "reply"),
)
EARLIER_TURNS = 3  # of a dialogue, that a line is given
TEST_SHARE = 5  # one speaker in five is for the test where the table names no splits
_POLARITIES = ("positive", "neutral", "negative")


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
    found = [row for row in _rows(table, folder) if row.fault or _chosen(row, table.where)]
    rows = [row for row in found if not row.fault]
    if not rows:
        raise CorpusError(f"{table.path}: no row is left to read; check the table and --where")
    if not {*MEDIA_COLUMNS, "text"} & rows[0].values.keys():
        raise CorpusError(
            f"{table.path}: expected a column {', '.join((*MEDIA_COLUMNS, 'text'))}, there are only "
            f"{', '.join(rows[0].values)[:200]}; name one with --column file=COLUMN"
        )
    candidates = {task.name: _candidates(task, rows) for task in _SPELLINGS}
    histories = _histories(rows)
    tested = _dealt(rows, folder)
    known = {*COLUMNS, *(theirs.lower() for theirs in table.columns.values())}
    yield from folder.each(
        found, partial(_line, folder, known, candidates, histories, tested), partial(_split, tested)
    )


def _rows(table: Table, folder: Folder) -> Iterator[Row]:
    """The table's rows with our names added to its own."""
    jsonl = table.path.suffix.lower() in (".jsonl", ".ndjson")
    for row in _json_lines(table.path) if jsonl else folder.rows(table.path):
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
    return all((row.get(column) == value) == equal for column, equal, value in where)


def _candidates(task: ClosedTask[Any], rows: Iterable[Row]) -> list[str] | None:
    """The labels that the table knows, where they are not all among the usual ones."""
    usual = {label.casefold() for label in task.defaults}
    spelling = _SPELLINGS[task]
    labels = sorted({spelling(row.get(task.name)) for row in rows if row.get(task.name)})
    return None if all(label.casefold() in usual for label in labels) else labels


def _emotion(raw: str) -> str:
    """One spelling of an emotion; a usual one where it is meant (angry is anger)."""
    try:
        return emotion_of(raw)
    except RowError:
        return raw.lower()


def _intent(raw: str) -> str:
    """One spelling of an intent; a usual one where only letters' case differs."""
    try:
        return one_of(raw, INTENT.defaults, INTENT.name)
    except RowError:
        return raw


_SPELLINGS: dict[ClosedTask[Any], Callable[[str], str]] = {EMOTION: _emotion, INTENT: _intent}


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
    candidates: Mapping[str, list[str] | None],
    histories: Mapping[str, list[dict[str, str]]],
    tested: set[str] | None,
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
    line["split"] = split_of(row["split"]) if tested is None else _split(tested, row)
    line["labels"] = _labels(row, candidates)
    extra = {k: value for k, value in row.values.items() if k not in known and value not in ("", None)}
    return {**line, **({"extra": extra} if extra else {})}


def _split(tested: set[str] | None, row: Row) -> str | None:
    """The split of a row: as the table names it (None where that is no split), or by who speaks."""
    if tested is not None:
        return "test" if _who(row) in tested else "train"
    try:
        return split_of(row.get("split"))
    except RowError:
        return None


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


def _dealt(rows: Sequence[Row], folder: Folder) -> set[str] | None:
    """Who is for the test: every fifth speaker (or row), by an order of names; None where the table says it."""
    if any(row.get("split") for row in rows):
        return None
    whom = "speaker" if any(row.get("speaker") for row in rows) else "row"
    names = sorted({_who(row) for row in rows}, key=lambda name: sha256(name.encode()).digest())
    folder.assume(f"no split is named: one {whom} in {TEST_SHARE} is test, chosen by name, the others train")
    return set(names[TEST_SHARE - 1 :: TEST_SHARE])


def _who(row: Row) -> str:
    return row.get("speaker") or row.get("dialogue") or row.where


def _labels(row: Row, candidates: Mapping[str, list[str] | None]) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    for task, spelling in _SPELLINGS.items():
        known = candidates[task.name]
        if raw := row.get(task.name):
            labels[task.name] = {"label": spelling(raw), **({"candidates": known} if known else {})}
    sentiment: dict[str, Any] = {}
    if row.get("polarity"):
        sentiment["polarity"] = one_of(row.get("polarity"), _POLARITIES, "polarity")
    if row.get("valence"):
        sentiment["valence"] = row.number("valence")
    if sentiment:
        labels["sentiment"] = sentiment
    if words := listed(row.get("emotions").replace(";", ",")):
        labels["open_vocabulary"] = {"labels": words}
    if row.get("reason"):
        labels["reasoning"] = {"text": plain(row.get("reason"))}
    if row.get("reply"):
        labels["empathy"] = {"reply": plain(row.get("reply"))}
    return labels
