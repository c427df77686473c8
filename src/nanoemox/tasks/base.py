"""What every task is: texts from a YAML file, and the methods by which it is asked, read, scored and shown.

A new task is one subclass of `Task` (or of `closed.ClosedTask`, if one of a list of labels is asked for), one YAML
file with its texts, and one entry in `task.TASKS`. Nothing else in the package knows a task by its name.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar, cast

import yaml
from pydantic import BaseModel, ConfigDict

from nanoemox.files.errors import ArgumentError
from nanoemox.files.short_repr import ShortRepr
from nanoemox.metrics import bootstrap
from nanoemox.metrics.bootstrap import Figure
from nanoemox.metrics.word_lists import WordLists
from nanoemox.tasks import model_output
from nanoemox.tasks.grammar import FREE_TEXT, Answer, Fault, Reading

if TYPE_CHECKING:
    from nanoemox.tasks.labels import Labels

Figures = dict[str, Figure]
# How the page of an analysis shows an answer.
PagePart = Literal["bars", "gauge", "words", "reasons", "reply", "text"]
OfficialFigures = dict[str, float | None]  # as fractions; None where the official code gives NaN
TEXTS = resources.files("nanoemox") / "tasks"  # where the YAML files of our own tasks lie
# Columns in which systems write a label; the text of an answer has columns of its own (scoring/prediction_files).
LABEL_COLUMNS = (
    "pred_label", "pred_labels", "prediction", "pred", "label", "labels", "openset", "emotion", "intent",
)  # fmt: skip
TEXT_KEYS = (
    "answer",
    "final_answer",
    "response",
    "reply",
    "output",
    "text",
    "reasoning",
    "reason",
    "description",
)
# Keys of a JSON object, in the order in which the answer is looked for.
LABEL_KEYS = (
    *LABEL_COLUMNS,
    "emotions",
    "sentiment",
    "polarity",
    "valence",
    "answer",
    "final_answer",
    "result",
    "output",
)


class Label(BaseModel):
    """What a manifest's line knows for one task: known keys only, numbers that are numbers, never changed."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


L = TypeVar("L", bound=Label)


@dataclass(frozen=True)
class Case(Generic[L]):
    """One clip that a task is scored on.

    Attributes:
        clip: The id of the clip.
        speaker: Who speaks in it, else its id.
        label: The clip's label for this task.
        labels: All that is known about the clip.
        answer: The answer to this task, empty where there is none.
        answers: The clip's answers to every task, by name.
        answered: Whether there is an answer to this task.
        failed: Whether there is only an error in its place.
    """

    clip: str
    speaker: str
    label: L
    labels: Labels
    answer: Answer
    answers: Mapping[str, Answer]
    answered: bool = True
    failed: bool = False


@dataclass(frozen=True, repr=False)
class Sample(ShortRepr, Generic[L]):
    """The clips that a task is scored on.

    Attributes:
        cases: The clips.
        answered: The tasks that any clip at all has an answer to.
        seed: The seed of the intervals.
    """

    cases: Sequence[Case[L]]
    answered: frozenset[str] = frozenset()
    seed: int = 0

    @property
    def speakers(self) -> list[str]:
        """Who speaks in each clip: intervals draw whole speakers."""
        return [case.speaker for case in self.cases]

    def where(self, keep: Callable[[Case[L]], bool]) -> Sample[L]:
        """The part of the sample that a condition holds for."""
        return Sample([case for case in self.cases if keep(case)], self.answered, self.seed)

    def mean(self, value: Callable[[Case[L]], float]) -> Figure:
        """Mean of one number a clip, with its interval."""
        return bootstrap.mean([float(value(case)) for case in self.cases], self.speakers, self.seed)


@dataclass(frozen=True, kw_only=True)
class Task(ABC, Generic[L]):
    """One task. The fields are what its YAML file says; a subclass adds what it does with them."""

    name: str
    title: str
    version: int
    level: str  # perception, understanding or interaction
    tag: str
    question_text: str
    answer: str  # the sentence to answer with
    max_new_tokens: int  # where an answer is cut, unless the model or the user sets another limit

    form: ClassVar[type[Label]]  # of this task's entry in a manifest's `labels`
    headline: ClassVar[str]  # the figure that stands for the task where there is room for one
    card_figures: ClassVar[tuple[str, ...]] = ()  # figures of a model's card
    watched_figures: ClassVar[
        tuple[str, ...]
    ] = ()  # training warns unless they are above the majority answer's
    ceilings: ClassVar[
        Mapping[str, str]
    ] = {}  # figure -> the ceiling of Affect Theatre that it cannot exceed
    compared_by: ClassVar[str]  # what `clip_score` measures, in words
    page_part: ClassVar[PagePart] = "text"
    page_heading: ClassVar[bool] = False  # whether the answer is the heading of an analysis' page
    server_help: ClassVar[Literal["judge", "labels"] | None] = (
        None  # what a server can do when files are scored
    )
    label_columns: ClassVar[tuple[str, ...]] = ()  # where files of other systems hold the label
    json_keys: ClassVar[tuple[str, ...]] = TEXT_KEYS  # where an answer in JSON holds what is asked for
    reads_thoughts: ClassVar[bool] = False  # whether a block of thoughts is part of the answer
    # Figure of the official scorer -> ours that answers the same question, and why the two may differ.
    official_pairs: ClassVar[Mapping[str, tuple[str, str]]] = {}

    @classmethod
    def from_yaml(cls, path: Path | Traversable) -> Self:
        """The task that a YAML file describes."""
        entry: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
        entry["question_text"] = entry.pop("question")
        if "candidates" in entry:
            entry["defaults"] = tuple(entry.pop("candidates"))
        return cls(**entry)

    # ------------------------------------------------------------ labels

    def label(self, labels: Labels) -> L | None:
        """This task's own entry among a clip's labels."""
        found = labels.get(self.name)
        return cast("L", found) if isinstance(found, self.form) else None

    def has_label(self, labels: Labels) -> bool:
        """Whether a clip can be scored on this task."""
        return self.label(labels) is not None

    def labels_of(self, train: Sequence[Labels]) -> list[L]:
        """The labels for this task, of the clips that have one."""
        found = (self.label(labels) for labels in train)
        return [label for label in found if label is not None]

    def candidates(self, labels: Labels | None = None) -> list[str] | None:
        """The labels to choose from: the clip's own, else the usual ones; None for an open question."""
        return None

    # ------------------------------------------------------------ asking and answering

    def question(self, candidates: Sequence[str] | None = None) -> str:
        """The question, opened by the task's tag; candidates are listed where they are not the usual ones."""
        return f"{self.tag} {self.question_text}".strip()

    @abstractmethod
    def target(self, labels: Labels, modalities: Collection[str] | None = None) -> str | None:
        """The answer to learn, or None where `labels` do not tell it.

        `modalities` (of "video", "audio", "text") restricts it to what the model can perceive.
        """

    @abstractmethod
    def parse(self, text: str, candidates: Sequence[str] | None = None) -> Answer:
        """Read an answer. Never fails: what cannot be read stays empty and is in `warnings`."""

    def body(self, text: str) -> str:
        """The answer in what a model wrote: without thoughts, and out of what it is wrapped in."""
        return model_output.unwrapped(text, self.json_keys).text

    def wrappers(self, text: str) -> tuple[str, ...]:
        """What an answer was wrapped in, for the report; thoughts are none where they are asked for."""
        found = model_output.unwrapped(text, self.json_keys).wrappers
        expected = {model_output.THOUGHTS} if self.reads_thoughts else set()
        return tuple(wrapper for wrapper in found if wrapper not in expected)

    def renamed(self, label: L) -> tuple[str, str] | None:
        """The label as the manifest spells it and the class that it is scored as, where they differ."""
        return None

    def renamed_answer(
        self, answer: Answer, candidates: Sequence[str] | None = None
    ) -> tuple[str, str] | None:
        """The label of an answer whose fields another system has filled in, and its class, where they differ."""
        return None

    def shown(self, answer: Answer) -> str:
        """The answer in the words that a person is shown."""
        return answer.text

    # ------------------------------------------------------------ scoring

    @abstractmethod
    def score(self, sample: Sample[L]) -> Figures:
        """The figures of a sample. A clip without an answer counts as wrong; names of figures are fixed."""

    @abstractmethod
    def majority(self, train: Sequence[Labels]) -> Answer:
        """The best constant answer, as seen in the labels of `train`, some of which are for this task."""

    @abstractmethod
    def clip_score(self, label: L, answer: Answer) -> float:
        """What one answer is worth when two systems are compared, from 0 to 1."""

    def from_words(self, answer: Answer) -> Answer:
        """This task's answer, as the words of an answer in open vocabulary tell it. Errors: ArgumentError."""
        raise ArgumentError(
            f"{self.name}: an answer in open vocabulary does not tell it; ask the task itself"
        )

    def route(self, answer: Answer) -> str:
        """By which rule an answer of ours, which is not empty, was read."""
        return FREE_TEXT

    # ------------------------------------------------------------ files of other systems

    def stated(self, row: Mapping[str, Any]) -> Any:
        """What a row of another system's file states as the label; None where only its text can be read."""
        return next((row[name] for name in self.label_columns if row.get(name) is not None), None)

    def read(self, text: str, candidates: Sequence[str] | None = None) -> Reading:
        """Read another system's answer, which is not empty."""
        answer = self.parse(text, candidates).model_copy(update={"warnings": ()})
        return Reading(answer, self.route(answer))

    def faults(self, answer: Answer, candidates: Sequence[str] | None = None) -> tuple[Fault, ...]:
        """What is missing or off the list in an answer whose fields another system has filled in itself."""
        return ()

    def label_from(self, text: str) -> L | None:
        """The truth from one cell of a table; None where it cannot be read."""
        return None

    def official(self, sample: Sample[L], words: WordLists | None) -> tuple[OfficialFigures, list[str]]:
        """The official scorer's figures of a sample, and what has to be known about them."""
        raise ArgumentError(f"{self.name}: the official code does not score this task; leave --mode out")

    def reference(self, label: L) -> str | None:
        """The text that a judge compares an answer with, for a task with server_help "judge"."""
        return None


def defined(figures: Mapping[str, float]) -> OfficialFigures:
    """Figures with None in place of NaN."""
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


def need_words(task: Task[Any], words: WordLists | None) -> WordLists:
    """The word lists, which an official figure cannot do without."""
    if words is None:
        raise ArgumentError(f"the official figures of {task.name} need word lists; give --tables DIR")
    return words
