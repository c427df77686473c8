"""MER2026: emotions of speakers (track 1), open labels that people gave (2), preferred descriptions (3).

Track 1 asks for the emotion of the interlocutor, but its training set is labelled for the speaker, and no labels of the
candidates are published. Of a pair of descriptions the preferred one becomes the reasons of the clip, and both stand
in `extra`. Columns: the challenge's own code (zeroQiaoba/MERTools, MER2026).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion, text_fields, transcripts_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared import mer
from nanoemox.corpora.tables import Row, RowError, plain

_PAIRS = ("track3_emoprefer.csv", "track3_emopreferv2.csv")
_CANDIDATES = ("track1_track2_candidate.csv", "track3_candidate.csv")


def read(folder: Folder) -> Iterator[Line]:
    """`track1_train.csv`, `track2_train_human.csv`, and the two tables of preferred descriptions."""
    folder.layout = "original"
    words = transcripts_of(folder, mer.SUBTITLES)
    speakers = folder.file("track1_train.csv")
    opened = folder.file("track2_train_human.csv")
    pairs = {name: path for name in _PAIRS if (path := folder.file(name))}
    if not (speakers or opened or pairs):
        folder.need("track1_train.csv", "track2_train_human.csv", *_PAIRS)
    for name in _CANDIDATES:
        if folder.file(name):
            folder.assume(f"{name} holds clips without published answers: it was left out")
    if speakers:
        folder.assume("track 1 asks for the interlocutor, its training set is labelled for the speaker")
        rows = folder.rows(speakers, ("name", "discrete"))
        yield from folder.each(rows, partial(_speaker, folder, words))
    if opened:
        rows = folder.rows(opened, ("name", "openset"))
        yield from folder.each(rows, partial(_opened, folder, words))
    for name, path in pairs.items():
        rows = folder.rows(path, ("name", "a1", "a2", "preference"))
        yield from folder.each(rows, partial(_preferred, folder, words, name.removesuffix(".csv")))


def _clip(folder: Folder, words: dict[str, Row], row: Row) -> dict[str, Any]:
    transcript = text_fields(words.get(row["name"]), "chinese")
    return {
        "id": row["name"],
        **folder.media(row["name"], text=transcript.get("text", "")),
        **transcript,
        "split": "train",
    }


def _speaker(folder: Folder, words: dict[str, Row], row: Row) -> dict[str, Any]:
    labels = {"emotion": emotion(row["discrete"], mer.EMOTIONS)}
    return {**_clip(folder, words, row), "id": f"track1_{row['name']}", "labels": labels}


def _opened(folder: Folder, words: dict[str, Row], row: Row) -> dict[str, Any]:
    line = mer.open_line(folder, words, {}, "train", row)
    return {**line, "id": f"track2_{row['name']}"}


def _preferred(folder: Folder, words: dict[str, Row], table: str, row: Row) -> dict[str, Any]:
    """One pair of descriptions; a clip may have several, so the id carries the row."""
    said = row["preference"].strip().lower()
    if said not in ("a1", "a2"):
        raise RowError(f"no description is preferred ({said!r}; expected a1 or a2)")
    line = _clip(folder, words, row)
    pair = {name: plain(row[name]) for name in ("a1", "a2")}
    return {
        **line,
        "id": f"{table}_{row['name']}_{row.where.rpartition(':')[2]}",
        "labels": {"reasoning": {"text": pair[said]}},
        "extra": {**line.get("extra", {}), **pair, "preferred": said},
    }


CORPUS = Corpus(
    name="mer2026",
    title="MER2026, tracks 1 to 3",
    tasks=("emotion", "open_vocabulary", "reasoning"),
    size="9,395 clips with an emotion, 1,532 with open labels, 2,670 pairs of descriptions",
    read=read,
    counts={"original": {"train": 9395 + 1532 + 574 + 2096}},
    **{**mer.FAMILY, "where": "huggingface.co/datasets/MERChallenge/MER2026 (gated)"},
)
