"""What a model writes, and the rules by which answers of several tasks are read: `Answer`, labels, lists of labels.

A parser never fails: what it cannot read stays empty, and a warning says so. Codes of these warnings:

| code | when |
|---|---|
| `no_label` | a closed question has no label in its answer |
| `off_list_label` | the label of the answer is none of the candidates |
| `no_labels` | an open question has no label in its answer |
| `no_cues` | the reasons are not in the form that was learnt |
| `think_open` | the block of thoughts is not closed |
| `chain_incomplete` | the chain of thoughts lacks a link |
| `no_reply` | there is no reply |
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from nanoemox.media.clip import CodedWarning
from nanoemox.metrics.emotion_mentions import emotions

GRAMMAR, LIST, PROSE = "answer grammar", "label list", "words in running text"  # routes to labels
LABEL_ROUTE, FREE_TEXT, NO_ROUTE = "label", "free text", "none"
EDGES = " \t\r\n.,;:!?\"'`*[](){}"  # what may stand around a label and does not belong to it
_FRAME = re.compile(
    r"(?:most likely label|emotional states?|sentiment state|emotion of the speaker|intent(?:ion)?)"
    r"\s+(?:is|are)\b\s*:?\s*",
    re.IGNORECASE,
)
_FRAMED = re.compile(
    r"(?:label|emotional states?|sentiment state|emotion of the speaker|intent(?:ion)?)\s+(?:is|are)\b", re.I
)


class Answer(BaseModel):
    """What was read out of a text. Fields that a task does not have stay empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = ""
    label: str | None = None
    labels: tuple[str, ...] = ()
    polarity: str | None = None
    valence: float | None = None
    score: float | None = None  # sentiment: the expected polarity, from -1 to 1
    probabilities: dict[str, float] = {}
    thinking: dict[str, str] = {}
    reply: str | None = None
    cues: dict[str, tuple[str, ...]] = {}
    warnings: tuple[CodedWarning, ...] = ()


NO_ANSWER = Answer()


class Fault(NamedTuple):
    """One thing that is odd about an answer of another system; a fault is counted, never repaired."""

    kind: str
    detail: str = ""


class Reading(NamedTuple):
    """An answer as it was read from another system's text: by which route, and what is odd about it."""

    answer: Answer
    route: str
    faults: tuple[Fault, ...] = ()


# ---------------------------------------------------------------- comparing


def bare(label: str) -> str:
    """The form in which labels of an answer are looked up: case, outer punctuation and blanks do not count."""
    return " ".join(label.strip(EDGES).replace("_", " ").casefold().split())


def folded(label: str | None) -> str:
    """The form in which labels are scored: case, underscores and blanks do not count."""
    return " ".join((label or "").casefold().replace("_", " ").split())


def most_common(values: Iterable[str | None]) -> str | None:
    """The most frequent value; the alphabet decides a draw."""
    counts = Counter(value for value in values if value)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else None


# ---------------------------------------------------------------- reading


def without_think(text: str) -> str:
    """Text after the block of thoughts; everything when there is none."""
    return re.sub(r"<think>.*?(</think>|\Z)", "", text, flags=re.IGNORECASE | re.DOTALL).strip()


def unframed(text: str) -> str:
    """The part of an answer that holds the label(s): after the sentence frame, up to the end of the line."""
    body = without_think(text) or text
    found = _FRAME.search(body)
    body = body[found.end() :] if found else body
    return body.strip().split("\n", 1)[0].strip()


def is_framed(text: str) -> bool:
    """Whether a text holds one of the sentences that models are trained to answer with."""
    return bool(_FRAMED.search(text))


def match_label(text: str, candidates: Sequence[str]) -> tuple[str | None, tuple[CodedWarning, ...]]:
    """The candidate that a text names: the equal one after normalising, else the only one that it contains.

    A label outside the list is returned as it stands, with a warning, so that it counts as wrong and not as
    absent.
    """
    plain = bare(text)
    if not plain:
        return None, (CodedWarning("no_label", "no label in the answer"),)
    by_bare = {bare(c): c for c in candidates}
    if plain in by_bare:
        return by_bare[plain], ()
    found = [c for p, c in by_bare.items() if re.search(rf"(?<!\w){re.escape(p)}(?!\w)", plain)]
    if len(found) == 1:
        return found[0], ()
    label = text.strip(EDGES)
    return label, (CodedWarning("off_list_label", f"off-list label: {label!r}"),)


def parse_labels(text: str) -> tuple[str, ...]:
    """A list of labels out of "The character's emotional state is a, b and c.", "[a, b]" or a bare list."""
    body = re.split(r"\.(?:\s|$)", unframed(text), maxsplit=1)[0]
    labels = (part.strip(EDGES) for part in re.split(r",|;|/|\band\b", body))
    return tuple(dict.fromkeys(label for label in labels if label))


def labels_from(text: str) -> tuple[tuple[str, ...], str]:
    """Labels by the first rule that fits, and its name: the trained grammar, a list, emotion words in prose."""
    if is_framed(text):
        return parse_labels(text), GRAMMAR
    body = text.strip()
    short = body.startswith("[") or all(len(part.split()) <= 3 for part in re.split(r",|;|\n", body))
    if short and not re.search(r"\b(?:not|no|never|without)\b", body, re.I):
        return parse_labels(body), LIST
    found = emotions(body)
    return found, PROSE if found else NO_ROUTE
