"""What is asked about a clip, and the answers: values that travel between inference, reports, files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from nanoemox.media.clip import Clip

Dialogue = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class TaskResult:
    """The answer to one task. Fields that the task does not have are None or empty."""

    task: str
    answer: str  # what to show: a label, a list, the reasons or the reply
    text: str  # what the model wrote
    label: str | None = None
    labels: tuple[str, ...] = ()
    probabilities: Mapping[str, float] = field(default_factory=dict)
    polarity: str | None = None
    valence: float | None = None
    score: float | None = None  # sentiment: expected polarity in [-1, 1]
    thinking: Mapping[str, str] = field(default_factory=dict)
    reply: str | None = None
    cues: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

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
            "warnings": list(self.warnings),
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
    warnings: tuple[str, ...]
    timing_s: dict[str, float]

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
            "modalities": self.modalities,
            "tasks": {name: result.to_dict() for name, result in self.tasks.items()},
            "experts": None if self.experts is None else list(self.experts),
            "warnings": list(self.warnings),
            "timing_s": self.timing_s,
        }


@dataclass(frozen=True)
class Request:
    """What is asked about one clip: its media (or its frozen features [T or C, D] by name) and its words."""

    source: Clip | Mapping[str, Tensor]
    text: str | None = None
    dialogue: Dialogue | None = None
    tasks: Sequence[str] | None = None  # None: all six
    candidates: Mapping[str, Sequence[str]] = field(default_factory=dict)  # task -> labels to choose from
    only: Collection[str] | None = None  # use only these of "video", "audio", "text", whatever there is


@dataclass(frozen=True)
class Answers:
    """The answers to one `Request`."""

    tasks: dict[str, TaskResult]
    modalities: dict[str, str]
    experts: tuple[float, ...] | None
    warnings: tuple[str, ...]
