"""CREMA-D (Cao et al. 2014): 91 actors, 12 sentences, 6 emotions, with votes of raters. No official split."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError, chats

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
_STEM = re.compile(r"(?:[A-Za-z]+_)?((\d{4})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_([A-Z]{1,2}))$", re.I)
_VOTES = {"A": "anger", "D": "disgust", "F": "fear", "H": "happiness", "N": "neutral", "S": "sadness"}
_FAULTS = {"1076_MTI_SAD_XX": "the recording is silent"}


def read(folder: Folder) -> Iterator[Line]:
    """The list of the published loaders, or every clip by its name."""
    folder.assume(
        "no official split exists: actors whose number ends in 8 or 9 are test, in 7 val, else train"
    )
    votes = _votes(folder)
    if path := folder.file("crema_d_annotations.json"):
        folder.layout = "processed"
        yield from folder.each(chats(path), lambda row: _line(folder, Path(row["file"]).stem, row, votes))
        return
    folder.layout = "original"
    names = sorted(
        {match[1].upper() for stem in [*folder.videos, *folder.sounds] if (match := _STEM.match(stem))}
    )
    if not names:
        folder.need(
            "AudioWAV/1001_DFA_ANG_XX.wav", "VideoFlash/1001_DFA_ANG_XX.flv", "crema_d_annotations.json"
        )
    yield from folder.each(
        (Row({}, name) for name in names), lambda row: _line(folder, row.where, row, votes)
    )


def _line(folder: Folder, stem: str, row: Row, votes: dict[str, dict[str, int]]) -> dict[str, Any]:
    match = _STEM.match(stem)
    if match is None:
        raise RowError(f"the name {stem!r} is not of the form 1001_DFA_ANG_XX")
    name, actor, sentence, code, level = match[1].upper(), *(part.upper() for part in match.groups()[1:])
    if sentence not in SENTENCES:
        raise RowError(f"unknown sentence {sentence!r} in {stem!r}")
    label = emotion(code.lower(), EMOTIONS, votes.get(name))
    if "label" in row and emotion(row["label"], EMOTIONS)["label"] != label["label"]:
        raise RowError(f"the label {row['label']!r} contradicts the name {stem!r}")
    extra = {"level": level, "sentence": sentence}
    if name in _FAULTS:
        extra |= folder.fault(name, _FAULTS[name])
    return {
        "id": name,
        **folder.media(stem.lower(), name.lower()),
        "text": SENTENCES[sentence],
        "speaker": actor,
        "split": {"8": "test", "9": "test", "7": "val"}.get(actor[-1], "train"),
        "labels": {"emotion": label},
        "extra": extra,
    }


def _votes(folder: Folder) -> dict[str, dict[str, int]]:
    """Votes of those who saw and heard a clip, where the table is there."""
    path = folder.file("tabulatedVotes.csv")
    if path is None:
        return {}
    folder.assume("tabulatedVotes.csv: rows numbered from 300000 on are taken for votes on picture and sound")
    known: dict[str, dict[str, int]] = {}
    for row in folder.rows(path, (*_VOTES, "fileName")):
        try:
            if row.fault:
                raise RowError(row.fault)
            if row.get("").startswith("3") and len(row.get("")) == 6:
                known[row["fileName"].upper()] = {name: int(row.number(key)) for key, name in _VOTES.items()}
        except RowError as error:
            folder.skip(row.where, str(error))
    return known


CORPUS = Corpus(
    name="crema_d",
    title="CREMA-D",
    tasks=("emotion",),
    language="en",
    size="7,442 clips of 91 actors",
    licence="ODbL 1.0 (database), DbCL 1.0 (contents)",
    where="github.com/CheyneyComputerScience/CREMA-D, or its GitLab mirror where the LFS quota is used up",
    read=read,
    open=True,
)
