"""What a model writes, and the rules by which answers of several tasks are read: `Answer`, labels, lists of labels.

A parser never fails: what it cannot read stays empty, and a warning says so. Codes of these warnings:

| code | when |
|---|---|
| `no_label` | a closed question has no label in its answer |
| `denied_label` | the answer denies a candidate and names no other |
| `supposed_label` | the answer supposes a candidate ("might be angry") and affirms none |
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
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from nanoemox.media.clip import CodedWarning
from nanoemox.metrics.clauses import IS_HAN, tokens_of
from nanoemox.metrics.denials import Finder, Named, has_denial, may_doubt, named
from nanoemox.metrics.emotion_mentions import emotions, mentions
from nanoemox.metrics.label_names import EDGES, FAMILY_IN_TEXT, bare, candidate_of, family
from nanoemox.metrics.suppositions import has_supposition

GRAMMAR, LIST, PROSE = "answer grammar", "label list", "words in running text"  # routes to labels
SUPPOSED = "words that are only supposed"
LABEL_ROUTE, FREE_TEXT, NO_ROUTE = "label", "free text", "none"
_FRAME = re.compile(
    r"(?:(?:most likely )?label|emotional states?|sentiment state|emotion of the speaker|intent(?:ion)?)"
    r"\s+(?:is|are)\b\s*:?\s*",
    re.IGNORECASE,
)
_FRAMED = re.compile(
    r"(?:label|emotional states?|sentiment state|emotion of the speaker|intent(?:ion)?)\s+(?:is|are)\b", re.I
)
# "Answer: …" behind reasons that were written down before it.
_ANSWER_LINE = re.compile(
    r"(?:^|[\n.!?。！？])[\s*_#]*(?:(?:the\s+)?(?:final\s+|correct\s+|my\s+)?answer(?:\s+is)?|(?:最终)?答案(?:是)?)\s*[*_]*[:：]|^####",
    re.IGNORECASE | re.MULTILINE,
)
# "Emotion: …"
_HEADING = re.compile(
    r"^\W*(?:(?:predicted|detected|primary|main)\s+)?(?:emotions?|labels?|sentiment|intent|情绪|情感|标签)\s*(?:labels?)?[*_\s]*[:：]",
    re.IGNORECASE,
)
# Between the labels of a list, in any script. 和 joins two labels, but 平和 and 温和 are one word each.
_BETWEEN_LABELS = re.compile(
    r"[,;/|\n，、；｜／・､]|\band\b|\bor\b|&|以及|或者|[与或]|(?<![温平缓柔随谦祥亲气心])和(?!谐|蔼|善|睦|气(?!愤)|平(?!静))"
)
_ENTRY_END = re.compile(r"[。！？]|\.(?:\s|$)")
_CLAUSES = re.compile(r"[;；]|\b(?:but|yet)\b|而是|但是?|却", re.IGNORECASE)
_BRACKETS = ("[", "【")
_LONGEST_HAN = 6  # characters of an entry of a Chinese list
_BULLET = re.compile(r"^\s*(?:[-*•–]|\d{1,2}[.)、])\s+", re.MULTILINE)


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
    renamed: tuple[str, str] | None = (
        None  # a label as the text spells it, and the candidate that it stands for
    )


def most_common(values: Iterable[str | None]) -> str | None:
    """The most frequent value; the alphabet decides a draw."""
    counts = Counter(value for value in values if value)
    return min(counts, key=lambda value: (-counts[value], value)) if counts else None


# ---------------------------------------------------------------- one label


class Match(NamedTuple):
    """The candidate that a text names, how the text spells it, and what has to be known about it."""

    label: str | None
    warnings: tuple[CodedWarning, ...] = ()
    spelt: str | None = None


def unframed(body: str) -> str:
    """The part of an answer that holds the label(s): after the sentence frame, up to the end of the line."""
    body = _headed(body)
    found = _FRAME.search(body)
    body = body[found.end() :] if found else body
    return body.strip().split("\n", 1)[0].strip()


def _headed(body: str) -> str:
    """What follows the last "Answer:" and a heading such as "Emotion:"."""
    answers = list(_ANSWER_LINE.finditer(body))
    body = body[answers[-1].end() :] if answers else body
    return _HEADING.sub("", body).strip()


def is_framed(text: str) -> bool:
    """Whether a text holds one of the sentences that models are trained to answer with."""
    return bool(_FRAMED.search(text))


def match_label(text: str, candidates: Sequence[str]) -> Match:
    """The candidate that a text names: the one it stands for as a whole, else the only one that it affirms.

    Candidates are looked for as they are spelt, then by other spellings of the same label (`label_names`). What is
    denied or only supposed does not count; "neither positive nor negative" leaves the third of three. A label outside
    the list is returned as it stands, with a warning, so that it counts as wrong and not as absent.
    """
    if not bare(text):
        return Match(None, (CodedWarning("no_label", "no label in the answer"),))
    whole = candidate_of(text, candidates)
    if whole is not None:
        return Match(whole, (), text.strip(EDGES))
    offered = tuple(candidates)
    denied: set[str] = set()
    supposed: set[str] = set()
    for terms in (_as_spelt(offered), _other_spellings(offered)):
        found = _named(text, terms)
        affirmed = {each.name: each.word for each in reversed(found) if _is_affirmed(each)}
        if len(affirmed) == 1:
            [(label, spelt)] = affirmed.items()
            return Match(label, (), spelt)
        denied |= {each.name for each in found if each.denied}
        supposed |= {each.name for each in found if each.supposed and not each.denied}
        if affirmed:
            break
    else:
        left = [candidate for candidate in offered if candidate not in denied]
        if len(denied) > 1 and len(left) == 1:
            return Match(left[0], (), text.strip(EDGES))
    label = text.strip(EDGES)
    if supposed and not affirmed:
        names = ", ".join(sorted(supposed))
        return Match(
            label, (CodedWarning("supposed_label", f"the answer only supposes {names} and affirms no label"),)
        )
    if denied and not affirmed:
        names = ", ".join(sorted(denied))
        return Match(label, (CodedWarning("denied_label", f"the answer denies {names} and names no other"),))
    return Match(label, (CodedWarning("off_list_label", f"off-list label: {label!r}"),))


def _is_affirmed(word: Named) -> bool:
    return not word.denied and not word.supposed


Terms = Mapping[
    str, Sequence[tuple[tuple[str, ...], str]]
]  # first token -> (tokens, candidate), longest first


@lru_cache(maxsize=1000)
def _as_spelt(candidates: tuple[str, ...]) -> Terms:
    return _terms((_flat(candidate), candidate) for candidate in candidates)


@lru_cache(maxsize=1000)
def _other_spellings(candidates: tuple[str, ...]) -> Terms:
    """Other words of the same family, where only one candidate is of that family."""
    families = Counter(family(candidate) for candidate in candidates)
    own = {family(candidate): candidate for candidate in candidates}
    words = ((word, own[name]) for word, name in FAMILY_IN_TEXT.items() if families[name] == 1)
    return _terms((*words, *((_flat(candidate), candidate) for candidate in candidates)))


def _terms(spellings: Iterable[tuple[str, str]]) -> Terms:
    found: dict[str, list[tuple[tuple[str, ...], str]]] = {}
    for spelling, candidate in spellings:
        tokens = tuple(tokens_of(spelling))
        if tokens:
            found.setdefault(tokens[0], []).append((tokens, candidate))
    return {first: sorted(terms, key=lambda term: -len(term[0])) for first, terms in found.items()}


def _named(text: str, terms: Terms) -> list[Named]:
    def find(tokens: Sequence[str], i: int) -> tuple[str, int] | None:
        if i >= len(tokens):
            return None
        first = tokens[i].removesuffix("'s")
        for spelling, candidate in terms.get(first, ()):
            if (first, *tokens[i + 1 : i + len(spelling)]) == spelling:
                return candidate, len(spelling)
        return None

    finder: Finder = find
    return named(_flat(text), finder)


def _flat(text: str) -> str:
    """A text whose words are separated by blanks alone: anger-like, ask_for_help."""
    return re.sub(r"(?<=\w)[-_](?=\w)|_", " ", text)


# ---------------------------------------------------------------- lists of labels


def split_labels(body: str) -> list[str]:
    """The entries of a list, without what stands around them; separators of any script."""
    return [part for part in (part.strip(EDGES) for part in _BETWEEN_LABELS.split(body)) if part]


def parse_labels(body: str) -> tuple[str, ...]:
    """A list of labels out of "The character's emotional state is a, b and c.", "[a, b]" or a bare list.

    Entries that are denied or only supposed are left out: "not angry, sad" denies both, "not angry but sad" and
    "[not angry, sad]" only the first.
    """
    body = unframed(body)
    if body.startswith(_BRACKETS):
        return _affirmed(body, independent=True)
    return _affirmed(_ENTRY_END.split(body, maxsplit=1)[0])


def _affirmed(body: str, independent: bool = False) -> tuple[str, ...]:
    """The entries of a list without doubt; a doubt goes on over a list unless entries are independent."""
    if not may_doubt(body):
        return _each_once(split_labels(body))
    kept: list[str] = []
    for clause in _CLAUSES.split(body):
        doubted = False
        for entry in split_labels(clause):
            if _doubts(entry):
                words = emotions(entry)  # "angry not sad"
                doubted = not words
                kept += words
            elif IS_HAN.search(entry) and not family(entry) and emotions(entry):
                kept += emotions(entry)  # 他非常生气
            elif independent or not doubted:
                kept.append(entry)
    return _each_once(kept)


def _doubts(text: str) -> bool:
    """Whether a text denies or only supposes anything, by a word of its own or by what follows an emotion."""
    if not may_doubt(text):
        return False
    doubted = any(mention.denied or mention.supposed for mention in mentions(text))
    return doubted or has_denial(text) or has_supposition(text)


def _each_once(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels without repetitions; of `生气/angry`, one label in two languages, the English one, which lexicons know."""
    kept = tuple(dict.fromkeys(labels))
    if not any(map(IS_HAN.search, kept)):
        return kept
    found: list[str] = []
    for label in kept:
        before = found[-1] if found else ""
        scripts = [bool(IS_HAN.search(each)) for each in (before, label)]
        if family(label) and family(before) == family(label) and scripts[0] != scripts[1]:
            found[-1] = before if scripts[1] else label
        else:
            found.append(label)
    return tuple(found)


def labels_from(body: str) -> tuple[tuple[str, ...], str]:
    """Labels by the first rule that fits, and its name: the trained grammar, a list, emotion words in prose."""
    if is_framed(body):
        return parse_labels(body), GRAMMAR
    body = _headed(body)
    if body.startswith(_BRACKETS):
        return parse_labels(body), LIST
    entries = _BULLET.sub("", body)
    if _is_list(entries):
        found = _affirmed(_ENTRY_END.sub("\n", entries))
        return found, LIST if found else NO_ROUTE
    if found := emotions(body):
        return found, PROSE
    found = emotions(body, supposed=True)
    return found, SUPPOSED if found else NO_ROUTE


def _is_list(body: str) -> bool:
    """Whether all entries are short and none is in doubt: then words that no lexicon knows count, too."""
    entries = [entry for entry in re.split(r"[,;|\n，、；｜]|\.\s", body) if entry.strip()]
    short = all(len(entry.split()) <= 3 and len(IS_HAN.findall(entry)) <= _LONGEST_HAN for entry in entries)
    return short and not _doubts(body)
