"""The forms of a manifest's line and of a prediction: what may be known about a clip, and what a model answered.

Keys are checked, all of them: an unknown one is refused by name with its line, since a misspelt label that is
silently skipped costs more than an error.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Text = Annotated[str, Field(min_length=1)]


Fraction = Annotated[float, Field(ge=0, le=1)]


Seconds = Annotated[float, Field(ge=0)]


TaskName = Literal["sentiment", "emotion", "open_vocabulary", "intent", "reasoning", "empathy"]


MEDIA = ("video", "frames_dir", "image", "audio")  # the keys of a line that hold paths


class _Form(BaseModel):
    """Known keys only, numbers that are numbers, and nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class SentimentLabel(_Form):
    polarity: Literal["positive", "neutral", "negative"] | None = None
    valence: float | None = None
    range: tuple[float, float] | None = None  # lowest and highest valence of the corpus

    @model_validator(mode="after")
    def _says_something(self) -> SentimentLabel:
        if self.polarity is None and self.valence is None:
            raise ValueError("expected polarity or valence")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError(f"expected a range from low to high, got {list(self.range)}")
        return self


class EmotionLabel(_Form):
    label: Text
    candidates: list[Text] | None = Field(None, min_length=1)
    votes: dict[str, Annotated[int, Field(ge=0)]] | None = None


class OpenVocabularyLabel(_Form):
    labels: list[Text] = Field(min_length=1)


class IntentLabel(_Form):
    label: Text
    candidates: list[Text] | None = Field(None, min_length=1)


class Cues(_Form):
    face: list[Text] = []
    voice: list[Text] = []
    scene: list[Text] = []
    words: list[Text] = []


class ReasoningLabel(_Form):
    text: Text
    cues: Cues | None = None


class EmpathyLabel(_Form):
    reply: Text
    event: Text | None = None
    emotion: Text | None = None
    cause: Text | None = None
    goal: Text | None = None
    cause_in_words: bool | None = None  # whether the words give the cause away


class Labels(_Form):
    """What is known about one clip. A line is an example of every task that it has labels for."""

    sentiment: SentimentLabel | None = None
    emotion: EmotionLabel | None = None
    open_vocabulary: OpenVocabularyLabel | None = None
    intent: IntentLabel | None = None
    reasoning: ReasoningLabel | None = None
    empathy: EmpathyLabel | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that this line is an example of."""
        return tuple(name for name in type(self).model_fields if getattr(self, name) is not None)


class DialogueTurn(_Form):
    role: Text
    text: str


class Record(_Form):
    """One line of a manifest. After `read_manifest` its paths lead from the working directory."""

    id: Text
    video: Path | None = None
    frames_dir: Path | None = None
    image: Path | None = None
    audio: Path | None = None
    text: str | None = None
    language: Text | None = None  # BCP-47
    start_s: Seconds | None = None
    end_s: Seconds | None = None
    speaker: Text | None = None
    person_box: tuple[Fraction, Fraction, Fraction, Fraction] | None = None  # x, y, width, height
    dialogue: list[DialogueTurn] | None = None
    split: Literal["train", "val", "test"] | None = None
    source: Text | None = None
    licence: Text | None = None
    labels: Labels = Labels()
    factors: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Record:
        if not (self.text or self.dialogue or any(getattr(self, kind) for kind in MEDIA)):
            raise ValueError(f"expected something to look at, hear or read: one of {', '.join(MEDIA)}, text")
        if self.end_s is not None and self.end_s <= (self.start_s or 0.0):
            raise ValueError(f"expected end_s after start_s, got {self.start_s or 0.0:g} to {self.end_s:g}")
        return self

    def line(self, folder: Path | None = None) -> dict[str, Any]:
        """The record as a manifest line, its paths relative to `folder`."""
        line = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        for kind in MEDIA:
            path = getattr(self, kind)
            if path is not None and folder is not None:
                line[kind] = Path(os.path.relpath(path, folder)).as_posix()
        return line


class Prediction(_Form):
    """One answer of a model to one task about one clip; with `error` there is no answer."""

    id: Text
    task: TaskName
    task_version: int
    text: str = ""
    label: str | None = None
    labels: list[str] | None = None
    polarity: str | None = None
    valence: float | None = None
    score: float | None = None
    probabilities: dict[str, Fraction] | None = None
    thinking: dict[str, str] | None = None
    reply: str | None = None
    cues: dict[str, list[str]] | None = None
    modalities: dict[str, str] | None = None
    experts: tuple[Fraction, Fraction, Fraction] | None = None
    warnings: list[str] | None = None
    error: Text | None = None


def plain_labels(record: Record) -> dict[str, Any]:
    """A record's labels as plain JSON types."""
    labels = record.labels
    if labels is None:
        return {}
    return labels if isinstance(labels, dict) else labels.model_dump(exclude_none=True)


def turns_of(record: Record) -> list[dict[str, str]] | None:
    """The earlier turns of a record's dialogue as plain dicts."""
    turns = [t if isinstance(t, dict) else {"role": t.role, "text": t.text} for t in record.dialogue or ()]
    return turns or None


def json_schema(form: type[Record] | type[Prediction] = Record) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a line."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **form.model_json_schema()}
