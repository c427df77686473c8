"""MIntRec (Zhang et al. 2022): 20 intents of speakers in a TV series."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from nanoemox.corpora.corpus import Corpus, one_of
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.readers.shared.mintrec import SPLITS, read_lists
from nanoemox.corpora.tables import Row, plain

# fmt: off
INTENTS = (
    "Complain", "Praise", "Apologise", "Thank", "Criticize", "Agree", "Taunt", "Flaunt", "Joke", "Oppose",
    "Comfort", "Care", "Inform", "Advise", "Arrange", "Introduce", "Leave", "Prevent", "Greet",
    "Ask for help",
)
# fmt: on


def read(folder: Folder) -> Iterator[Line]:
    """`train.tsv`, `dev.tsv`, `test.tsv` and raw_data/S05/E01/123.mp4, or the published loaders' lists."""
    if folder.file("train_MIntRec_ann.json", "test_MIntRec_ann.json"):
        yield from read_lists(folder, "MIntRec", INTENTS)
        return
    folder.layout = "original"
    for name, split in SPLITS.items():
        if not folder.reads(split):
            continue
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


CORPUS = Corpus(
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
