"""MER2023 and MER2024 (Lian et al.): Chinese film and TV, six emotions and a valence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from nanoemox.corpora.archives import label_rows
from nanoemox.corpora.corpus import Corpus, emotion, preparation, text_fields, transcripts_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.mer2025 import EMOTIONS
from nanoemox.corpora.tables import Row

_NOTHING = -10.0  # valence of a clip that has none
_SPLITS = {"train": "train", "test1": "test"}  # what the official code trains and evaluates on
_TABLES23 = {
    "train": ("train-label.csv",),
    "test1": ("test1-label.csv", "test-multi-label.csv"),
    "test2": ("test2-label.csv", "test-noise-label.csv"),
    "test3": ("test3-label.csv", "test-semi-label.csv"),
}
_TABLES24 = {
    "train": ("label-disdim.csv",),
    "test1": ("reference-semi.csv", "semi-label.csv"),
    "test2": ("reference-noise.csv", "noise-label.csv"),
}


def read23(folder: Folder) -> Iterator[Line]:
    """`train-label.csv`, `test1-label.csv`, …, or the published preparation with English subtitles."""
    yield from _read(
        folder, "mer2023-dataset-process", "english", ("transcription-engchi-polish.csv",), _TABLES23
    )


def read24(folder: Folder) -> Iterator[Line]:
    """`label-disdim.csv`, `reference-semi.csv`, …, or the published preparation with Chinese subtitles."""
    names = ("transcription_merge.csv", "transcription-engchi-polish.csv", "label-transcription.csv")
    yield from _read(folder, "mer2024-dataset-process", "chinese", names, _TABLES24)


def _read(
    folder: Folder,
    process: str,
    prefer: str,
    transcripts: tuple[str, ...],
    tables: Mapping[str, tuple[str, ...]],
) -> Iterator[Line]:
    archive = preparation(folder, process, "label-6way.npz")
    found = {part: path for part, names in tables.items() if (path := folder.file(*names))}
    if not archive and not found:
        folder.need("label-6way.npz", *(name for names in tables.values() for name in names))
    words = transcripts_of(folder, *transcripts)
    folder.assume("the range of valence is not published with the labels: none is stated")
    if archive:
        folder.layout = "processed"
        for part, row in label_rows(archive):
            yield from folder.each([row], partial(_line, folder, words, prefer, part, "emo", "val"))
        return
    folder.layout = "original"
    for part, path in found.items():
        rows = folder.rows(path, ("name", "discrete"))
        yield from folder.each(rows, partial(_line, folder, words, prefer, part, "discrete", "valence"))


def _line(
    folder: Folder, words: dict[str, Row], prefer: str, part: str, label: str, valence: str, row: Row
) -> dict[str, Any]:
    name = row["name"]
    transcript = text_fields(words.get(name), prefer)
    if part not in _SPLITS:
        folder.assume(
            f"{part} is another track of the challenge: its lines have no split, extra.part tells them"
        )
    labels: dict[str, Any] = {"emotion": emotion(row[label], EMOTIONS)}
    if row.get(valence) and (value := row.number(valence)) != _NOTHING:
        labels["sentiment"] = {"valence": value}
    return {
        "id": name,
        **folder.media(name, text=transcript.get("text", "")),
        **transcript,
        **({"split": _SPLITS[part]} if part in _SPLITS else {}),
        "labels": labels,
        "extra": {**transcript.get("extra", {}), "part": part},
    }


_SHARED: dict[str, Any] = {
    "tasks": ("emotion", "sentiment"),
    "language": "zh",
    "licence": "EULA: academic research only, not to be handed on",
    "tables": "gb18030",
}
MER2023 = Corpus(
    name="mer2023",
    title="MER2023",
    size="5,030 labelled clips",
    where="merchallenge.cn (EULA by e-mail)",
    read=read23,
    counts={"processed": {"train": 3373, "test": 411, "none": 412 + 834}},
    **_SHARED,
)
MER2024 = Corpus(
    name="mer2024",
    title="MER2024",
    size="7,369 labelled clips",
    where="zeroqiaoba.github.io/MER2024-website (EULA by e-mail)",
    read=read24,
    counts={"processed": {"train": 5030, "test": 1169, "none": 1170}},
    **_SHARED,
)
