"""MELD (Poria et al. 2019): utterances of the TV series Friends, seven emotions and three polarities."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from nanoemox.corpora.archives import label_rows
from nanoemox.corpora.corpus import (
    Corpus,
    emotion,
    one_of,
    preparation,
    split_of,
    text_fields,
    transcripts_of,
)
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError, plain

_ORDER = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")  # numbers of the preparation
_FOLDERS = {
    "train": ("train_splits",),
    "dev": ("dev_splits_complete",),
    "test": ("output_repeated_splits_test",),
}
_FAULTS = {
    "train_dia125_utt3": "the file is corrupt",
    "dev_dia110_utt7": "the file is missing from the official code",
    "test_dia279_utt15": "the file is faulty",
    "test_dia38_utt4": "cut wrongly: minutes long",
    "test_dia220_utt0": "cut wrongly: minutes long",
}


def read(folder: Folder) -> Iterator[Line]:
    """`{train,dev,test}_sent_emo.csv` with the clips of MELD.Raw, or the published preparation."""
    if path := preparation(folder, "meld-process", "label.npz"):
        folder.layout = "processed"
        words = transcripts_of(folder, "transcription-engchi-polish.csv")
        for split, row in label_rows(path):
            yield from folder.each([row], partial(_processed, folder, words, split), split_of(split))
        return
    folder.layout = "original"
    for split in _FOLDERS:
        if not folder.reads(split_of(split)):
            continue
        path = folder.need(f"{split}_sent_emo.csv", "label.npz")
        rows = folder.rows(
            path, ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
        )
        yield from folder.each(rows, partial(_line, folder, split))


def _line(folder: Folder, split: str, row: Row) -> dict[str, Any]:
    dialogue, turn = int(row.number("Dialogue_ID")), int(row.number("Utterance_ID"))
    stem, text = f"dia{dialogue}_utt{turn}", plain(row["Utterance"])
    name = f"{split}_{stem}"  # numbers begin anew in each split
    extra: dict[str, Any] = {"dialogue": dialogue, "turn": turn}
    try:
        media = folder.media(stem, inside=_FOLDERS[split], text=text)
    except RowError as error:
        raise RowError(f"{error} ({_FAULTS[name]}, as known)" if name in _FAULTS else str(error)) from error
    if media and name in _FAULTS:
        extra |= folder.fault(name, _FAULTS[name])
    return {
        "id": name,
        **media,
        "text": text,
        "speaker": plain(row["Speaker"]),
        "split": split_of(split),
        "labels": {
            "emotion": emotion(row["Emotion"]),
            "sentiment": {
                "polarity": one_of(row["Sentiment"], ("positive", "neutral", "negative"), "sentiment")
            },
        },
        "extra": extra,
    }


def _processed(folder: Folder, words: dict[str, Row], split: str, row: Row) -> dict[str, Any]:
    name = row["name"]
    transcript = text_fields(words.get(name))
    index = row["emo"]
    label = _ORDER[int(index)] if index.isdecimal() and int(index) < len(_ORDER) else index
    line = {
        "id": name,
        **folder.media(name, text=transcript.get("text", "")),
        **transcript,
        "split": split_of(split),
        "labels": {"emotion": emotion(label)},
    }
    key = name.replace("val_", "dev_", 1)
    if key in _FAULTS:
        line["extra"] = {**transcript.get("extra", {}), **folder.fault(name, _FAULTS[key])}
    return line


_COUNTS = {"train": 9989, "val": 1109, "test": 2610}
CORPUS = Corpus(
    name="meld",
    title="MELD",
    tasks=("emotion", "sentiment"),
    language="en",
    size="13,708 utterances, 1,433 dialogues",
    licence="GPL-3.0 (repository); clips from the TV series Friends, research use",
    where="github.com/declare-lab/MELD (affective-meld.github.io)",
    read=read,
    counts={"original": _COUNTS, "processed": _COUNTS},
    open=True,
)
