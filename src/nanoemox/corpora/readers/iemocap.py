"""IEMOCAP (Busso et al. 2008): ten actors in dyads. Four emotions (as in most papers) or six.

The camera's picture is split in two: the actor who wears the motion-capture markers is on the left. A line's
`person_box` is the half in which its speaker is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from nanoemox.corpora.archives import label_rows
from nanoemox.corpora.corpus import Corpus, emotion, preparation, text_fields, transcripts_of
from nanoemox.corpora.folder import MISSING, Folder, Line
from nanoemox.corpora.tables import Row, RowError, plain, text_of

FOUR = ("happiness", "sadness", "neutral", "anger")
SIX = ("happiness", "sadness", "neutral", "anger", "excitement", "frustration")
_LABELLED = re.compile(r"\[([\d.]+)\s*-\s*([\d.]+)\]\t(\S+)\t(\S+)\t\[([\d.]+),\s*([\d.]+),\s*([\d.]+)\]")
_SPOKEN = re.compile(r"(\S+)\s+\[[\d.\s-]+\]:\s*(.*)")
_NAME = re.compile(r"Ses0([1-5])([MF])_.+_([MF])\d{3}$")
_LEFT, _RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 0.5, 1.0)


def read_four(folder: Folder) -> Iterator[Line]:
    """Happiness (with excitement), sadness, neutral, anger: 5,531 utterances."""
    yield from _read(folder, FOUR, "label_4way.npz")


def read_six(folder: Folder) -> Iterator[Line]:
    """Excitement and frustration for themselves: 7,433 utterances."""
    yield from _read(folder, SIX, "label_6way.npz")


def _read(folder: Folder, emotions: tuple[str, ...], archive: str) -> Iterator[Line]:
    folder.assume(
        "sessions 1 to 4 are train, session 5 is test: the custom of most papers, there is no official split"
    )
    if path := preparation(folder, "iemocap-process", archive):
        folder.layout = "processed"
        words = transcripts_of(folder, "transcription-engchi-polish.csv")
        rows = (row for _, row in label_rows(path))
        yield from folder.each(rows, partial(_processed, folder, words, emotions))
        return
    folder.layout = "original"
    judged = [path for name, paths in folder.files.items() if name.startswith("ses0") for path in paths]
    judged = sorted(path for path in judged if path.parent.name == "EmoEvaluation" and path.suffix == ".txt")
    if not judged:
        folder.need(archive, "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt")
    for path in judged:
        spoken = _spoken(folder, path.name)
        yield from folder.each(_judged(path), partial(_line, folder, spoken, emotions))


def _judged(path: Path) -> Iterator[Row]:
    """The summary lines of an evaluation; the votes of single annotators between them are passed over."""
    for number, text in enumerate(text_of(path).splitlines(), 1):
        where = f"{path.name}:{number}"
        if match := _LABELLED.match(text):
            keys = ("start", "end", "name", "emotion", "valence", "activation", "dominance")
            yield Row(dict(zip(keys, match.groups(), strict=True)), where)
        elif text.startswith("[") and "Ses" in text:
            yield Row({}, where, f"expected [start - end], name, emotion, [V, A, D], got {text[:60]!r}")


def _spoken(folder: Folder, name: str) -> dict[str, str]:
    """Utterance -> words, from the transcription of a dialogue."""
    path = folder.file(f"transcriptions/{name}")
    if path is None:
        folder.assume(f"there is no transcriptions/{name}: its lines have no words")
        return {}
    matches = (_SPOKEN.match(line) for line in text_of(path).splitlines())
    return {match[1]: plain(match[2]) for match in matches if match}


def _line(
    folder: Folder, spoken: dict[str, str], emotions: tuple[str, ...], row: Row
) -> dict[str, Any] | None:
    label = _label(row["emotion"], emotions)
    if label is None:
        folder.assume(f"utterances outside {', '.join(emotions)} (and those without agreement) were left out")
        return None
    name = row["name"]
    dialogue, text = name.rsplit("_", 1)[0], spoken.get(name, "")
    media = folder.media(dialogue, inside=("avi", "DivX"), sound_inside=("wav",), text=text)
    if "video" in media:  # the dialogue's own sound is on its clock; a sentence's WAV is not
        media |= {"start_s": row.number("start"), "end_s": row.number("end")}  # type: ignore[dict-item]
    elif MISSING not in media and (alone := folder.sound(name)) is not None:
        media = {"audio": alone}
    elif "audio" in media:
        media |= {"start_s": row.number("start"), "end_s": row.number("end")}  # type: ignore[dict-item]
    return _about(name, media, label, emotions) | {
        **({"text": text} if text else {}),
        "extra": {key: row.number(key) for key in ("valence", "activation", "dominance")},
    }


def _processed(folder: Folder, words: dict[str, Row], emotions: tuple[str, ...], row: Row) -> dict[str, Any]:
    name, index = row["name"], row["emo"]
    transcript = text_fields(words.get(name))
    label = emotions[int(index)] if index.isdecimal() and int(index) < len(emotions) else index
    media = folder.media(name, text=transcript.get("text", ""))
    return _about(name, media, label, emotions) | transcript


def _about(name: str, media: dict[str, Any], label: str, emotions: tuple[str, ...]) -> dict[str, Any]:
    match = _NAME.match(name)
    if match is None:
        raise RowError(f"the name {name!r} is not of the form Ses01F_impro01_F000")
    session, marked, speaker = match.groups()
    line: dict[str, Any] = {
        "id": name,
        **media,
        "speaker": f"Ses0{session}_{speaker}",
        "split": "test" if session == "5" else "train",
        "labels": {"emotion": emotion(label, emotions)},
    }
    if "video" in media:
        line["person_box"] = _LEFT if marked == speaker else _RIGHT
    return line


def _label(code: str, emotions: tuple[str, ...]) -> str | None:
    if code == "exc" and emotions == FOUR:
        return "happiness"
    try:
        return str(emotion(code, emotions)["label"])
    except RowError:
        if code in ("fru", "exc", "fea", "sur", "dis", "oth", "xxx"):
            return None
        raise


_SHARED: dict[str, Any] = {
    "tasks": ("emotion",),
    "language": "en",
    "licence": "signed licence, research only",
    "where": "sail.usc.edu/iemocap (request form)",
}
_COUNTS = {"train": 4290, "test": 1241}
FOUR_WAY = Corpus(
    name="iemocap",
    title="IEMOCAP, four emotions",
    size="5,531 of 10,039 utterances, 12 hours, 10 actors",
    read=read_four,
    counts={"original": _COUNTS, "processed": _COUNTS},
    **_SHARED,
)
SIX_WAY = Corpus(
    name="iemocap6",
    title="IEMOCAP, six emotions",
    size="7,433 of 10,039 utterances, 12 hours, 10 actors",
    read=read_six,
    **_SHARED,
)
