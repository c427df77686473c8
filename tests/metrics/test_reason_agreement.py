"""Agreement of reasons: the same in other words scores high; shuffled, denied and cut answers lower."""

from __future__ import annotations

import pytest

from nanoemox.metrics.emotion_mentions import mentions
from nanoemox.metrics.reason_agreement import agreement, clues

TRUTH = (
    "His brows were furrowed, his voice was loud and fast. He stared with wide eyes. He is angry and upset."
)
SAID = "The man has a furrowed brow and wide eyes. He speaks loudly. This suggests anger."


def test_the_same_clue_in_other_words() -> None:
    assert clues("a furrowed brow") == clues("Brows were furrowed.") == {("brow", "tight", False)}
    assert clues("his voice was not loud") == {("voice", "loud", True)}


def test_what_is_told_scores_above_what_is_not() -> None:
    whole = agreement(TRUTH, SAID)
    assert agreement(TRUTH, TRUTH) == (1.0, 1.0)
    assert whole.both > 0.4
    for other in (
        "She smiles with raised cheeks, her voice soft. She is happy.",
        "The man does not have a furrowed brow nor wide eyes. He never speaks loudly. This is not anger.",
        "The man has",
        "",
    ):
        assert (agreement(TRUTH, other).both or 0) < (whole.both or 0), other


def test_a_heap_of_the_same_words_scores_lower() -> None:
    said = "He feels a sense of deep anger and is not calm."
    heap = "anger He calm not is of sense and deep feels a."
    assert (agreement("He is angry.", heap).labels or 0) < (agreement("He is angry.", said).labels or 0)
    ascribed = [
        (m.word, m.ascribed) for m in mentions("Anger! He isn't sad, very worried or calm; joy came.")
    ]
    assert ascribed == [("anger", False), ("sad", True), ("worried", True), ("calm", True), ("joy", False)]


def test_what_the_truth_lacks_is_not_asked_for() -> None:
    assert agreement("He came home.", "She is angry.") == (None, None)
    assert agreement("He is angry.", "He is angry.") == (None, 1.0)
    assert agreement("He is angry.", "").both == 0


@pytest.mark.parametrize("text", ["", "no face here", "🙂" * 50, "," * 1000])
def test_any_text_has_a_score(text: str) -> None:
    assert 0 <= (agreement(TRUTH, text).both or 0) <= 1
    assert 0 <= (agreement(text, TRUTH).both or 0) <= 1
