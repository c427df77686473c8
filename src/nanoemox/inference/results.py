"""What is asked about a clip, and the answers: values that travel between inference, reports, files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nanoemox.files.errors import ArgumentError
from nanoemox.files.listed import labels_by_task, one_or_more
from nanoemox.files.report import Report
from nanoemox.files.short_repr import ShortRepr
from nanoemox.inference.decoding import Sampling
from nanoemox.media.clip import Clip, CodedWarning
from nanoemox.media.subtitles import Spoken, TextSource
from nanoemox.people.find import Person
from nanoemox.tasks.base import Task
from nanoemox.tasks.grammar import Answer

if TYPE_CHECKING:
    from nanoemox.inference.explain import Explanation


def _cut(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


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

    def __repr__(self) -> str:
        """One line: the answer, and how likely it is."""
        share = self.probabilities.get(self.label or "")
        likely = "" if share is None else f", probability {share:.3f}"
        codes = ", ".join(warning.code for warning in self.warnings)
        warned = f", warnings {codes}" if codes else ""
        return f"TaskResult({self.task!r}, {_cut(self.answer, 120)!r}{likely}{warned})"

    def __str__(self) -> str:
        return repr(self)

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


@dataclass(frozen=True, repr=False)
class PersonAnalysis(ShortRepr):
    """One person of a clip, and the answers for this person; no answers where the model reads whole frames only."""

    person: Person
    tasks: dict[str, TaskResult]
    modalities: dict[str, str]  # as in `Analysis`
    warnings: tuple[CodedWarning, ...]
    shown: (
        NDArray[np.uint8] | None
    )  # [T, S, S, 3]: the crops that the model saw; None where it saw whole frames

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without pictures."""
        return {
            **self.person.to_dict(),
            "crop_side_px": None if self.shown is None else self.shown.shape[1],
            "modalities": self.modalities,
            "tasks": {name: result.to_dict() for name, result in self.tasks.items()},
            "warnings": [warning._asdict() for warning in self.warnings],
        }


@dataclass(frozen=True, repr=False)
class Analysis(Mapping[str, TaskResult], Report):
    """All answers about one clip: a mapping from task name to `TaskResult`, and what they rest on.

    `save_report` writes it as .json, or as a page to look at (.html).
    """

    clip: Clip
    model: str
    tasks: dict[str, TaskResult]
    modalities: dict[str, str]  # "video", "audio", "text" -> "present", or why not
    experts: tuple[float, ...] | None  # the fusion experts' gate weights; None without sound or video
    warnings: tuple[CodedWarning, ...]
    timing_s: dict[str, float]
    provenance: tuple[str, ...] = ()  # the steps by which the model's weights came about, oldest first
    text: str | None = None  # what was said in the clip, as it was given, read or heard
    spoken: Spoken | None = None  # its sentences, and where they come from, where it was not simply given
    dialogue: Dialogue = ()  # the turns before it, likewise
    start_s: float = 0.0  # where in the file the clip begins
    not_trained: tuple[str, ...] = ()  # tasks that were not asked, as the model was not trained on them
    explanation: Explanation | None = None  # what changes without each modality, if it was asked for
    people: tuple[PersonAnalysis, ...] | None = (
        None  # answers for each person; None where people were not looked for
    )
    face_detector: str | None = None  # what found them

    def __repr__(self) -> str:
        """One line: the clip, and what each task was answered."""
        answers = "; ".join(f"{name}: {_cut(result.answer, 60)}" for name, result in self.tasks.items())
        codes = ", ".join(warning.code for warning in self.warnings)
        warned = f"; warnings: {codes}" if codes else ""
        return f"Analysis({self.clip.path!r}, model {self.model!r}; {answers}{warned})"

    def __getitem__(self, task: str) -> TaskResult:
        return self.tasks[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def text_source(self) -> TextSource | None:
        """Where the text comes from: given, read from subtitles, or heard by a model; None where nothing was asked."""
        if self.spoken is not None:
            return self.spoken.source
        return TextSource("given") if self.text else None

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` writes."""
        source = self.text_source
        entries: dict[str, Any] = {
            "clip": self.clip.path,
            "model": self.model,
            "provenance": list(self.provenance),
            "modalities": self.modalities,
            "text": self.text,
            "text_source": None if source is None else source._asdict(),
            "sentences": [asdict(sentence) for sentence in self.spoken or ()],
            "tasks": {name: result.to_dict() for name, result in self.tasks.items()},
            "not_trained": list(self.not_trained),
            "experts": None if self.experts is None else list(self.experts),
            "warnings": [warning._asdict() for warning in self.warnings],
            "timing_s": self.timing_s,
            **({} if self.explanation is None else {"explanation": self.explanation.to_dict()}),
        }
        if self.people is not None:
            entries["face_detector"] = self.face_detector
            entries["people"] = [each.to_dict() for each in self.people]
        return entries

    def forms(self) -> Mapping[str, Callable[[], str]]:
        """Ending of a file -> the function that makes its text: JSON, or the page that `--html` writes."""
        return {**super().forms(), ".html": self._page}

    def _page(self) -> str:
        from nanoemox.inference.page import render_report

        return render_report(self)


@dataclass(frozen=True, repr=False)
class Request(ShortRepr):
    """What is asked about one clip: its media (or its frozen features [T or C, D] by name) and its words."""

    source: Clip | Mapping[str, Tensor]
    text: str | None = None
    dialogue: Dialogue | None = None
    tasks: str | Sequence[str] | None = None  # None: all that the model was trained on
    candidates: Mapping[str, str | Sequence[str]] = field(
        default_factory=dict
    )  # task -> labels to choose from
    modalities: str | Collection[str] | None = (
        None  # use only these of "video", "audio", "text", whatever there is
    )
    max_new_tokens: int | None = None  # where every answer is cut; None: EmotionAnalyzer.answer_limit
    sampling: Sampling | None = None  # None: greedy, the likeliest token each time
    write: bool = True  # False: no token of an answer to a closed question is written one by one
    no_text: str = "no words were given"  # why there is no text, where there is none
    spoken: Spoken | None = None  # the sentences of the text, where it was read or heard

    def __post_init__(self) -> None:
        """A bare name is a list of one, and what is no dialogue is refused."""
        object.__setattr__(self, "tasks", one_or_more(self.tasks))
        object.__setattr__(self, "modalities", one_or_more(self.modalities))
        object.__setattr__(self, "candidates", labels_by_task(self.candidates))
        if isinstance(self.dialogue, str | Mapping):
            raise ArgumentError(
                'dialogue: expected earlier turns, such as [{"role": "user", "text": "Hello."}], got '
                f"{self.dialogue!r:.60}"
            )


@dataclass(frozen=True, repr=False)
class Answers(ShortRepr):
    """The answers to one `Request`."""

    tasks: dict[str, TaskResult]
    modalities: dict[str, str]
    experts: tuple[float, ...] | None
    warnings: tuple[CodedWarning, ...]
    timing_s: dict[str, float]  # seconds that the stages of the whole batch took
