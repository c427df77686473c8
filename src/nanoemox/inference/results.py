"""What is asked about a clip, and the answers: values that travel between inference, reports, files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nanoemox.media.clip import Clip, CodedWarning
from nanoemox.tasks.base import Task
from nanoemox.tasks.grammar import Answer

Dialogue = Sequence[Mapping[str, str]]


class TaskResult(Answer):
    """The answer to one task: what was read out of the model's text, and how it is shown."""

    task: str
    answer: str  # what to show: a label, a list, the reasons or the reply

    @classmethod
    def of(cls, task: Task[Any], answer: Answer) -> TaskResult:
        """The result that a task's answer makes."""
        fields = {name: getattr(answer, name) for name in Answer.model_fields}
        return cls(task=task.name, answer=task.shown(answer), **fields)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without what is absent."""
        entries: dict[str, Any] = {
            "answer": self.answer,
            "label": self.label,
            "labels": list(self.labels),
            "polarity": self.polarity,
            "valence": self.valence,
            "score": self.score,
            "probabilities": dict(self.probabilities),
            "thinking": dict(self.thinking),
            "reply": self.reply,
            "cues": {source: list(found) for source, found in self.cues.items()},
            "text": self.text,
            "warnings": [warning._asdict() for warning in self.warnings],
        }
        always = ("answer", "text")
        return {key: value for key, value in entries.items() if key in always or value not in (None, [], {})}


@dataclass(frozen=True)
class Analysis(Mapping[str, TaskResult]):
    """All answers about one clip: a mapping from task name to `TaskResult`, and what they rest on."""

    clip: Clip
    model: str
    tasks: dict[str, TaskResult]
    modalities: dict[str, str]  # "video", "audio", "text" -> "present", or why not
    experts: tuple[float, ...] | None  # the fusion experts' gate weights; None without sound or video
    warnings: tuple[CodedWarning, ...]
    timing_s: dict[str, float]
    provenance: tuple[str, ...] = ()  # the steps by which the model's weights came about, oldest first

    def __getitem__(self, task: str) -> TaskResult:
        return self.tasks[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` writes."""
        return {
            "clip": self.clip.path,
            "model": self.model,
            "provenance": list(self.provenance),
            "modalities": self.modalities,
            "tasks": {name: result.to_dict() for name, result in self.tasks.items()},
            "experts": None if self.experts is None else list(self.experts),
            "warnings": [warning._asdict() for warning in self.warnings],
            "timing_s": self.timing_s,
        }


@dataclass(frozen=True)
class Request:
    """What is asked about one clip: its media (or its frozen features [T or C, D] by name) and its words."""

    source: Clip | Mapping[str, Tensor]
    text: str | None = None
    dialogue: Dialogue | None = None
    tasks: Sequence[str] | None = None  # None: all of them
    candidates: Mapping[str, Sequence[str]] = field(default_factory=dict)  # task -> labels to choose from
    modalities: Collection[str] | None = None  # use only these of "video", "audio", "text", whatever there is
    max_new_tokens: int | None = None  # where every answer is cut; None: EmotionAnalyzer.answer_limit


@dataclass(frozen=True)
class Answers:
    """The answers to one `Request`."""

    tasks: dict[str, TaskResult]
    modalities: dict[str, str]
    experts: tuple[float, ...] | None
    warnings: tuple[CodedWarning, ...]
    timing_s: dict[str, float]  # seconds that the stages of the whole batch took
