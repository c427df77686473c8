"""EMO-DB (Burkhardt et al. 2005): ten German actors, ten sentences, seven emotions; sound. No official split.

A name such as `03a01Fa` is speaker, sentence, emotion (its German initial) and version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError

EMOTIONS = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")
_CODES = {
    "w": "anger",
    "l": "boredom",
    "e": "disgust",
    "a": "fear",
    "f": "happiness",
    "t": "sadness",
    "n": "neutral",
}
_SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
_SPLITS = {"12": "val", "13": "val", "15": "test", "16": "test"}  # a man and a woman each
_NAME = re.compile(r"(\d\d)([ab]\d\d)([a-z])([a-z])$")


def read(folder: Folder) -> Iterator[Line]:
    """`wav/03a01Fa.wav`."""
    folder.layout = "original"
    folder.assume("no official split exists: speakers 12 and 13 are val, 15 and 16 test, the others train")
    names = sorted(stem for stem in folder.sounds if _NAME.match(stem))
    if not names:
        folder.need("wav/03a01Fa.wav")
    yield from folder.each((Row({}, name) for name in names), partial(_line, folder))


def _line(folder: Folder, row: Row) -> dict[str, Any]:
    path = folder.sound(row.where)
    match = _NAME.match(row.where)
    if match is None or path is None or match[2] not in _SENTENCES or match[3] not in _CODES:
        raise RowError("the name is not of the form 03a01Fa (speaker, sentence, emotion, version)")
    speaker, sentence, code, _ = match.groups()
    return {
        "id": path.stem,
        "audio": path,
        "text": _SENTENCES[sentence],
        "speaker": f"emodb_{speaker}",
        "split": _SPLITS.get(speaker, "train"),
        "labels": {"emotion": emotion(_CODES[code], EMOTIONS)},
        "extra": {"sentence": sentence},
    }


CORPUS = Corpus(
    name="emodb",
    title="EMO-DB",
    tasks=("emotion",),
    language="de",
    size="535 sentences of 10 speakers",
    licence="offered free of charge by its makers; no licence is stated",
    where="emodb.bilderbar.info",
    read=read,
    open=True,
)
