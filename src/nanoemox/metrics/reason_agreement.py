"""How well a free-text reason agrees with a reference, without a judge: clues and labels, by rule.

Two parts, each in [0, 1], after the two questions of the published judge protocol. Clues: what a text says
of face, voice and posture, as (part, manner) pairs found near each other in one clause ("brows were
furrowed" and "a furrowed brow" are one pair), F1 of the pairs with half a credit where only the part
agrees. Labels: the emotion words it affirms, F1 over groups of the lexicon and over basic emotions,
averaged, once over all of them and once over those that the grammar ascribes to somebody. What is denied
counts as a different statement. Deterministic, offline, English; docs/scoring.md has what it can and
cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from nanoemox.metrics import emotion_lexicon
from nanoemox.metrics.emotion_mentions import mentions

# Part of a person -> beginnings of the words that name it.
_PARTS = {
    "brow": "brow eyebrow forehead frown",
    "eye": "eye eyes eyelid gaze glare stare staring stared tear tears weep crying cried",
    "mouth": "mouth lip lips smile smiling smiled grin grinning laugh laughing laughter pout teeth jaw",
    "face": "face facial expression cheek cheeks nose",
    "head": "head nod nodding neck chin",
    "body": "posture body shoulder shoulders hand hands arm arms gesture gestures finger fist leaning",
    "voice": "voice tone intonation pitch volume speech speaks speaking spoke speed shout shouting roar sigh sobbing",
}
# Manner -> beginnings of the words that tell it.
_MANNERS = {
    "up": "raise upturn upward lift curl smile smiling grin laugh curved",
    "down": "down lower droop bow sag sunk",
    "tight": "furrow frown wrinkle knit tight press clench purse tense stiff",
    "wide": "wide widen open enlarge bulg stare staring glare",
    "closed": "close shut narrow squint",
    "wet": "tear cry weep sob chok",
    "loud": "loud high shout roar yell strong force excited heavy sharp harsh aggressive passionate agitated",
    "soft": "soft low quiet gentle calm whisper weak light flat steady stable even sigh",
    "fast": "fast quick rapid hurried urgent",
    "slow": "slow pause hesitat drawn",
    "shaky": "trembl quiver shak waver breath",
    "away": "avert away aside avoid",
    "moving": "wave point nod swing clap thrust",
}
REACH = 5  # words between a part and its manner
_CLAUSE = re.compile(r"[.;:!?,()\n]|\b(?:and|while|with|but|as)\b")
_WORD = re.compile(r"[a-z]+(?:'t)?")
_DENY = {"not", "no", "never", "without", "hardly", "nor", "neither"}


class Agreement(NamedTuple):
    """Agreement of one text with its reference; None where the reference names no clue (no label)."""

    clues: float | None
    labels: float | None

    @property
    def both(self) -> float | None:
        known = [part for part in self if part is not None]
        return sum(known) / len(known) if known else None


Clue = tuple[str, str, bool]  # part, manner ("" where none is named), denied


def _table(rows: dict[str, str]) -> list[tuple[str, str]]:
    return [(stem, name) for name, stems in rows.items() for stem in stems.split()]


@lru_cache(maxsize=100_000)
def _part(word: str) -> str | None:
    plain = word.removesuffix("s")
    return next((name for stem, name in _table(_PARTS) if plain in (stem, stem.removesuffix("s"))), None)


@lru_cache(maxsize=100_000)
def _manners(word: str) -> tuple[str, ...]:
    return tuple(sorted({name for stem, name in _table(_MANNERS) if word.startswith(stem)}))


@lru_cache(maxsize=20_000)
def clues(text: str) -> frozenset[Clue]:
    """What a text says of face, voice and posture."""
    found: set[Clue] = set()
    part: str | None = None
    for clause in _CLAUSE.split(text.casefold().replace("’", "'")):
        words = _WORD.findall(clause)
        places = [(i, name) for i, word in enumerate(words) if (name := _part(word))]
        named = [(i, manner) for i, word in enumerate(words) for manner in _manners(word)]
        denied = any(word in _DENY or word.endswith("n't") for word in words)
        if not places and named and part:  # "his voice was loud, fast": the part of the clause before
            found |= {(part, manner, denied) for _, manner in named}
        for i, name in places:
            near = {manner for j, manner in named if abs(i - j) <= REACH}
            found |= {(name, manner, denied) for manner in near or {""}}
            part = name
    return frozenset(found)


@lru_cache(maxsize=20_000)
def _emotions(text: str, ascribed: bool) -> tuple[frozenset[str], frozenset[str]]:
    """Groups and basic emotions of a text, denied ones under a name of their own; all or only those ascribed."""
    named = [mention for mention in mentions(text) if mention.ascribed or not ascribed]
    groups = {("not " if m.denied else "") + m.group for m in named}
    basic = {("not " if m.denied else "") + str(emotion_lexicon.basic_emotion(m.group)) for m in named}
    return frozenset(groups), frozenset(basic)


def _f1(truth: Collection[object], answer: Collection[object]) -> float:
    total = len(truth) + len(answer)
    return 2 * len(set(truth) & set(answer)) / total if total else 0.0


def agreement(truth: str, answer: str) -> Agreement:
    """Agreement of `answer` with `truth`, each part over what the truth has of it."""
    ours, theirs = clues(truth), clues(answer)
    pairs = {(p, m, d) for p, m, d in ours if m}, {(p, m, d) for p, m, d in theirs if m}
    parts = {(p, d) for p, _, d in ours}, {(p, d) for p, _, d in theirs}
    labels = []
    for ascribed in (False, True):
        (groups, basic), (their_groups, their_basic) = _emotions(truth, ascribed), _emotions(answer, ascribed)
        if groups:
            labels.append((_f1(groups, their_groups) + _f1(basic, their_basic)) / 2)
    return Agreement(
        clues=_mean([_f1(*pair) for pair in (pairs, parts) if pair[0]]),
        labels=_mean(labels),
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
