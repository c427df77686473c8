"""The MER2025 family: MER-Caption+ (machine labels), OV-MERD (human labels), and the challenge's own tracks.

One download holds them all: tables by track, one table of subtitles, one folder of clips.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion, text_fields, transcripts_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError, listed, plain

EMOTIONS = ("neutral", "anger", "happiness", "sadness", "worried", "surprise")
_SUBTITLES = "subtitle_chieng.csv"


def read_caption_plus(folder: Folder) -> Iterator[Line]:
    """`track2_train_mercaptionplus.csv` (labels) and `track3_…` (descriptions), joined by name."""
    yield from _both_tracks(folder, "mercaptionplus", "train")


def read_ov_merd(folder: Folder) -> Iterator[Line]:
    """OV-MERD+ as prepared for evaluation (`ovlabel.csv`), or the part of OV-MERD used in training."""
    if path := folder.file("ovlabel.csv"):
        folder.layout = "processed"
        words = transcripts_of(folder, "subtitle_eng.csv", _SUBTITLES)
        rows = folder.rows(path, ("name", "openset"))
        yield from folder.each(rows, partial(_open, folder, words, {}, "test"))
        return
    folder.need("track2_train_ovmerd.csv", "ovlabel.csv")
    folder.assume(
        "track2_train_ovmerd.csv is both trained and evaluated on by the official code: split is train"
    )
    yield from _both_tracks(folder, "ovmerd", "train")


def _both_tracks(folder: Folder, which: str, split: str) -> Iterator[Line]:
    folder.layout = "original"
    labels = folder.need(f"track2_train_{which}.csv")
    words = transcripts_of(folder, _SUBTITLES)
    reasons: dict[str, Row] = {}
    if path := folder.file(f"track3_train_{which}.csv"):
        reasons = _by_name(folder, folder.rows(path, ("name", "reason")))
    else:
        folder.assume(f"there is no track3_train_{which}.csv: the lines have labels and no descriptions")
    seen: set[str] = set()

    def line(row: Row) -> dict[str, Any]:
        seen.add(row["name"])
        return _open(folder, words, reasons, split, row)

    yield from folder.each(folder.rows(labels, ("name", "openset")), line)
    rest = [
        Row({"name": name, "openset": ""}, row.where) for name, row in reasons.items() if name not in seen
    ]
    if rest:
        folder.assume(
            f"{len(rest)} clips are described but have no labels: their lines hold the description alone"
        )
    yield from folder.each(rest, partial(_open, folder, words, reasons, split, bare=True))


def _open(
    folder: Folder, words: dict[str, Row], reasons: dict[str, Row], split: str, row: Row, bare: bool = False
) -> dict[str, Any]:
    """A line with open labels, and the description where there is one."""
    name = row["name"]
    found = listed(row.get("openset"))
    if not found and not bare:
        folder.assume("empty lists of labels count as neutral, as in the official code")
        found = ["neutral"]
    labels: dict[str, Any] = {"open_vocabulary": {"labels": found}} if found else {}
    if name in reasons:
        labels["reasoning"] = {"text": plain(reasons[name]["reason"])}
    transcript = text_fields(words.get(name))
    return {
        "id": name,
        **folder.media(name, text=transcript.get("text", "")),
        **transcript,
        "split": split,
        "labels": labels,
    }


def read_tracks(folder: Folder) -> Iterator[Line]:
    """`track1_train_disdim.csv` (emotion, valence), `track2_test.csv` and `mer2025-ov.csv` (open labels)."""
    folder.layout = "original"
    words = transcripts_of(folder, _SUBTITLES)
    first = folder.file("track1_train_disdim.csv")
    second = folder.file("mer2025-ov.csv", "track2_test.csv")
    if not (first or second):
        folder.need("track1_train_disdim.csv", "track2_test.csv", "mer2025-ov.csv")
    if first:
        rows = folder.rows(first, ("name", "discrete", "valence"))
        yield from folder.each(rows, partial(_judged, folder, words))
    if second:
        yield from folder.each(_answered(folder, second), partial(_open, folder, words, {}, "test"))


def _answered(folder: Folder, path: Path) -> Iterator[Row]:
    """The rows of a test list; one without answers is no example of anything."""
    for row in folder.rows(path, ("name",)):
        if "openset" not in row and not row.fault:
            folder.assume(f"{path.name} holds names without answers: it was left out")
            return
        yield row


def _judged(folder: Folder, words: dict[str, Row], row: Row) -> dict[str, Any]:
    transcript = text_fields(words.get(row["name"]))
    return {
        "id": row["name"],
        **folder.media(row["name"], text=transcript.get("text", "")),
        **transcript,
        "split": "train",
        "labels": {
            "emotion": emotion(row["discrete"], EMOTIONS),
            "sentiment": {"valence": row.number("valence")},
        },
    }


def _by_name(folder: Folder, rows: Iterable[Row]) -> dict[str, Row]:
    known: dict[str, Row] = {}
    for row in rows:
        try:
            if row.fault:
                raise RowError(row.fault)
            if row["name"] in known:
                raise RowError(f"{row['name']} is also in {known[row['name']].where}")
            row["reason"]
            known[row["name"]] = row
        except RowError as error:
            folder.skip(row.where, str(error))
    return known


_SHARED: dict[str, Any] = {
    "language": "zh",
    "licence": "CC BY-NC 4.0 under the challenge's EULA, research only",
    "where": "huggingface.co/datasets/MERChallenge/MER2025 (gated)",
    "tables": "gb18030",
}
MER_CAPTION_PLUS = Corpus(
    name="mer_caption_plus",
    title="MER-Caption+",
    tasks=("open_vocabulary", "reasoning"),
    size="31,327 clips with machine-made labels and descriptions",
    read=read_caption_plus,
    counts={"original": {"train": 31327}},
    **_SHARED,
)
OV_MERD = Corpus(
    name="ov_merd",
    title="OV-MERD and OV-MERD+",
    tasks=("open_vocabulary", "reasoning"),
    size="332 clips; OV-MERD+ 532",
    read=read_ov_merd,
    counts={"original": {"train": 332}, "processed": {"test": 532}},
    **_SHARED,
)
MER2025 = Corpus(
    name="mer2025",
    title="MER2025, tracks 1 and 2",
    tasks=("emotion", "sentiment", "open_vocabulary"),
    size="7,369 labelled clips; 1,200 to be tested on",
    read=read_tracks,
    counts={"original": {"train": 7369, "test": 1200}},
    **_SHARED,
)
