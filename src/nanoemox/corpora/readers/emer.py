"""EMER (Lian et al. 2023): clips of MER2023 with reasons for the emotion, written by people. A test set."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, listed, plain

EMOTIONS = ("anger", "happiness", "worried", "sadness", "surprise")


def read(folder: Folder) -> Iterator[Line]:
    """`gt-eng.csv` (v1, with `gt.csv` for the Chinese), or the longer `final-EMER-reason.csv` (v2)."""
    if path := folder.file("gt-eng.csv"):
        folder.layout = "v1"
        chinese = _chinese(folder)
        rows = folder.rows(path, ("names", "emotions", "subtitles", "reasons"))
        yield from folder.each(rows, partial(_first, folder, chinese))
        return
    folder.layout = "v2"
    path = folder.need("final-EMER-reason.csv", "gt-eng.csv")
    folder.assume(
        "final-EMER-reason.csv: the first column is taken for the name, the last for the English reason"
    )
    yield from folder.each(folder.rows(path), partial(_second, folder))


def _first(folder: Folder, chinese: dict[str, str], row: Row) -> dict[str, Any]:
    name, text = row["names"], plain(row.get("subtitles"))
    return {
        "id": name,
        **folder.media(name, text=text),
        **({"text": text, "language": "en"} if text else {}),
        "split": "test",
        "labels": {
            "emotion": emotion(row["emotions"], EMOTIONS),
            "reasoning": {"text": plain(row["reasons"])},
        },
        **({"extra": {"reason_zh": chinese[name]}} if name in chinese else {}),
    }


def _second(folder: Folder, row: Row) -> dict[str, Any]:
    columns = list(row.values)
    name = row["names" if "names" in row else "name" if "name" in row else columns[0]]
    reason = next((key for key in ("reasons", "reason", "english") if key in row), columns[-1])
    labels: dict[str, Any] = {"reasoning": {"text": plain(row[reason])}}
    if found := listed(row.get("openset")):
        labels["open_vocabulary"] = {"labels": found}
    text = plain(row.get("subtitles") or row.get("subtitle"))
    return {
        "id": name,
        **folder.media(name, text=text),
        **({"text": text, "language": "en"} if text else {}),
        "split": "test",
        "labels": labels,
    }


def _chinese(folder: Folder) -> dict[str, str]:
    path = folder.file("gt.csv")
    if path is None:
        return {}
    rows = folder.rows(path, ("names", "chi_reasons"))
    return {row.get("names"): plain(row.get("chi_reasons")) for row in rows if not row.fault}


CORPUS = Corpus(
    name="emer",
    title="EMER",
    tasks=("reasoning", "emotion"),
    language="zh",
    size="100 clips (v1), 332 (v2)",
    licence="labels derive from MER2023: academic research only, not to be handed on",
    where="github.com/zeroQiaoba/AffectGPT (labels); merchallenge.cn (clips)",
    read=read,
    counts={"v1": {"test": 100}, "v2": {"test": 332}},
    tables="gb18030",
)
