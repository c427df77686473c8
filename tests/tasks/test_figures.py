"""Figures of tasks against numbers counted by hand, and what an answer's form is taken for."""

from __future__ import annotations

from typing import Any

import pytest

from nanoemox.data.schema import Prediction
from nanoemox.scoring.score import score
from nanoemox.tasks.empathy import EMPATHY
from nanoemox.tasks.grammar import Answer
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.sentiment import SENTIMENT

POLARITIES = ("negative", "neutral", "positive")


def _figures(task: str, pairs: list[tuple[dict[str, Any], Answer]]) -> dict[str, Any]:
    labels = {str(i): Labels(**known) for i, (known, _) in enumerate(pairs)}
    predictions = [Prediction.of(str(i), task, answer) for i, (_, answer) in enumerate(pairs)]
    return {name: figure["value"] for name, figure in score(labels, predictions, tasks=[task])[task].items()}


def _empathy(reply: str) -> tuple[dict[str, Any], Answer]:
    return {"empathy": {"emotion": "anger", "reply": "Oh."}}, Answer(reply=reply)


def test_dist_counts_distinct_words_and_pairs_of_each_reply() -> None:
    """a a b: 2 of 3 words, 2 of 2 pairs. a a a a: 1 of 4, 1 of 3. Over both: 2 distinct pairs of 5."""
    found = _figures("empathy", [_empathy("a a b"), _empathy("a a a a")])
    assert found["dist_1"] == pytest.approx((2 / 3 + 1 / 4) / 2)
    assert found["dist_2"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["dist_2_corpus"] == pytest.approx(2 / 5)
    assert found["reply_rate"] == 1
    assert _figures("empathy", [_empathy("a"), _empathy("")])["reply_rate"] == 0.5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<think>so it is", True),
        ("Firstly, the event scenario of this conversation is: a fall", True),
        ("I am here for you.", False),
    ],
)
def test_thoughts_without_an_end_are_told(text: str, told: bool) -> None:
    codes = [warning.code for warning in EMPATHY.parse(text).warnings]
    assert ("think_open" in codes) == told


@pytest.mark.parametrize(("valence", "polarity"), [(-0.4, "negative"), (0.0, "neutral"), (0.4, "positive")])
def test_the_sign_of_a_valence_is_its_polarity(valence: float, polarity: str) -> None:
    known = Labels(sentiment={"valence": valence})
    assert SENTIMENT.target(known) == SENTIMENT.target(Labels(sentiment={"polarity": polarity}))
    answers = {
        p: SENTIMENT.parse(SENTIMENT.target(Labels(sentiment={"polarity": p})) or "") for p in POLARITIES
    }
    for name, answer in answers.items():
        found = _figures("sentiment", [({"sentiment": {"valence": valence}}, answer)])
        assert found["accuracy"] == float(name == polarity)


def test_chances_of_polarities_make_a_score_between_minus_1_and_1() -> None:
    chances = {"negative": 0.1, "neutral": 0.3, "positive": 0.6}
    answer = SENTIMENT.likeliest(Answer(), chances)
    assert answer.score == pytest.approx(0.6 - 0.1) and answer.polarity == "positive"
    swapped = {"Negative": 0.7, "neutral": 0.1, "positive": 0.2}
    answer = SENTIMENT.likeliest(Answer(), swapped)
    assert answer.score == pytest.approx(0.2 - 0.7) and answer.polarity == "negative"


def test_the_emotion_of_reasons_is_scored_where_the_clip_has_one_and_answers_have_our_form() -> None:
    reasoning = {"text": "x", "cues": {"face": ["wide eyes"]}}
    clip = {"emotion": {"label": "fear"}, "reasoning": reasoning}
    right, wrong = Answer(label="fear", text="t"), Answer(label="anger", text="t")
    assert _figures("reasoning", [(clip, right), (clip, wrong)])["emotion_accuracy"] == 0.5
    assert "emotion_accuracy" not in _figures("reasoning", [({"reasoning": reasoning}, right)])
    free = Answer(text="they look afraid")
    assert "emotion_accuracy" not in _figures("reasoning", [(clip, free)])


def test_only_the_emotion_of_a_chain_has_a_hit_rate() -> None:
    """Hit: a word of the same group. Accuracy: the same word. The other links are compared as names alone."""
    chain = {"event": "a fall", "emotion": "anger", "cause": "the clock", "goal": "comfort", "reply": "Oh."}
    said = {"event": "a storm", "emotion": "furious", "cause": "the clock", "goal": "praise"}
    found = _figures("empathy", [({"empathy": chain}, Answer(thinking=said, reply="Oh."))])
    rates = {name: value for name, value in found.items() if not name.startswith(("dist", "reply"))}
    assert rates == {
        "event_accuracy": 0,
        "emotion_accuracy": 0,
        "emotion_hit_rate": 1,
        "cause_accuracy": 1,
        "goal_accuracy": 0,
    }
