"""What every reader shares: a card of the corpus, and its labels in one spelling."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError, plain
from nanoemox.metrics.label_names import candidate_of

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test"}


@dataclass(frozen=True)
class Corpus:
    """A public corpus: what it is, where to ask for it, and the function that reads it.

    read: walks a folder and yields lines; raises CorpusError where the folder is not this corpus.
    counts: layout -> split -> lines as published; the report compares.
    open: anyone can download it without signing anything.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    language: str  # BCP-47, of what is spoken
    size: str
    licence: str
    where: str
    read: Callable[[Folder], Iterator[Line]]
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    open: bool = False
    tables: str = "cp1252"  # encoding of its tables where they are not UTF-8


def emotion_of(raw: str, allowed: Sequence[str] = EMOTIONS) -> str:
    """One spelling for an emotion; a label that the corpus does not have is an error of the row."""
    label = candidate_of(raw, allowed)
    if label is None:
        raise RowError(f"unknown emotion {raw!r} (expected {', '.join(allowed)})")
    return label


def emotion(
    raw: str, allowed: Sequence[str] = EMOTIONS, votes: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """The label `emotion` of a manifest line; candidates are listed if they are not the usual seven emotions.

    Args:
        raw: the label as the corpus spells it.
        allowed: the labels that the corpus has.
        votes: label -> how many raters chose it, where the corpus says so.

    Returns:
        The object for `labels.emotion`.
    """
    known: dict[str, Any] = {"label": emotion_of(raw, allowed)}
    if tuple(allowed) != EMOTIONS:
        known["candidates"] = list(allowed)
    if votes and any(votes.values()):
        known["votes"] = {name: count for name, count in votes.items() if count}
    return known


def one_of(raw: str, allowed: Sequence[str], what: str) -> str:
    """The spelling of a value among those allowed; upper and lower case do not matter.

    Args:
        raw: the value as the corpus spells it.
        allowed: the values that may occur.
        what: what kind of value it is, for the error.

    Returns:
        The allowed value that `raw` stands for.

    Raises:
        RowError: if it stands for none.
    """
    for label in allowed:
        if label.casefold() == raw.strip().casefold():
            return label
    raise RowError(f"unknown {what} {raw!r}")


def split_of(raw: str) -> str:
    """train, val or test, by any of its names."""
    name = _SPLITS.get(raw.strip().lower())
    if name is None:
        raise RowError(f"unknown split {raw!r} (expected train, val or test)")
    return name


def preparation(folder: Folder, process: str, archive: str) -> Path | None:
    """The label archive of the official preparation; other files may lie beside it.

    Args:
        folder: the folder of the corpus.
        process: the name of the preparation's folder.
        archive: the name of the label archive.

    Returns:
        Its path, or None if there is no such preparation.
    """
    folder.narrow(process)
    path = folder.file(archive)
    other = path is not None and path.parent.name.endswith("-process") and path.parent.name != process
    return None if other else path


def transcripts_of(folder: Folder, *names: str, encoding: str = "gb18030") -> dict[str, Row]:
    """name -> row of `chinese` and `english`, from a table of transcripts; empty without one."""
    path = folder.file(*names)
    if path is None:
        folder.assume(f"there is no {' or '.join(names)}: the lines have no words")
        return {}
    known: dict[str, Row] = {}
    for row in folder.rows(path, ("name",), fallback=encoding):
        if row.fault or not row.get("name"):
            folder.skip(row.where, row.fault or "name is empty")
        else:
            known[row.get("name")] = row
    return known


def text_fields(row: Row | None, prefer: str = "english") -> dict[str, Any]:
    """`text` and `language` from a row of transcripts; the other language goes to `extra`."""
    if row is None:
        return {}
    words = {"english": plain(row.get("english")), "chinese": plain(row.get("chinese"))}
    other = "chinese" if prefer == "english" else "english"
    chosen = prefer if words[prefer] else other
    if not words[chosen]:
        return {}
    line: dict[str, Any] = {"text": words[chosen], "language": {"english": "en", "chinese": "zh"}[chosen]}
    if chosen == prefer and words[other]:
        line["extra"] = {f"text_{'zh' if other == 'chinese' else 'en'}": words[other]}
    return line
