"""The tasks by name, in the order of the levels: perception, understanding, interaction.

Tags and the grammar of the answers are those of the official Nano-EmoX; the wording of the questions is ours and
short, as a small model reads them. A task is added here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
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
