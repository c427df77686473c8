"""The forms of a manifest's line and of a prediction: what may be known about a clip, and what a model answered.

Keys are checked, all of them: an unknown one is refused by name with its line, since a misspelt label that is
silently skipped costs more than an error.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from nanoemox.files.json_text import is_usable
from nanoemox.files.text import is_blank
from nanoemox.media.clip import CodedWarning
from nanoemox.tasks.grammar import Answer
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]  # blank text is no text
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]


class _NameOfTask:
    """A name in `TASKS`, as it is when a line is checked."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls._known, handler(source))

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "enum": list(TASKS)}

    @staticmethod
    def _known(name: str) -> str:
        if name not in TASKS:
            *others, last = map(repr, TASKS)
            expected = f"{', '.join(others)} or {last}"
            raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
        return name


TaskName = Annotated[str, _NameOfTask]


def _from_object(value: Any) -> Any:
    return CodedWarning(**value) if isinstance(value, dict) and value.keys() == {"code", "text"} else value


# A warning, in JSON an object with `code` and `text`.
ListedWarning = Annotated[
    CodedWarning,
    BeforeValidator(_from_object),
    PlainSerializer(lambda warning: warning._asdict(), return_type=dict[str, str]),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {"code": {"type": "string"}, "text": {"type": "string"}},
            "required": ["code", "text"],
            "additionalProperties": False,
        }
    ),
]

MEDIA = ("video", "frames_dir", "image", "audio")  # the keys of a line that hold paths


class _Form(BaseModel):
    """Known keys only, numbers that are numbers, and nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class DialogueTurn(_Form):
    """One earlier turn of a dialogue: who spoke, and what."""

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

    @property
    def turns(self) -> list[dict[str, str]] | None:
        """The earlier turns of the dialogue as plain dicts, as a processor reads them, without blank ones."""
        turns = [turn for turn in self.dialogue or () if not is_blank(turn.text)]
        return [{"role": turn.role, "text": turn.text} for turn in turns] or None

    @field_validator("text")
    @classmethod
    def _blank_is_none(cls, value: str | None) -> str | None:
        return None if is_blank(value) else value

    @field_validator("factors", "extra")
    @classmethod
    def _can_be_written(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if not is_usable(value):
            raise ValueError("expected finite numbers, got NaN or Infinity somewhere in it")
        return value

    @model_validator(mode="after")
    def _holds_together(self) -> Record:
        if not (self.text or self.turns or any(getattr(self, kind) for kind in MEDIA)):
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


class Prediction(Answer):
    """One answer of a model to one task about one clip; with `error` there is no answer."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    id: Text
    task: TaskName
    task_version: int
    probabilities: dict[str, Fraction] = Field({})
    modalities: dict[str, str] | None = None
    experts: tuple[Fraction, Fraction, Fraction] | None = None
    warnings: tuple[ListedWarning, ...] = ()
    error: Text | None = None

    @classmethod
    def of(cls, clip: str, task: str, answer: Answer, **more: Any) -> Prediction:
        """An answer that is already checked, as a prediction about a clip.

        Args:
            clip: The id of the clip.
            task: The name of the task.
            answer: What was read out of the model's text.
            **more: Other fields of the prediction.

        Returns:
            The prediction.
        """
        fields = {name: getattr(answer, name) for name in Answer.model_fields}
        return cls(id=clip, task=task, task_version=TASKS[task].version, **fields, **more)

    def line(self) -> dict[str, Any]:
        """The prediction as a line of predictions.jsonl, without what it does not have."""
        first = {"id": self.id, "task": self.task, "task_version": self.task_version, "text": self.text}
        rest = self.model_dump(mode="json", exclude_defaults=True, exclude=set(first))
        return {**first, **rest}


def json_schema(form: type[Record] | type[Prediction] = Record) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a line."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **form.model_json_schema()}
