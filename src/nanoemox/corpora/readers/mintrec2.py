"""MIntRec2.0 (Zhang et al. 2024): 30 intents of speakers in TV series."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from nanoemox.corpora.corpus import Corpus, one_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared.mintrec import SPLITS, read_lists
from nanoemox.corpora.tables import Row, RowError, plain

# fmt: off
INTENTS = (
    "Acknowledge", "Advise", "Agree", "Apologise", "Arrange", "Ask for help", "Asking for opinions",
    "Care", "Comfort", "Complain", "Confirm", "Criticize", "Doubt", "Emphasize", "Explain", "Flaunt",
    "Greet", "Inform", "Introduce", "Invite", "Joke", "Leave", "Oppose", "Plan", "Praise", "Prevent",
    "Refuse", "Taunt", "Thank", "Warn",
)
# fmt: on
_OUTSIDE = "UNK"


def read(folder: Folder) -> Iterator[Line]:
    """`in-scope/{train,dev,test}.tsv`, or the lists of the published loaders, which are another split."""
    if folder.file("train_MIntRec2_ann.json", "test_MIntRec2_ann.json"):
        folder.assume(
            "the published lists are not the official in-scope split: figures are not comparable with it"
        )
        yield from read_lists(folder, "MIntRec2", INTENTS)
        return
    folder.layout = "original"
    for name, split in SPLITS.items():
        if not folder.reads(split):
            continue
        path = folder.need(f"in-scope/{name}.tsv", f"{name}.tsv", "train_MIntRec2_ann.json")
        rows = folder.rows(path, ("dialogue_id", "utterance_id", "text", "label"))
        yield from folder.each(rows, partial(_line, folder, split))


def _line(folder: Folder, split: str, row: Row) -> dict[str, Any] | None:
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
        "labels": {"intent": {"label": one_of(row["label"], INTENTS, "intent"), "candidates": list(INTENTS)}},
        "extra": {"dialogue": int(dialogue), "turn": int(turn)},
    }
    if speaker := row.get("speaker"):
        line["speaker"] = plain(speaker)
    return line


CORPUS = Corpus(
    name="mintrec2",
    title="MIntRec2.0",
    tasks=("intent",),
    language="en",
    size="9,304 utterances in scope, 30 intents (15,040 with those out of scope)",
    licence="CC BY-NC-SA 4.0",
    where="github.com/thuiar/MIntRec2.0",
    read=read,
    counts={
        "original": {"train": 6165, "val": 1106, "test": 2033},
        "processed": {"train": 5644, "test": 1044},
    },
    open=True,
)
