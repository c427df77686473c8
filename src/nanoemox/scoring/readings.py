"""What reading did to answers and labels, for the reports: labels that were mapped, wrappers that were taken off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypedDict

from nanoemox.tasks.base import Task
from nanoemox.tasks.labels import Labels


class Renamed(TypedDict):
    """A label that counts as another one, and how often that was so."""

    counts_as: str
    n: int


def renamed(pairs: Iterable[tuple[str, str] | None]) -> dict[str, Renamed]:
    """Labels as they are spelt -> what they count as, the most frequent first."""
    counts = Counter(pair for pair in pairs if pair is not None)
    return {spelt: {"counts_as": label, "n": n} for (spelt, label), n in counts.most_common()}


def renamed_truth(task: Task[Any], labels: Mapping[str, Labels]) -> dict[str, Renamed]:
    """The labels of the truth that count as another spelling."""
    own = (task.label(known) for known in labels.values())
    return renamed(task.renamed(label) for label in own if label is not None)


def wrappers(found: Iterable[Iterable[str]]) -> dict[str, int]:
    """How many answers came in which wrapper."""
    return dict(Counter(wrapper for each in found for wrapper in each))
