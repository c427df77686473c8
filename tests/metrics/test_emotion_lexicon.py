"""The lexicon: every word in one group, variants found, polarities sensible."""

from __future__ import annotations

from collections import Counter

import pytest

from nanoemox.metrics import emotion_lexicon as wheel
from nanoemox.tasks.closed import EMOTION


def test_every_word_belongs_to_one_group() -> None:
    words = Counter(word for group in wheel.GROUPS for word in group.words)
    assert [word for word, n in words.items() if n > 1] == []
    assert all(wheel.group(word) == group.name for group in wheel.GROUPS for word in group.words)


def test_groups_use_known_emotions_and_polarities() -> None:
    assert {group.basic for group in wheel.GROUPS} == set(EMOTION.defaults)
    assert {group.polarity for group in wheel.GROUPS} == {"positive", "neutral", "negative"}


@pytest.mark.parametrize(
    ("word", "group"),
    [
        ("delighted", "joyful"),
        ("Happily", "happy"),
        ("happiness", "happy"),
        ("gloomily", "sad"),
        ("a very sad", "sad"),
        ("let down", "disappointed"),
        ("Fury.", "furious"),
        ("neutral", "calm"),
        ("bravely", "wistful"),
        ("banana", None),
        ("", None),
    ],
)
def test_words_and_their_variants_find_their_group(word: str, group: str | None) -> None:
    assert wheel.group(word) == group


def test_every_wheel_divides_the_groups_and_keeps_basic_emotions_apart() -> None:
    for i, name in enumerate(wheel.WHEELS):
        assert len({group.sectors[i] for group in wheel.GROUPS}) >= 7, name
        assert len({(wheel.sectors(label) or ())[i] for label in EMOTION.defaults}) == 7, name
    assert all(len(group.sectors) == len(wheel.WHEELS) for group in wheel.GROUPS)
    assert wheel.sectors("grateful") == ("happiness", "trust", "love", "powerful")
    assert wheel.sectors("banana") is None


def test_basic_labels_map_to_themselves() -> None:
    assert [wheel.basic_emotion(label) for label in EMOTION.defaults] == list(EMOTION.defaults)
    assert wheel.basic_emotion("livid") == "anger"
    assert wheel.basic_emotion("banana") is None


def test_every_inflection_is_listed_once_and_names_no_word_of_another_group() -> None:
    forms = [form for line in wheel._FORMS.strip().splitlines() for form in line.split(":")[1].split()]
    words = [word for group in wheel.GROUPS for word in group.words]
    assert [form for form, n in Counter(forms + words).items() if n > 1] == []


@pytest.mark.parametrize(
    ("labels", "polarity"),
    [
        (["furious", "reserved"], "negative"),
        (["sad", "caring"], "negative"),
        (["surprised", "grateful"], "neutral"),
        (["surprised", "happy", "excited"], "positive"),
        (["calm"], "neutral"),
        (["joyful", "unknownish"], "positive"),
        (["unknownish"], None),
        ([], None),
    ],
)
def test_polarity_of_a_list(labels: list[str], polarity: str | None) -> None:
    assert wheel.polarity_of_labels(labels) == polarity
