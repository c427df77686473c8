"""What CH-SIMS and CH-SIMS v2 share: sentiment from -1 to 1, also per modality.

Clip numbers are padded with zeros on disk and often lose them in tables; both forms are tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from nanoemox.corpora.archives import label_rows
from nanoemox.corpora.corpus import preparation, split_of, transcripts_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared.scores import prepared, scored
from nanoemox.corpora.tables import Row, RowError, plain

_RANGE = (-1.0, 1.0)


def read(folder: Folder, process: str, *tables: str) -> Iterator[Line]:
    """All layouts of CH-SIMS, of the first or the second version.

    Args:
        folder: the folder of the corpus.
        process: the name of the preparation's folder.
        *tables: names that the one table of MMSA or the official code may have.

    Yields:
        The lines of the manifest.
    """
    if path := preparation(folder, process, "label.npz"):
        folder.layout = "processed"
        transcripts = transcripts_of(folder, "transcription-engchi-polish.csv")
        for split, row in label_rows(path):
            yield from folder.each(
                [row], partial(prepared, folder, transcripts, split, _RANGE), split_of(split)
            )
        return
    folder.layout = "original"
    if path := folder.file(*tables):
        rows = folder.rows(path, ("video_id", "clip_id", "text", "label", "mode"))
        yield from folder.each(rows, partial(_mmsa, folder))
        return
    path = folder.need("label_M.csv", *tables, "label.npz")
    splits = _splits(folder)
    words = _keyed(folder, "Translation.csv")
    others = {key: _keyed(folder, f"label_{key}.csv") for key in "TAV"}
    clips = folder.rows(path, ("video_id", "clip_id", "label"))
    yield from folder.each(clips, partial(_metadata, folder, splits, words, others))


def _mmsa(folder: Folder, row: Row) -> dict[str, Any]:
    single = {key: row.number(f"label_{key}") for key in "tav" if row.get(f"label_{key}")}
    return _line(folder, row, plain(row["text"]), split_of(row["mode"]), single)


def _metadata(
    folder: Folder,
    splits: dict[tuple[str, str], str],
    words: dict[tuple[str, str], Row],
    others: dict[str, dict[tuple[str, str], Row]],
    row: Row,
) -> dict[str, Any]:
    key = _key(row)
    text = plain(words[key].get("chinese")) if key in words else ""
    single = {name.lower(): rows[key].number("label") for name, rows in others.items() if key in rows}
    if key not in splits:
        folder.assume("clips that are in no *_index.csv have no split")
    line = _line(folder, row, text, splits.get(key), single)
    if key in words and (english := plain(words[key].get("english"))):
        line["extra"]["text_en"] = english
    return line


def _line(folder: Folder, row: Row, text: str, split: str | None, single: dict[str, float]) -> dict[str, Any]:
    video, clip = row["video_id"], row["clip_id"]
    clips = list(dict.fromkeys((clip, clip.zfill(4), clip.zfill(5))))
    names = [f"{video}/{c}" for c in clips] + [f"{video}_{c}" for c in clips]
    return {
        "id": f"{video}_{clip.zfill(4)}",
        **folder.media(*names, text=text),
        **({"text": text} if text else {}),
        **({"split": split} if split else {}),
        "labels": {"sentiment": scored(row.number("label"), _RANGE)},
        "extra": {"unimodal": single, "video": video},
    }


def _key(row: Row) -> tuple[str, str]:
    """Video and clip, whatever zeros are left."""
    return row["video_id"], row["clip_id"].lstrip("0") or "0"


def _keyed(folder: Folder, name: str) -> dict[tuple[str, str], Row]:
    path = folder.file(name)
    if path is None:
        folder.assume(f"there is no {name}: what it says is missing from the lines")
        return {}
    known = {}
    for row in folder.rows(path, ("video_id", "clip_id")):
        try:
            if row.fault:
                raise RowError(row.fault)
            known[_key(row)] = row
        except RowError as error:
            folder.skip(row.where, str(error))
    return known


def _splits(folder: Folder) -> dict[tuple[str, str], str]:
    return {key: split for split in ("train", "val", "test") for key in _keyed(folder, f"{split}_index.csv")}


# What both cards share.
CARD: dict[str, Any] = {
    "tasks": ("sentiment",),
    "language": "zh",
    "licence": "academic research; clips from films and TV",
    "tables": "gb18030",
}
