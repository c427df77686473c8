"""Answers as people and models write them: what is thought, denied or a bound of a scale is not the answer."""

from __future__ import annotations

import pytest

from nanoemox.tasks.closed import EMOTION
from nanoemox.tasks.model_output import unwrapped
from nanoemox.tasks.open_vocabulary import OPEN_VOCABULARY
from nanoemox.tasks.sentiment import SENTIMENT
from nanoemox.tasks.task import TASKS
from tests.adversarial import answers


@pytest.mark.parametrize("case", answers.WRAPPED)
def test_an_answer_is_read_out_of_its_wrappers(case: str) -> None:
    text = answers.WRAPPED[case]
    reading = EMOTION.read(text)
    assert (reading.answer.label, reading.faults) == ("anger", ())
    assert OPEN_VOCABULARY.parse(text).labels in (("anger",), ("Anger",))
    assert reading.answer.text == text.strip()  # what was written stays


@pytest.mark.parametrize("text", answers.ONLY_THOUGHTS)
def test_thoughts_are_no_answer(text: str) -> None:
    for name in ("emotion", "open_vocabulary", "sentiment", "intent"):
        answer = TASKS[name].parse(text)
        assert (answer.label, answer.labels, answer.polarity) == (None, (), None), name
    assert TASKS["reasoning"].parse("<think>Face: a frown. This points to anger.").label is None
    assert TASKS["empathy"].parse(text).reply is None


@pytest.mark.parametrize(("text", "label"), answers.SENTENCES)
def test_a_denied_label_is_no_label(text: str, label: str | None) -> None:
    answer = EMOTION.parse(text)
    if label is None:
        assert answer.label not in EMOTION.defaults
        assert [warning.code for warning in answer.warnings] == ["denied_label"]
        assert EMOTION.read(text).answer.labels == ()
    else:
        assert (answer.label, answer.warnings) == (label, ())


@pytest.mark.parametrize(
    ("code", "text", "label"),
    [
        *(("supposed_label", *case) for case in answers.SUPPOSITIONS),
        *(("denied_label", *case) for case in answers.PRETENCES),
    ],
)
def test_a_label_that_is_supposed_or_played_is_no_label(code: str, text: str, label: str | None) -> None:
    answer = EMOTION.parse(text)
    if label is None:
        assert answer.label not in EMOTION.defaults
        assert [warning.code for warning in answer.warnings] == [code]
        assert EMOTION.read(text).faults
    else:
        assert (answer.label, answer.warnings) == (label, ())


@pytest.mark.parametrize(
    ("text", "polarity"),
    [
        ("might be positive", None),
        ("She pretends that all is positive", None),
        ("perhaps positive, but rather negative", "negative"),
        ("不是很确定，可能是积极的", None),
        ("not positive", None),
        ("hardly positive", None),
        ("不是积极的", None),
        ("She denies that it is negative.", None),
        ("not positive, but neutral", "neutral"),
        ("neither positive nor negative", "neutral"),
        ("positive, not negative", "positive"),
        ("Not negative at all; rather neutral.", "neutral"),
        ("情感是积极的", "positive"),
        ("POS", "positive"),
        ("neg", "negative"),
    ],
)
def test_a_denied_polarity_is_no_polarity(text: str, polarity: str | None) -> None:
    answer = SENTIMENT.parse(text)
    assert answer.polarity == polarity
    assert bool(answer.warnings) == (polarity is None)
    assert bool(SENTIMENT.read(text).faults) == (polarity is None)


@pytest.mark.parametrize("text", answers.SPELLINGS)
def test_other_spellings_stand_for_a_candidate(text: str) -> None:
    label = answers.SPELLINGS[text]
    reading = EMOTION.read(text)
    assert (reading.answer.label, reading.faults) == (label, ())
    if not text.startswith("<|zh"):
        truth = EMOTION.label_from(text)
        assert truth is not None and EMOTION.true_class(truth) == label


@pytest.mark.parametrize("text", answers.OF_NO_LABEL)
def test_a_label_outside_the_list_is_listed(text: str) -> None:
    reading = EMOTION.read(text)
    assert reading.answer.label not in EMOTION.defaults
    assert [fault.kind for fault in reading.faults] == ["label outside the list"]


@pytest.mark.parametrize(("text", "number"), answers.NUMBERS)
def test_the_number_of_an_answer_is_no_bound_of_its_scale(text: str, number: float | None) -> None:
    assert SENTIMENT.parse(text).valence == number


@pytest.mark.parametrize(("text", "labels"), answers.LISTS)
def test_lists_are_split_in_any_script_and_without_what_they_deny(text: str, labels: tuple[str, ...]) -> None:
    assert OPEN_VOCABULARY.parse(text).labels == labels
    assert OPEN_VOCABULARY.read(text).answer.labels == labels


def test_a_chain_of_thoughts_keeps_its_links_and_its_reply_is_unwrapped() -> None:
    empathy = TASKS["empathy"]
    chain = "Secondly, the emotion of the speaker is fear\nFourthly, the goal to response is comfort\n"
    answer = empathy.parse(f"<think>\n{chain}</think>\n<answer>I am here.</answer>")
    assert (answer.reply, answer.thinking["emotion"]) == ("I am here.", "fear")
    assert empathy.wrappers(answer.text) == ("answer tag",)  # its thoughts are asked for


def test_plain_answers_are_left_alone() -> None:
    for text in ("The most likely label is anger.", "a < b and b > c", "[sad, calm]", "x" * 10_000, ""):
        assert unwrapped(text) == (text, ())


def test_reasons_that_point_to_no_emotion_name_none() -> None:
    reasoning = TASKS["reasoning"]
    assert reasoning.parse("Face: a smile. This does not point to anger.").label is None
    assert reasoning.parse("Face: a smile. This points to no anger.").label is None
    assert reasoning.parse("Face: a smile. This might point to anger.").label is None
    assert reasoning.parse("It does not point to anger. It points to joy.").label == "joy"
    assert reasoning.parse("<think>It points to anger.</think>It points to joy.").label == "joy"
