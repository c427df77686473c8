"""RAVDESS (Livingstone & Russo 2018): 24 actors, two sentences, eight emotions. No official split.

A name is seven numbers: modality (01 picture and sound, 02 picture, 03 sound), channel (01 speech, 02 song),
emotion, strength, sentence, repetition, actor. The three modalities of a performance are one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError

_EMOTIONS = ("neutral", "neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised")  # 02 is calm
_SENTENCES = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
_NAME = re.compile(r"(0[123])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)$")
_SPLITS = {**dict.fromkeys(range(17, 21), "val"), **dict.fromkeys(range(21, 25), "test")}


def read(folder: Folder) -> Iterator[Line]:
    """`Actor_01/03-01-06-01-02-01-12.wav` and the video files, in whatever archives they came."""
    folder.layout = "original"
    folder.assume("no official split exists: actors 1 to 16 are train, 17 to 20 val, 21 to 24 test")
    folder.assume("calm counts as neutral")
    names = {match.group()[3:] for stem in (*folder.videos, *folder.sounds) if (match := _NAME.match(stem))}
    if not names:
        folder.need("Actor_01/03-01-01-01-01-01-01.wav", "Actor_01/01-01-01-01-01-01-01.mp4")
    yield from folder.each((Row({}, name) for name in sorted(names)), partial(_line, folder))


def _line(folder: Folder, row: Row) -> dict[str, Any] | None:
    channel, feeling, strength, sentence, repetition, actor = row.where.split("-")
    if channel == "02":
        folder.assume("songs were left out")
        return None
    number = int(actor)
    if not 1 <= number <= 24:
        raise RowError(f"actor {actor} is unknown (expected 01 to 24)")
    both, silent, sound = (f"{modality}-{row.where}" for modality in ("01", "02", "03"))
    media = {}
    if video := folder.video(both) or folder.video(silent):
        media["video"] = video
    if (audio := folder.sound(sound)) and (video is None or video.stem.startswith("02")):
        media["audio"] = audio
    return {
        "id": row.where,
        **media,
        "text": _SENTENCES[sentence],
        "speaker": f"ravdess_{actor}",
        "split": _SPLITS.get(number, "train"),
        "labels": {"emotion": emotion(_EMOTIONS[int(feeling) - 1])},
        "extra": {"calm": feeling == "02", "strong": strength == "02", "repetition": int(repetition)},
    }


CORPUS = Corpus(
    name="ravdess",
    title="RAVDESS (speech)",
    tasks=("emotion",),
    language="en",
    size="1,440 performances of 24 actors",
    licence="CC BY-NC-SA 4.0",
    where="zenodo.org/records/1188976",
    read=read,
    counts={"original": {"train": 960, "val": 240, "test": 240}},
    open=True,
)
