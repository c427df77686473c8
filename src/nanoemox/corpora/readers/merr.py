"""MERR (Cheng et al. 2024): clips of MER2023, and what a machine saw and heard in them and concluded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from nanoemox.corpora.corpus import Corpus, emotion
from nanoemox.corpora.folder import Folder, Line
from nanoemox.corpora.tables import Row, entries, plain

EMOTIONS = (
    "neutral", "sadness", "anger", "happiness", "worried", "surprise", "fear", "doubt", "contempt",
)  # fmt: skip


def read_fine(folder: Folder) -> Iterator[Line]:
    """`MERR_fine_grained.json`: one object by name."""
    folder.layout = "original"
    yield from folder.each(entries(folder.need("MERR_fine_grained.json")), partial(_line, folder))


def read_coarse(folder: Folder) -> Iterator[Line]:
    """`MERR_coarse_grained.json`; its keys are taken to be those of the fine part."""
    folder.layout = "original"
    folder.assume("the coarse part is taken to have the keys of the fine part")
    yield from folder.each(entries(folder.need("MERR_coarse_grained.json")), partial(_line, folder))


def _line(folder: Folder, row: Row) -> dict[str, Any]:
    name, text = row["key"], plain(row.get("text"))
    caption = row.get("smp_reason_caption") or row.get("caption")
    labels: dict[str, Any] = {}
    if row.get("pseu_emotion"):
        labels["emotion"] = emotion(row["pseu_emotion"], EMOTIONS)
    if caption or not labels:
        labels["reasoning"] = {"text": plain(caption or row["smp_reason_caption"])}
    line: dict[str, Any] = {
        "id": name,
        **folder.media(name, text=text),
        "split": "train",
        "labels": labels,
        "extra": {
            key: row.values[key]  # among them audio_prior_list, which is text in spite of its name
            for key in ("au_list", "visual_prior_list", "audio_prior_list", "peak_index", "peak_au_list")
            if row.values.get(key)
        },
    }
    if text:
        line |= {"text": text, "language": "en"}
    return line


_SHARED: dict[str, Any] = {
    "tasks": ("reasoning", "emotion"),
    "language": "zh",
    "licence": "annotations for research; clips under the EULA of MER2023",
    "where": "github.com/ZebangCheng/Emotion-LLaMA (annotations); merchallenge.cn (clips)",
    "tables": "gb18030",
}
FINE = Corpus(
    name="merr",
    title="MERR-Fine",
    size="4,487 clips",
    read=read_fine,
    counts={"original": {"train": 4487}},
    **_SHARED,
)
COARSE = Corpus(
    name="merr_coarse",
    title="MERR-Coarse",
    size="28,618 clips",
    read=read_coarse,
    counts={"original": {"train": 28618}},
    **_SHARED,
)
