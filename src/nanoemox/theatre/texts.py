"""Texts of the training split, to train a tokenizer on: lines, dialogues, questions and answers."""

from __future__ import annotations

import random
from collections.abc import Iterator

from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS, closed_tasks
from nanoemox.theatre import words
from nanoemox.theatre.script import stage_script


def theatre_texts(scripts: int, seed: int) -> Iterator[str]:
    """Lines, dialogues, questions and answers of the training split."""
    for task in TASKS.values():
        for _ in range(20):
            yield task.question()
    for index in range(scripts):
        script = stage_script(index, seed, "train")
        labels = Labels(**script.record()["labels"])
        rng = random.Random(f"{seed}/{index}")
        yield from (script.text, *(text for _, text in script.dialogue), *script.describe(rng).values())
        yield from (answer for task in TASKS.values() if (answer := task.target(labels)))
        yield from (task.answer_for(label) for task in closed_tasks().values() for label in task.defaults)
    yield from ("user: assistant: Before: Words: Voice: Face: Scene: Together:" for _ in range(50))
    yield from words.GOALS.values()
