"""Emotion words in free text, by rule: which are named, which are denied.

A word counts unless a denial stands before it in the same clause ("not angry", "without any trace of fear",
"rather than sad"). "Not only angry but hurt" denies nothing. Words with another common sense (the content of
a subtitle) are not read as emotions in running text. A word is ascribed where the words before it say that somebody
is so ("is quite angry", "a sense of deep fear"), which a heap of words does not. No model, no randomness.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from nanoemox.metrics import emotion_lexicon

REACH = 4  # words that a denial reaches ahead, within its clause
_TOKEN = re.compile(r"[\w-]+(?:['’]\w+)?|[.;:!?,()\n]|[。，；！？]")
_BREAK = set(".;:!?()\n。；！？,，") | {"but", "however", "although", "though", "yet", "while", "whereas"}
_DENIALS = {
    "not",
    "no",
    "never",
    "without",
    "neither",
    "nor",
    "hardly",
    "barely",
    "cannot",
    "lacks",
    "lacking",
}
_PHRASES = {
    ("rather", "than"),
    ("instead", "of"),
    ("free", "of"),
    ("lack", "of"),
    ("devoid", "of"),
    ("absence", "of"),
}
# What ascribes: forms of verbs by their beginning, and small words; and what may stand between it and the emotion.
_VERBS = (
    "appear", "becom", "convey", "display", "express", "feel", "indicat", "look", "reflect", "reveal", "seem",
    "show", "sound", "suggest",
)  # fmt: skip
_LINKS = {
    "is", "are", "was", "were", "be", "been", "being", "felt", "of", "with", "in", "as", "sense", "mood", "state",
    "emotion", "emotions", "tone",
}  # fmt: skip
_BETWEEN = {
    "a", "an", "the", "his", "her", "their", "very", "quite", "somewhat", "slightly", "bit", "little", "more", "so",
    "extremely", "deep", "some", "certain", "mild", "and", "or", ",",
}  # fmt: skip
_OTHER_SENSES = {
    "attention", "care", "content", "cross", "exciting", "interest", "interesting", "longing", "neutrality",
    "pain", "peace", "reserve", "self-assured", "sorrys", "tender", "tension",
}  # fmt: skip


class Mention(NamedTuple):
    """A word of the lexicon as it stands in a text."""

    word: str
    group: str
    denied: bool
    ascribed: bool  # whether the words before it say that somebody is so


@lru_cache(maxsize=100_000)
def _group(word: str) -> str | None:
    return None if word in _OTHER_SENSES else emotion_lexicon.group(word)


def _denies(token: str) -> bool:
    return token in _DENIALS or token.endswith("n't")


def _links(token: str) -> bool:
    return token in _LINKS or token.startswith(_VERBS) or token.endswith(("'s", "'re", "n't"))


def mentions(text: str) -> list[Mention]:
    """Every emotion word of a text in order, with whether it is denied."""
    found: list[Mention] = []
    ascribed_at: set[int] = set()
    tokens = [token.casefold().replace("’", "'") for token in _TOKEN.findall(text)]
    denied_until = -1
    for i, token in enumerate(tokens):
        following = tokens[i + 1] if i + 1 < len(tokens) else ""
        if token in _BREAK:
            # A list goes on over commas: "not angry, sad or afraid" denies all three.
            if token not in (",", "，") or not (found and found[-1].denied and _group(following)):
                denied_until = -1
            continue
        if _denies(token):
            if following not in ("only", "just", "merely"):
                denied_until = i + REACH
            continue
        if (token, following) in _PHRASES:
            denied_until = i + 1 + REACH
            continue
        group = _group(token)
        if group:
            denied = i <= denied_until
            before = i - 1
            while before >= 0 and tokens[before] in _BETWEEN | _DENIALS:
                before -= 1
            if before >= 0 and (before in ascribed_at or _links(tokens[before])):
                ascribed_at.add(i)
            found.append(Mention(token, group, denied, i in ascribed_at))
            if denied:
                denied_until = max(denied_until, i + 3)  # "neither angry nor really sad"
    return found


def emotions(text: str) -> tuple[str, ...]:
    """The emotion words that a text affirms, each group once, in order of first mention."""
    seen: dict[str, str] = {}
    for mention in mentions(text):
        if not mention.denied:
            seen.setdefault(mention.group, mention.word)
    return tuple(seen.values())
