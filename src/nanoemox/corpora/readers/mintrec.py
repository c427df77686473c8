"""MIntRec (Zhang et al. 2022) and MIntRec2.0 (2024): 20 and 30 intents of speakers in TV series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nanoemox.corpora.corpus import Corpus, one_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError, chats, plain

# fmt: off
INTENTS = (
    "Complain", "Praise", "Apologise", "Thank", "Criticize", "Agree", "Taunt", "Flaunt", "Joke", "Oppose",
    "Comfort", "Care", "Inform", "Advise", "Arrange", "Introduce", "Leave", "Prevent", "Greet",
    "Ask for help",
)
INTENTS2 = (
    "Acknowledge", "Advise", "Agree", "Apologise", "Arrange", "Ask for help", "Asking for opinions",
    "Care", "Comfort", "Complain", "Confirm", "Criticize", "Doubt", "Emphasize", "Explain", "Flaunt",
    "Greet", "Inform", "Introduce", "Invite", "Joke", "Leave", "Oppose", "Plan", "Praise", "Prevent",
    "Refuse", "Taunt", "Thank", "Warn",
)
# fmt: on
_SPLITS = {"train": "train", "dev": "val", "test": "test"}
_OUTSIDE = "UNK"


def read(folder: Folder) -> Iterator[Line]:
    """`train.tsv`, `dev.tsv`, `test.tsv` and raw_data/S05/E01/123.mp4, or the published loaders' lists."""
    if folder.file("train_MIntRec_ann.json", "test_MIntRec_ann.json"):
        yield from _processed(folder, "MIntRec", INTENTS)
        return
    folder.layout = "original"
    for name, split in _SPLITS.items():
        path = folder.need(f"{name}.tsv", "train_MIntRec_ann.json")
        rows = folder.rows(path, ("season", "episode", "clip", "text", "label"))
        yield from folder.each(rows, partial(_line, folder, split))


def _line(folder: Folder, split: str, row: Row) -> dict[str, Any]:
    place = [row["season"], row["episode"], row["clip"]]
    name, text = "_".join(place), plain(row["text"])
    return {
        "id": name,
        **folder.media("/".join(place), name, text=text),
        "text": text,
        "split": split,
        "labels": {"intent": {"label": one_of(row["label"], INTENTS, "intent"), "candidates": list(INTENTS)}},
    }


def read2(folder: Folder) -> Iterator[Line]:
    """`in-scope/{train,dev,test}.tsv`, or the lists of the published loaders, which are another split."""
    if folder.file("train_MIntRec2_ann.json", "test_MIntRec2_ann.json"):
        folder.assume(
            "the published lists are not the official in-scope split: figures are not comparable with it"
        )
        yield from _processed(folder, "MIntRec2", INTENTS2)
        return
    folder.layout = "original"
    for name, split in _SPLITS.items():
        path = folder.need(f"in-scope/{name}.tsv", f"{name}.tsv", "train_MIntRec2_ann.json")
        rows = folder.rows(path, ("dialogue_id", "utterance_id", "text", "label"))
        yield from folder.each(rows, partial(_line2, folder, split))


def _line2(folder: Folder, split: str, row: Row) -> dict[str, Any] | None:
    dialogue, turn = (row[key].removesuffix(".0") for key in ("dialogue_id", "utterance_id"))
    if not dialogue.isdecimal() or not turn.isdecimal():
        raise RowError(f"dialogue {dialogue!r}, utterance {turn!r}: expected numbers")
    if row["label"].upper() == _OUTSIDE:
        folder.assume("utterances labelled UNK are out of scope, which is no intent: they were left out")
        return None
    name, text = f"dia{int(dialogue)}_utt{int(turn)}", plain(row["text"])
    line = {
        "id": name,
        **folder.media(name, text=text),
        "text": text,
        "split": split,
        "labels": {
            "intent": {"label": one_of(row["label"], INTENTS2, "intent"), "candidates": list(INTENTS2)}
        },
        "extra": {"dialogue": int(dialogue), "turn": int(turn)},
    }
    if speaker := row.get("speaker"):
        line["speaker"] = plain(speaker)
    return line


def _processed(folder: Folder, key: str, intents: Sequence[str]) -> Iterator[Line]:
    folder.layout = "processed"

    def line(row: Row, split: str) -> dict[str, Any]:
        name, text = Path(row["file"]).stem, row["text"]
        return {
            "id": name,
            **folder.media(name, text=text),
            "text": text,
            "split": split,
            "labels": {
                "intent": {"label": one_of(row["label"], intents, "intent"), "candidates": list(intents)}
            },
        }

    for split in ("train", "test"):
        if path := folder.file(f"{split}_{key}_ann.json"):
            yield from folder.each(chats(path), partial(line, split=split))
        else:
            folder.assume(f"there is no {split}_{key}_ann.json: no {split} lines")


MINTREC = Corpus(
    name="mintrec",
    title="MIntRec",
    tasks=("intent",),
    language="en",
    size="2,224 utterances, 20 intents",
    licence="repository MIT; clips from the TV series Superstore, research use",
    where="github.com/thuiar/MIntRec",
    read=read,
    counts={
        "original": {"train": 1334, "val": 445, "test": 445},
        "processed": {"train": 1779, "test": 445},
    },
    open=True,
)
MINTREC2 = Corpus(
    name="mintrec2",
    title="MIntRec2.0",
    tasks=("intent",),
    language="en",
    size="9,304 utterances in scope, 30 intents (15,040 with those out of scope)",
    licence="CC BY-NC-SA 4.0",
    where="github.com/thuiar/MIntRec2.0",
    read=read2,
    counts={
        "original": {"train": 6165, "val": 1106, "test": 2033},
        "processed": {"train": 5644, "test": 1044},
    },
    open=True,
)
