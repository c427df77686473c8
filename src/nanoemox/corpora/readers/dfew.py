"""DFEW (Jiang et al. 2020): clips of films, ten votes each on seven emotions; five folds.

Every clip is tested in exactly one fold. `split` is that of fold 1; `extra.test_fold` tells the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from nanoemox.corpora.corpus import EMOTIONS, Corpus, emotion
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, RowError

_ORDER = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")  # labels 1 to 7
_VOTES = tuple(f"{i}{name}" for i, name in enumerate(_ORDER, 1))


def read(folder: Folder) -> Iterator[Line]:
    """`annotation.xlsx` with the votes, folds from `EmoLabel_DataSplit`, clips or folders of frames."""
    folder.layout = "original"
    folds = _folds(folder)
    rows = folder.rows(folder.need("annotation.xlsx", "annotation.csv"), (*_VOTES, "order", "label"))
    yield from folder.each(rows, partial(_line, folder, folds))


def _line(folder: Folder, folds: dict[int, int], row: Row) -> dict[str, Any] | None:
    number, label = int(row.number("order")), int(row.number("label"))
    if label == 0:
        folder.assume("clips on which fewer than six of ten agree have no single label: they were left out")
        return None
    if not 1 <= label <= len(_ORDER):
        raise RowError(f"label is {label}, expected 0 to 7")
    votes = {
        str(emotion(name)["label"]): int(row.number(key)) for key, name in zip(_VOTES, _ORDER, strict=True)
    }
    line: dict[str, Any] = {
        "id": f"{number:05d}",
        **folder.media(
            *dict.fromkeys((f"original/{number}", f"clip_224x224/{number:05d}", str(number), f"{number:05d}"))
        ),
        "labels": {"emotion": emotion(_ORDER[label - 1], EMOTIONS, votes)},
    }
    if number in folds:
        line |= {"split": "test" if folds[number] == 1 else "train", "extra": {"test_fold": folds[number]}}
    elif folds:
        folder.assume("clips with a label that are in no fold have no split")
    return line


def _folds(folder: Folder) -> dict[int, int]:
    """Clip -> the fold in which it is tested."""
    known: dict[int, int] = {}
    for fold in range(1, 6):
        path = folder.file(f"test(single-labeled)/set_{fold}.csv", f"test/set_{fold}.csv")
        if path is None:
            folder.assume(f"there is no test set of fold {fold}: its clips have no fold")
            continue
        for row in folder.rows(path, ("video_name",)):
            try:
                number = int(row.number("video_name"))
                if known.setdefault(number, fold) != fold:
                    raise RowError(f"clip {number} is tested in fold {known[number]} too")
            except RowError as error:
                folder.skip(row.where, row.fault or str(error))
    if known:
        folder.assume("split is that of fold 1; extra.test_fold tells in which fold a clip is tested")
    return known


CORPUS = Corpus(
    name="dfew",
    title="DFEW",
    tasks=("emotion",),
    language="und",
    size="16,372 clips, those on which six of ten agree with a label",
    licence="signed agreement, research only",
    where="dfew-dataset.github.io",
    read=read,
)
