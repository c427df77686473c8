"""What CMU-MOSI and CMU-MOSEI share: opinions on YouTube, sentiment from -3 to 3.

Labels come as MMSA's `label.csv`, as the SDK's `.csd` (HDF5), or in the published preparation. Clips are cut
(MMSA, MOSI) or whole videos that each line cuts for itself (MOSEI).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from nanoemox.corpora.archives import label_rows
from nanoemox.corpora.corpus import preparation, split_of, transcripts_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared.scores import prepared, scored
from nanoemox.corpora.tables import CorpusError, Row, document, plain, text_of

_RANGE = (-3.0, 3.0)
_SAME_START_S = 0.1
_TIMED = re.compile(r"(?P<video>.+?)___(?P<n>\d+)___(?P<start>[\d.]+)___[\d.]+___(?P<words>.*)$")
_NUMBERED = re.compile(r"\s*(?P<n>\d+)_DELIM_(?P<words>.*)$")
_LABELS = {"mosi": "CMU_MOSI_Opinion_Labels.csd", "mosei": "CMU_MOSEI_Labels.csd"}


def read(folder: Folder, which: str) -> Iterator[Line]:
    """All layouts of the corpus `which`: mosi or mosei."""
    if path := preparation(folder, f"cmu{which}-process", "label.npz"):
        folder.layout = "processed"
        words = transcripts_of(folder, "transcription-engchi-polish.csv")
        for split, row in label_rows(path):
            yield from folder.each([row], partial(prepared, folder, words, split, _RANGE), split_of(split))
    elif path := folder.file(f"{which}/label.csv", "label.csv"):
        folder.layout = "original"
        rows = folder.rows(path, ("video_id", "clip_id", "text", "label", "mode"))
        yield from folder.each(rows, partial(_mmsa, folder))
    else:
        folder.layout = "sdk"
        path = folder.need(_LABELS[which], "label.csv", "label.npz")
        yield from _sdk(folder, path, which)


def _mmsa(folder: Folder, row: Row) -> dict[str, Any]:
    video, clip, text = row["video_id"], row["clip_id"], plain(row["text"])
    extra = {key[-1:]: row.number(key) for key in ("label_t", "label_a", "label_v") if row.get(key)}
    return {
        "id": f"{video}_{clip}",
        **folder.media(f"{video}/{clip}", f"{video}_{clip}", text=text),
        "text": text,
        "speaker": video,
        "split": split_of(row["mode"]),
        "labels": {"sentiment": scored(row.number("label"), _RANGE)},
        **({"extra": {"unimodal": extra}} if extra else {}),
    }


# ---------------------------------------------------------------- the SDK's own files


def _sdk(folder: Folder, path: Path, which: str) -> Iterator[Line]:
    """One line a segment: score by its interval, words from the transcripts, media whole or cut."""
    folds, spoken = _folds(folder), _transcripts(folder)

    def line(row: Row) -> dict[str, Any]:
        video, start, end = row["video"], row.number("start"), row.number("end")
        number, text = _spoken(spoken.get(video, []), int(row.number("number")), start)
        name = f"{video}_{number}"
        score = scored(row.number("score"), _RANGE)
        if folder.video(name) or folder.sound(name) or not folder.has_media:
            media: dict[str, Any] = folder.media(name, text=text)
        else:
            media = {**folder.media(video, text=text), "start_s": start, "end_s": end}
        return {
            "id": name,
            **media,
            **({"text": text} if text else {}),
            "speaker": video,
            **({"split": folds[video]} if video in folds else {}),
            "labels": {"sentiment": score},
        }

    yield from folder.each(_segments(path, which), line)


def _segments(path: Path, which: str) -> Iterator[Row]:
    """The segments of a label file in its order; MOSI numbers its clips from 1, MOSEI from 0."""
    try:
        h5py = import_module("h5py")
    except ImportError as error:
        raise CorpusError(
            f"{path}: reading .csd needs h5py (pip install h5py), or use MMSA's label.csv"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            data = file[next(iter(file))]["data"]
            for video in data:
                scores, intervals = data[video]["features"][()], data[video]["intervals"][()]
                for i, (score, (start, end)) in enumerate(zip(scores, intervals, strict=True)):
                    times = {"start": float(start), "end": float(end), "score": float(score[0])}
                    number = i + (which == "mosi")
                    yield Row({"video": video, "number": number, **times}, f"{path.name}[{video}][{i}]")
    except (OSError, KeyError, ValueError, StopIteration) as error:
        raise CorpusError(f"{path}: is not a label file of the SDK ({error}); download it again") from error


def _spoken(segments: list[tuple[int, float | None, str]], number: int, start_s: float) -> tuple[int, str]:
    """The number and words of the segment that begins at `start_s`, or else has this number."""
    timed = [(abs(at - start_s), n, text) for n, at, text in segments if at is not None]
    if timed:
        apart_s, n, text = min(timed)
        return (n, text) if apart_s < _SAME_START_S else (number, "")
    return number, next((text for n, _, text in segments if n == number), "")


def _folds(folder: Folder) -> dict[str, str]:
    """Video -> split. The official folds are code of the SDK, not data; `folds.json` may hold them."""
    path = folder.file("folds.json")
    if path is None:
        folder.assume(
            "the official folds are code of the SDK, not data: without folds.json no line has a split"
        )
        return {}
    folds = document(path).value
    if not isinstance(folds, dict):
        raise CorpusError(f"{path}: expected {{train: [videos], val: […], test: […]}}")
    return {video: split_of(split) for split, videos in folds.items() for video in videos}


def _transcripts(folder: Folder) -> dict[str, list[tuple[int, float | None, str]]]:
    """Video -> (number, start in seconds, words) of its segments.

    MOSI: `n_DELIM_words` in a file of the video's name; MOSEI: `video___n___start___end___words`.
    """
    known: dict[str, list[tuple[int, float | None, str]]] = {}
    for name, paths in folder.files.items():
        if not name.endswith((".annotprocessed", ".txt")) or "segmented" not in str(paths[0]).lower():
            continue
        for number, line in enumerate(text_of(paths[0], assume=folder.assume).splitlines(), 1):
            match = _TIMED.match(line) or _NUMBERED.match(line)
            if match:
                parts = match.groupdict()
                start = float(parts["start"]) if parts.get("start") else None
                video = parts.get("video") or paths[0].stem
                known.setdefault(video, []).append((int(parts["n"]), start, plain(parts["words"])))
            elif line.strip():
                folder.skip(f"{paths[0].name}:{number}", f"expected a number and words, got {line[:60]!r}")
    return known


# What both cards share.
CARD: dict[str, Any] = {
    "tasks": ("sentiment",),
    "language": "en",
    "where": "github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK; cut, with label.csv: github.com/thuiar/MMSA",
}
