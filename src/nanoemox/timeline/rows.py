"""One row of a timeline: what the model reads from one window, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DIGITS = 6  # of a probability


@dataclass(frozen=True)
class Row:
    """The emotion and the valence in one stretch of a recording.

    Attributes:
        start_s: Where the window begins, in seconds from the beginning of the file.
        end_s: Where it ends.
        emotion: The likeliest emotion.
        probabilities: Emotion -> how likely it is; they add up to 1.
        valence: From -1 (unpleasant) to 1 (pleasant).
        sentiment: negative, neutral, positive -> how likely; empty where the model has not learnt the task.
        text: What is said, where that is known.
        speaker: Who says it, likewise.
        person: Whom the row is about where people are told apart; None for whoever is seen and heard.
        speech: The share of what is heard that this person speaks, where that can be told.
        box: Where the person's face is in the middle of when it is seen: left, top, right, bottom, in shares of the
            frame.
        warnings: Codes of what has to be known, such as no_video.
    """

    start_s: float
    end_s: float
    emotion: str
    probabilities: Mapping[str, float]
    valence: float
    sentiment: Mapping[str, float] = field(default_factory=dict)
    text: str | None = None
    speaker: str | None = None
    person: str | None = None
    speech: float | None = None
    box: tuple[float, ...] | None = None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without what is absent."""
        entries = vars(self) | {"warnings": list(self.warnings)}
        if self.box is not None:
            entries["box"] = list(self.box)
        return {key: value for key, value in entries.items() if value not in (None, [], {})}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> Row:
        """The row that `to_dict` wrote."""
        box = entries.get("box")
        tuples = {"warnings": tuple(entries.get("warnings", ())), "box": None if box is None else tuple(box)}
        return cls(**{**entries, **tuples})
