"""The tasks by name, in the order of the levels: perception, understanding, interaction.

Tags and the grammar of the answers are those of the official Nano-EmoX; the wording of the questions is ours and
short, as a small model reads them. A task is added here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nanoemox.files.errors import ArgumentError
from nanoemox.files.listed import one_or_more
from nanoemox.tasks.base import Task
from nanoemox.tasks.closed import EMOTION, INTENT, ClosedTask
from nanoemox.tasks.empathy import EMPATHY
from nanoemox.tasks.open_vocabulary import OPEN_VOCABULARY
from nanoemox.tasks.reasoning import REASONING
from nanoemox.tasks.sentiment import SENTIMENT

TASKS: dict[str, Task[Any]] = {
    task.name: task for task in (SENTIMENT, EMOTION, OPEN_VOCABULARY, INTENT, REASONING, EMPATHY)
}


def closed_tasks() -> dict[str, ClosedTask[Any]]:
    """The tasks whose answer is one of a list of labels, by name."""
    return {name: task for name, task in TASKS.items() if isinstance(task, ClosedTask)}


def select(names: str | Sequence[str] | None) -> list[Task[Any]]:
    """The named tasks in canonical order (all of them for None); an unknown name raises and lists what exists."""
    names = one_or_more(names)
    if names is None:
        return list(TASKS.values())
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise ArgumentError(f"unknown task {', '.join(map(repr, unknown))}; tasks are: {', '.join(TASKS)}")
    if not names:
        raise ArgumentError(f"no task was named; tasks are: {', '.join(TASKS)}")
    return [task for name, task in TASKS.items() if name in names]


def check_candidates(candidates: Mapping[str, Sequence[str]], tasks: Sequence[str] | None = None) -> None:
    """Refuse lists of labels that no task could choose from.

    Args:
        candidates: Task -> the labels to choose from.
        tasks: The names of the tasks that are asked; None, all of them.

    Raises:
        ArgumentError: If a task is open, unknown or not asked, or a list has fewer than two different labels.
    """
    closed = closed_tasks()
    for name, labels in candidates.items():
        if name not in closed:
            raise ArgumentError(
                f"candidates of {name!r}: expected one of {', '.join(closed)}; leave them out"
            )
        if tasks is not None and name not in tasks:
            raise ArgumentError(
                f"candidates of {name}: the task is not asked; add it to the tasks, or leave them out"
            )
        if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
            raise ArgumentError(f"candidates of {name}: expected a list of labels, got {labels!r:.60}")
        different = {label.strip().casefold() for label in labels}
        if "" in different or len(different) < max(2, len(labels)):
            raise ArgumentError(
                f"candidates of {name}: expected two labels or more, each once and none empty, "
                f"got {', '.join(map(repr, labels)) or 'none'}"
            )
