"""What `nanoemox analyze` is asked beside the clip: the labels to choose from, and the dialogue before it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

import typer

from nanoemox.files.errors import ArgumentError

DialogueOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE_OR_TEXT",
        help="What was said before the clip: a .json, .jsonl or .txt file, or a text with one turn a line, such as "
        "'assistant: What happened?'. The person in the clip is the `user`; repeat the option for more turns.",
    ),
]
CandidatesOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[TASK=]A,B,C",
        help="Choose between these labels instead of the usual ones. Name the task if several are asked, such as "
        "emotion=calm,tense; repeat the option for several tasks.",
    ),
]


def read_turns(values: Sequence[str] | None) -> list[dict[str, str]] | None:
    """The turns of all `--dialogue` options, in their order."""
    if not values:
        return None
    from nanoemox.inference.dialogue import read_dialogue

    return [turn for value in values for turn in read_dialogue(value)]


def candidates_of(values: Sequence[str] | None, tasks: Sequence[str] | None) -> dict[str, list[str]]:
    """Task -> the labels to choose from, as the `--candidates` options say.

    Args:
        values: Lists of labels, with the name of their task and "=" before them where that is needed.
        tasks: The names of the tasks that are asked; None, all of them.

    Returns:
        The labels by task, as they can be offered.

    Raises:
        ArgumentError: If a list has no task, or a task two lists, or no task could choose from a list.
    """
    from nanoemox.tasks.task import check_candidates, closed_tasks

    closed = list(closed_tasks())
    found: dict[str, list[str]] = {}
    for value in values or ():
        name, equals, listed = value.partition("=")
        if not equals:
            meant = [task for task in tasks or closed if task in closed]
            if len(meant) != 1:
                raise ArgumentError(
                    f"--candidates {value}: expected the task in front, such as {(meant or closed)[0]}={value}, "
                    f"or one --task of {', '.join(closed)}"
                )
            name, listed = meant[0], value
        if name in found:
            raise ArgumentError(
                f"--candidates {value}: {name} has its labels already; give one list for a task"
            )
        found[name] = [label.strip() for label in re.split("[,，、;；|]", listed)]
    check_candidates(found, tasks)
    return found
