"""Emotion words in free text, by rule: which are named, which are denied or only supposed (`denials`).

Words with another common sense (the content of a subtitle) are not read as emotions in running text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from nanoemox.metrics import emotion_lexicon
from nanoemox.metrics.denials import named
from nanoemox.metrics.label_names import FAMILY_IN_TEXT

_OTHER_SENSES = {
    "attention", "care", "content", "cross", "exciting", "interest", "interesting", "longing", "neutrality",
    "pain", "peace", "reserve", "self-assured", "sorrys", "tender", "tension",
}  # fmt: skip


class Mention(NamedTuple):
    """A word of the lexicon as it stands in a text."""

    word: str
    group: str
    denied: bool
    supposed: bool
    ascribed: bool  # whether the words before it say that somebody is so


@lru_cache(maxsize=100_000)
def _group(word: str) -> str | None:
    return None if word in _OTHER_SENSES else emotion_lexicon.group(word)


def _found(tokens: Sequence[str], i: int) -> tuple[str, int] | None:
    if i >= len(tokens):
        return None
    for size in (2, 3):  # Chinese words of the one mapping of labels
        family = FAMILY_IN_TEXT.get("".join(tokens[i : i + size])) if not tokens[i].isascii() else None
        if family and (group := emotion_lexicon.group(family)):
            return group, size
    group = _group(tokens[i])
    return (group, 1) if group else None


def mentions(text: str) -> list[Mention]:
    """Every emotion word of a text in order, with whether it is denied or only supposed."""
    return [Mention(*each) for each in named(text, _found)]


def emotions(text: str, supposed: bool = False) -> tuple[str, ...]:
    """The emotion words that a text affirms, or those that it only supposes: each group once, as first mentioned."""
    seen: dict[str, str] = {}
    for mention in mentions(text):
        if not mention.denied and mention.supposed == supposed:
            seen.setdefault(mention.group, mention.word)
    return tuple(seen.values())
