"""What the fine and the coarse part of MERR share: the emotions and the form of a clip."""

from __future__ import annotations

from typing import Any

from nanoemox.corpora.corpus import emotion
from nanoemox.corpora.folder import Folder
from nanoemox.corpora.tables import Row, plain

EMOTIONS = (
    "neutral", "sadness", "anger", "happiness", "worried", "surprise", "fear", "doubt", "contempt",
)  # fmt: skip


def clip_line(folder: Folder, row: Row) -> dict[str, Any]:
    """The manifest line of one clip: its emotion, or what the machine concluded, or both."""
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


# What both cards share.
CARD: dict[str, Any] = {
    "tasks": ("reasoning", "emotion"),
    "language": "zh",
    "licence": "annotations for research; clips under the EULA of MER2023",
    "where": "github.com/ZebangCheng/Emotion-LLaMA (annotations); merchallenge.cn (clips)",
    "tables": "gb18030",
}
