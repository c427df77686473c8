"""Choosing tasks by name, and the lists of labels that they may choose from."""

from __future__ import annotations

import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.tasks.numbers import number_in
from nanoemox.tasks.task import TASKS, check_candidates, closed_tasks


@pytest.mark.parametrize(
    ("candidates", "tasks", "told"),
    [
        ({"reasoning": ["a", "b"]}, None, "candidates of 'reasoning'"),
        ({"mood": ["a", "b"]}, None, "candidates of 'mood'"),
        ({"emotion": ["a", "b"]}, ["intent"], "the task is not asked"),
        ({"emotion": ["a"]}, None, "emotion"),
        ({"emotion": ["a", "a"]}, ["emotion"], "emotion"),
    ],
)
def test_lists_that_no_task_could_choose_from_are_refused(
    candidates: dict[str, list[str]], tasks: list[str] | None, told: str
) -> None:
    with pytest.raises(ArgumentError, match=told):
        check_candidates(candidates, tasks)


def test_lists_of_two_different_labels_are_taken() -> None:
    for name in closed_tasks():
        check_candidates({name: ["a", "b"]})
        check_candidates({name: ["a", "b"]}, [name])
    check_candidates({})


def test_a_number_behind_a_word_for_it_counts_also_at_the_beginning() -> None:
    """Two numbers of different signs say nothing, unless one of them is called the score."""
    assert number_in("score -1, before it was 2") == -1
    assert number_in("-1, before it was 2") is None
    assert number_in("-0.5, before it was 0.4") is None and number_in("0.5, before it was 0.4") == 0.5


def test_a_chinese_sentence_is_read_for_its_emotion_and_a_word_stays_as_it_is() -> None:
    read = TASKS["open_vocabulary"].parse
    assert read("开心，他非常生气").labels == ("开心", "生气")
    assert read("他非常生气").labels == ("生气",)
