"""Lines with a sentiment score, which CMU-MOSI, CMU-MOSEI and both CH-SIMS have."""

from __future__ import annotations

from typing import Any

from nanoemox.corpora.corpus import split_of, text_fields
from nanoemox.corpora.folder import Folder
from nanoemox.corpora.tables import Row, RowError


def prepared(
    folder: Folder, words: dict[str, Row], split: str, valence_range: tuple[float, float], row: Row
) -> dict[str, Any]:
    """A line of an official preparation with a score.

    Args:
        folder: the folder of the corpus.
        words: clip -> its row in the table of transcripts.
        split: the split of the clip.
        valence_range: lowest and highest score of the corpus.
        row: the clip's row in the label archive.

    Returns:
        The manifest line.
    """
    transcript = text_fields(words.get(row["name"]))
    return {
        "id": row["name"],
        **folder.media(row["name"], text=transcript.get("text", "")),
        **transcript,
        "split": split_of(split),
        "labels": {"sentiment": scored(row.number("val"), valence_range)},
    }


def scored(valence: float, valence_range: tuple[float, float]) -> dict[str, Any]:
    """`labels.sentiment` of a score inside its range."""
    low, high = valence_range
    if not low - 1e-6 <= valence <= high + 1e-6:
        raise RowError(f"the score {valence:g} is outside [{low:g}, {high:g}]")
    return {"valence": round(valence, 4), "range": valence_range}
