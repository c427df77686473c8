"""MER2025: the challenge's own tracks, emotion with valence (1) and open labels (2)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion, text_fields, transcripts_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import mer
from nanoemox.corpora.tables import Row


def read(folder: Folder) -> Iterator[Line]:
    """`track1_train_disdim.csv` (emotion, valence), `track2_test.csv` and `mer2025-ov.csv` (open labels)."""
    folder.layout = "original"
    words = transcripts_of(folder, mer.SUBTITLES)
    first = folder.file("track1_train_disdim.csv")
    second = folder.file("mer2025-ov.csv", "track2_test.csv")
    if not (first or second):
        folder.need("track1_train_disdim.csv", "track2_test.csv", "mer2025-ov.csv")
    if first:
        rows = folder.rows(first, ("name", "discrete", "valence"))
        yield from folder.each(rows, partial(_line, folder, words))
    if second:
        yield from folder.each(_answered(folder, second), partial(mer.open_line, folder, words, {}, "test"))


def _answered(folder: Folder, path: Path) -> Iterator[Row]:
    """The rows of a test list; one without answers is no example of anything."""
    for row in folder.rows(path, ("name",)):
        if "openset" not in row and not row.fault:
            folder.assume(f"{path.name} holds names without answers: it was left out")
            return
        yield row


def _line(folder: Folder, words: dict[str, Row], row: Row) -> dict[str, Any]:
    transcript = text_fields(words.get(row["name"]))
    return {
        "id": row["name"],
        **folder.media(row["name"], text=transcript.get("text", "")),
        **transcript,
        "split": "train",
        "labels": {
            "emotion": emotion(row["discrete"], mer.EMOTIONS),
            "sentiment": {"valence": row.number("valence")},
        },
    }


CORPUS = Corpus(
    name="mer2025",
    title="MER2025, tracks 1 and 2",
    tasks=("emotion", "sentiment", "open_vocabulary"),
    size="7,369 labelled clips; 1,200 to be tested on",
    read=read,
    counts={"original": {"train": 7369, "test": 1200}},
    **mer.FAMILY,
)
