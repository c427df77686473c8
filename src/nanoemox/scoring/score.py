"""Predictions against a manifest's labels: the figures of each task, and of trivial answers to compare with.

What the figures of a task are, the task itself says (`tasks/`). Whatever has no answer (a broken clip, a label that
cannot be read) counts as wrong: nothing is dropped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nanoemox.data.schema import Prediction
from nanoemox.files.errors import ArgumentError
from nanoemox.tasks.base import Case, Figures, L, Sample, Task
from nanoemox.tasks.grammar import NO_ANSWER, Answer
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS


@dataclass(frozen=True, repr=False)
class Scores(Mapping[str, Figures]):
    """Task -> the name of a figure -> the figure, with its interval and the number of clips behind it."""

    tasks: dict[str, Figures] = field(default_factory=dict)

    def __repr__(self) -> str:
        """One line: the figure that stands for each task."""
        heads = (f"{task}.{TASKS[task].headline}={self.headline(task)}" for task in self.tasks)
        return f"Scores({', '.join(heads)})"

    def __getitem__(self, task: str) -> Figures:
        return self.tasks[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def value(self, task: str, figure: str) -> float | None:
        """The value of one figure; None where it is not defined or not there."""
        found = self.tasks.get(task, {}).get(figure)
        return found["value"] if found else None

    def headline(self, task: str) -> float | None:
        """The value of the figure that stands for a task."""
        return self.value(task, TASKS[task].headline)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {task: {name: dict(figure) for name, figure in row.items()} for task, row in self.items()}


def score(
    labels: Mapping[str, Labels],
    predictions: Iterable[Prediction],
    speakers: Mapping[str, str] | None = None,
    tasks: Sequence[str] | None = None,
    seed: int = 0,
) -> Scores:
    """The figures of each task.

    Args:
        labels: Clip id -> labels.
        predictions: At most one for each clip and task, in any order.
        speakers: Clip id -> who speaks, for intervals over speakers; a clip without one stands alone.
        tasks: Which tasks to score; None, all that have both labels and predictions.
        seed: The seed of the intervals.

    Returns:
        The figures by task.

    Raises:
        ArgumentError: A prediction occurs twice.
    """
    answers = by_clip(predictions)
    answered = frozenset(task for mine in answers.values() for task in mine)
    scores: dict[str, Figures] = {}
    for name in tasks or [task for task in TASKS if task in answered]:
        found = sample(TASKS[name], labels, answers, speakers, seed)
        if found.cases:
            scores[name] = TASKS[name].score(found)
    return Scores(scores)


def by_clip(predictions: Iterable[Prediction]) -> dict[str, dict[str, Prediction]]:
    """Clip id -> task -> the prediction, each at most once."""
    found: dict[str, dict[str, Prediction]] = defaultdict(dict)
    for prediction in predictions:
        if prediction.task in found[prediction.id]:
            raise ArgumentError(
                f"prediction {prediction.id!r}, {prediction.task}: expected once, but it occurs again; remove one"
            )
        found[prediction.id][prediction.task] = prediction
    return found


def sample(
    task: Task[L],
    labels: Mapping[str, Labels],
    answers: Mapping[str, Mapping[str, Prediction]],
    speakers: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Sample[L]:
    """The clips that have a label for a task, with their answers.

    Args:
        task: The task that is to be scored.
        labels: Clip id -> labels.
        answers: Clip id -> task -> the prediction.
        speakers: Clip id -> who speaks.
        seed: The seed of the intervals.

    Returns:
        The sample, in the order of `labels`.
    """
    cases = []
    for clip, known in labels.items():
        label = task.label(known)
        if label is None or not task.has_label(known):
            continue
        mine = answers.get(clip, {})
        answer = mine.get(task.name)
        cases.append(
            Case(
                clip=clip,
                speaker=(speakers or {}).get(clip) or clip,
                label=label,
                labels=known,
                answer=NO_ANSWER if answer is None else answer,
                answers=mine,
                answered=answer is not None,
                failed=answer is not None and answer.error is not None,
            )
        )
    return Sample(cases, frozenset(name for mine in answers.values() for name in mine), seed)


def majority(train: Sequence[Labels], tasks: Sequence[str]) -> dict[str, Answer]:
    """The best constant answer to each task, as seen in the labels of `train`."""
    known = {name for name in tasks if any(TASKS[name].has_label(labels) for labels in train)}
    return {name: TASKS[name].majority(train) for name in tasks if name in known}


def constant_predictions(clips: Iterable[str], answers: Mapping[str, Answer]) -> list[Prediction]:
    """The same answers for every clip."""
    return [Prediction.of(clip, task, answer) for clip in clips for task, answer in answers.items()]
