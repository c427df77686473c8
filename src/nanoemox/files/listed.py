"""Arguments that are lists of names: a single name is one item, never read letter by letter."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TypeVar, overload

from nanoemox.files.errors import ArgumentError

T = TypeVar("T")


@overload
def one_or_more(names: None) -> None: ...
@overload
def one_or_more(names: str) -> list[str]: ...
@overload
def one_or_more(names: Iterable[T]) -> list[T]: ...
def one_or_more(names: str | Iterable[T] | None) -> list[str] | list[T] | None:
    """A list of names; a bare name (text, or a path) is a list of one, and None stays None."""
    if names is None:
        return None
    return [names] if isinstance(names, str | os.PathLike) else list(names)


def labels_by_task(candidates: Mapping[str, str | Iterable[str]] | None) -> dict[str, list[str]]:
    """Task -> the labels to choose from. Errors: ArgumentError for anything but a mapping."""
    if candidates is None:
        return {}
    if not isinstance(candidates, Mapping):
        raise ArgumentError(
            'candidates: expected the labels to choose from by task, such as {"emotion": ["joy", "anger"]}, got '
            f"{candidates!r:.60}"
        )
    return {task: one_or_more(labels) for task, labels in candidates.items()}
