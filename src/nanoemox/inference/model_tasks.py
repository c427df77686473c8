"""What one model is asked: all of our tasks as they are, or those that its folder names, in the words that it knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nanoemox.files.errors import ArgumentError
from nanoemox.files.listed import one_or_more
from nanoemox.media.clip import CodedWarning
from nanoemox.tasks.base import Task
from nanoemox.tasks.closed import ClosedTask
from nanoemox.tasks.task import TASKS, select


@dataclass(frozen=True)
class ModelTasks:
    """The tasks of a model.

    Attributes:
        own: As `ClipProcessor.own_tasks` has them; None for a model that was trained on all of our tasks.
        temperatures: Task -> what the log-likelihoods of its labels are divided by.
    """

    own: Mapping[str, Mapping[str, Any]] | None = None
    temperatures: Mapping[str, float] = field(default_factory=dict)

    @property
    def trained(self) -> list[str]:
        """The tasks that the model was trained on."""
        if self.own is None:
            return list(TASKS)
        return [name for name in TASKS if self.own.get(name, {}).get("trained")]

    def chosen(self, tasks: str | Sequence[str] | None, untrained: bool = False) -> list[str]:
        """The tasks to ask.

        Args:
            tasks: Names of tasks; None, all that the model was trained on.
            untrained: Ask what it was not trained on, too.

        Returns:
            Their names, in our order.

        Raises:
            ArgumentError: If a task is unknown, or the model was not trained on it.
        """
        names = [task.name for task in select(tasks)]
        known = self.trained
        if untrained:
            return names
        if one_or_more(tasks) is None:
            return known
        if foreign := [name for name in names if name not in known]:
            raise ArgumentError(
                f"{', '.join(foreign)}: not trained (expected one of {', '.join(known)}, on which this model was "
                "trained); ask these, or force it with --untrained (in Python, untrained=True)"
            )
        return names

    def left_out(self, asked: Sequence[str]) -> tuple[str, ...]:
        """The tasks that are not asked because the model was not trained on them."""
        return tuple(name for name in TASKS if name not in asked and name not in self.trained)

    def warning(self, asked: Sequence[str]) -> CodedWarning | None:
        """What the reader of a result has to know about the tasks that it lacks."""
        if not (names := self.left_out(asked)):
            return None
        return CodedWarning("not_trained", f"not trained, so not asked: {', '.join(names)}")

    def warnings_of(self, task: Task[Any]) -> tuple[CodedWarning, ...]:
        """The same about a task that was asked all the same."""
        if task.name in self.trained:
            return ()
        return (CodedWarning("not_trained", "not trained: this model has not learnt to answer it"),)

    def question(self, task: Task[Any], candidates: Sequence[str] | None) -> str:
        """The question, in the words that the model knows."""
        own = (self.own or {}).get(task.name)
        return task.question(candidates) if own is None else str(own["question"])

    def by_likelihood(self, task: Task[Any]) -> bool:
        """Whether the answer is nothing but the likeliest label, since the model would write another sentence."""
        return "answer" in (self.own or {}).get(task.name, {})

    def answers(self, task: ClosedTask[Any], labels: Sequence[str]) -> list[str]:
        """What the model would write for each label."""
        if not self.by_likelihood(task):
            return [task.answer_for(label, labels) for label in labels]
        frame = str((self.own or {})[task.name]["answer"])
        return [frame.replace("{label}", label) for label in labels]

    @staticmethod
    def writes(tasks: Sequence[str], write: bool | None) -> bool:
        """Whether answers to closed questions are written to their end; None, beside those to open ones only."""
        return not all(isinstance(TASKS[name], ClosedTask) for name in tasks) if write is None else write

    def temperature(self, task: Task[Any]) -> float:
        """What the log-likelihoods of a task's labels are divided by."""
        return float(self.temperatures.get(task.name, 1.0))
