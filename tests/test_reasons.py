"""Agreement of reasons: the same in other words scores high; shuffled, denied and cut answers lower."""

from __future__ import annotations

import pytest

from nanoemox.reasons import agreement, clues

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
        assert agreement(TRUTH, other).both < whole.both, other


@pytest.mark.parametrize("text", ["", "no face here", "🙂" * 50, "," * 1000])
def test_any_text_has_a_score(text: str) -> None:
    assert 0 <= agreement(TRUTH, text).both <= 1
    assert 0 <= agreement(text, TRUTH).both <= 1
