"""Words of a list in running text, by rule: which are named, and which of them are denied or only supposed.

A word counts unless a denial stands before it in the same clause ("not angry", "hardly angry", "she denies being sad",
"没有生气"), or right behind it ("anger can be ruled out"). "Not only angry but hurt" denies nothing, and neither does
"she cannot hide her anger". What is only played ("pretends to be angry") is denied, and what is only supposed ("might
be angry", see `suppositions`) is neither denied nor affirmed. A word is ascribed where the words before it say that
somebody is so ("is quite angry", "a sense of deep fear"), which a heap of words does not. English and Chinese. No
model, no randomness.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nanoemox.metrics.clauses import BREAK, COMMAS, IS_HAN, begins_thought, ends_clause, tokens_of
from nanoemox.metrics.suppositions import SURE, may_suppose, supposed_behind, supposed_places

REACH = 4  # words that a denial reaches ahead, within its clause
PLAYED_REACH = 6  # of a pretence
FAR_REACH = 10  # of a denied opinion ("I do not think that this person is angry"), and in Chinese
_DENIALS = {
    "not", "no", "non", "never", "without", "neither", "nor", "nothing", "none", "hardly", "barely", "scarcely",
    "rarely", "seldom", "cannot", "lacks", "lacked", "lacking", "unlikely", "except", "excluding", "denies", "deny",
    "denying", "isnt", "arent", "wasnt", "werent", "dont", "doesnt", "didnt", "cant", "couldnt", "wont", "wouldnt",
    "hasnt", "havent",
}  # fmt: skip
# What is only played is denied, unless a denial follows at once ("pretends not to be angry").
_PLAYED = {
    "pretend", "pretends", "pretended", "pretending", "feign", "feigns", "feigned", "feigning", "fake", "fakes",
    "faked", "faking", "simulate", "simulates", "simulated", "simulating", "sham", "mock",
}  # fmt: skip
_ACTS = {"act", "acts", "acted", "acting", "behave", "behaves", "behaved", "behaving"}
_PHRASES = {
    ("rather", "than"), ("instead", "of"), ("free", "of"), ("free", "from"), ("lack", "of"), ("devoid", "of"),
    ("absence", "of"), ("far", "from"), ("anything", "but"), ("other", "than"), ("opposed", "to"), ("opposite", "of"),
    ("rule", "out"), ("rules", "out"), ("ruled", "out"), ("ruling", "out"), ("fails", "to"), ("failed", "to"),
    ("denied", "being"), ("denied", "feeling"), ("denied", "having"), ("denied", "that"), ("denied", "any"),
}  # fmt: skip
# What stands behind a denial and takes it back: "not only", "no doubt", "cannot hide", "can't help".
_RESTRICTIONS = {"only", "just", "merely", "simply", "solely"}
_TAKES_BACK = {
    "hide", "conceal", "help", "deny", "denying", "suppress", "contain", "mask", "disguise", "doubt", "question",
    "wonder", "without", "pretending", "faking", "fake", "feigned", "feigning", *SURE,
}  # fmt: skip
# Verbs of opinion and perception: what they deny may stand far behind them.
_OPINIONS = {
    "think", "believe", "see", "detect", "find", "feel", "hear", "sense", "notice", "observe", "say", "consider",
    "describe", "call", "classify", "label", "suggest", "indicate", "show", "seem", "appear", "look", "sound",
    "express", "display", "convey", "mean", "suppose",
}  # fmt: skip
_BEHIND = re.compile(
    r"[:=：＝] (?:no|none|absent|false|not present|否|无|没有|没)\b"  # "anger: no, sadness: yes"
    r"|(?:(?:is|was|are|were) (?:not|never)|isn't|wasn't|aren't|weren't|isnt|wasnt)"
    r" (?:present|evident|visible|shown|there|it|what|correct|right|likely|felt|apparent|detected|observed|seen"
    r"|indicated|supported|the (?:case|answer|label|emotion|right|correct|best))\b"
    r"|(?:can|could|should|may|must) be (?:ruled out|excluded|dismissed)\b"
    r"|(?:is|was|are|were|seems) (?:ruled out|excluded|absent|unlikely|denied|wrong|missing|incorrect)\b"
    r"|(?:does not|doesn't|do not|don't|did not|didn't) (?:fit|apply|match)\b"
)
_BEHIND_BEGINS = {
    *":=：＝", "is", "was", "are", "were", "isnt", "wasnt", "can", "could", "should", "may", "must", "seems", "does",
    "do", "did", "denied",
}  # fmt: skip
_BEGINS = _DENIALS | _PLAYED | _ACTS | {phrase[0] for phrase in _PHRASES}
_JOINED = {"and", "or", "nor", "和", "或", *COMMAS}
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
# Chinese: what looks like a denial and is none, what denies, and what ends its reach.
_HAN_NO_DENIALS = (
    "毫无疑问", "毫無疑問", "忍不住", "禁不住", "止不住", "不由得", "不得不", "不能不", "不耐烦", "不耐煩",
    "非常", "无比", "無比", "不仅", "不僅", "不但", "不只", "不光", "不止", "不单", "不禁", "不安", "不满", "不滿",
    "不断", "不斷", "不停", "不已", "不久", "不错", "不錯", "不管", "不论", "不論", "不妨", "不解", "不屑", "不悦",
    "无聊", "無聊", "无奈", "無奈", "无助", "無助", "无语", "无论", "無論", "无疑", "無疑", "没错", "未来", "未來",
    "除非", "非要", "非得",
)  # fmt: skip
_HAN_DENIALS = ("否认", "否認", "缺乏", "排除", "不", "没", "沒", "无", "無", "未", "非")
_HAN_PLAYED = ("假装", "假裝", "装作", "裝作", "装出", "裝出", "佯装", "佯裝", "伪装", "偽裝", "故作")


class Named(NamedTuple):
    """A word as it stands in a text."""

    word: str
    name: str  # what it stands for
    denied: bool
    supposed: bool
    ascribed: bool  # whether the words before it say that somebody is so


Finder = Callable[[Sequence[str], int], tuple[str, int] | None]  # tokens, place -> name and length in tokens


def denies(token: str) -> bool:
    """Whether a word denies what follows it."""
    return token in _DENIALS or token.endswith("n't")


def has_denial(text: str) -> bool:
    """Whether anything in a text denies something."""
    tokens = tokens_of(text)
    return any(_may_deny(token) and _denial(tokens, i)[0] for i, token in enumerate(tokens))


def may_doubt(text: str) -> bool:
    """Whether a text has any word or mark that can deny or suppose something: a quick check before `named`."""
    tokens = tokens_of(text)
    return any(_may_deny(token) or token in _BEHIND_BEGINS or may_suppose(token) for token in tokens)


def _may_deny(token: str) -> bool:
    return token in _BEGINS or token.endswith("n't") or bool(IS_HAN.match(token))


def named(text: str, find: Finder) -> list[Named]:
    """Every word that `find` knows, in order, with whether it is denied or only supposed.

    Args:
        text: Running text.
        find: Tells, for a place among the tokens, what is named there and by how many tokens; None for nothing.

    Returns:
        The words.
    """
    tokens = tokens_of(text)
    found: list[Named] = []
    places: list[tuple[int, int]] = []  # of each word: its first token, and the one behind it
    ascribed_at: set[int] = set()
    supposed = supposed_places(tokens, lambda i: find(tokens, i) is not None)
    denied_until = far_until = han_until = -1
    i = 0
    while i < len(tokens):
        token = tokens[i]
        known = find(tokens, i)
        # A denial reaches over a few words ahead; some phrases that look like one are none.
        denial, length, reach = (False, 0, 0) if known else _denial(tokens, i)
        if token == "denied" and find(tokens, i + 1):
            denial, length, reach = True, 1, REACH
        if denial and IS_HAN.match(token):
            han_until = i + length - 1 + reach
        elif denial:
            denied_until = max(denied_until, i + length - 1 + reach)
            if _is_opinion(tokens, i + length):
                far_until = i + FAR_REACH
        if length:
            i += length
            continue
        # The end of a clause ends the reach, but a list goes on: "not angry, sad or afraid" denies all three.
        if ends_clause(tokens, i):
            if token not in COMMAS or not (found and found[-1].denied and find(tokens, i + 1)):
                denied_until = far_until = han_until = -1
            i += 1
            continue
        if begins_thought(tokens, i):
            far_until = -1
            if token == "and" and i + 1 < len(tokens) and _says(tokens[i + 1]):
                denied_until = -1  # "is not happy and looks sad"
        if not known:
            if not IS_HAN.match(token):  # a quotation in Chinese denies nothing of the English around it
                han_until = -1
            i += 1
            continue
        # A word that is known: is it denied, and is it ascribed to somebody?
        name, size = known
        denied = i <= max(denied_until, far_until, han_until)
        before = i - 1
        while before >= 0 and tokens[before] in _BETWEEN | _DENIALS:
            before -= 1
        if before >= 0 and (before in ascribed_at or _links(tokens[before])):
            ascribed_at.add(i)
        glue = "" if IS_HAN.match(token) else " "
        found.append(Named(glue.join(tokens[i : i + size]), name, denied, supposed[i], i in ascribed_at))
        places.append((i, i + size))
        if denied:
            denied_until = max(denied_until, i + size + 2)  # "neither angry nor really sad"
        i += size
    return _doubted_behind(tokens, found, places)


def _denial(tokens: Sequence[str], i: int) -> tuple[bool, int, int]:
    """Whether there is a denial at a place, over how many tokens, and how far it reaches.

    With a length and no denial, these tokens only look like one.
    """
    token = tokens[i]
    if IS_HAN.match(token):
        ahead = "".join(tokens[i : i + 5])
        for phrase in _HAN_PLAYED:
            if ahead.startswith(phrase):
                plays_none = ahead[len(phrase) :].startswith(_HAN_DENIALS)
                return not plays_none, len(phrase) + plays_none, FAR_REACH
        for phrase in _HAN_NO_DENIALS:
            if ahead.startswith(phrase):
                return False, len(phrase), 0
        for phrase in _HAN_DENIALS:
            if ahead.startswith(phrase):
                return True, len(phrase), FAR_REACH
        return False, 0, 0
    following = tokens[i + 1] if i + 1 < len(tokens) else ""
    if (token, following) in _PHRASES:
        return True, 2, REACH
    if token in _ACTS and tokens[i + 1 : i + 3] in (["as", "if"], ["as", "though"]):
        return True, 3, PLAYED_REACH
    if token in _PLAYED:
        return _played(tokens, i)
    if not denies(token):
        return False, 0, 0
    if following in _RESTRICTIONS:
        return False, 2, 0
    if back := _takes_back(tokens[i + 1 : i + 3]):
        return False, 1 + back, 0
    if (
        following == "be"
        and i + 2 < len(tokens)
        and (tokens[i + 2] == "more" or tokens[i + 2].endswith("er"))
    ):
        return False, 2, 0  # "could not be happier"
    return True, 1, REACH


def _played(tokens: Sequence[str], i: int) -> tuple[bool, int, int]:
    """The same of a pretence: "pretends that he is not angry" affirms, "mock" reaches the next words only."""
    for k in range(i + 1, min(i + 5, len(tokens))):
        if tokens[k] in BREAK:
            break
        if denies(tokens[k]):
            return False, k - i + 1, 0
    return True, 1, 2 if tokens[i] == "mock" else PLAYED_REACH


def _takes_back(following: Sequence[str]) -> int:
    """Which of the next two words, within the clause, takes a denial back; 0 where none does."""
    for place, token in enumerate(following, start=1):
        if token in BREAK:
            return 0
        if token in _TAKES_BACK:
            return place
    return 0


def _says(token: str) -> bool:
    """Whether a verb says that somebody is something."""
    return token in ("is", "are", "was", "were") or token.startswith(_VERBS)


def _is_opinion(tokens: Sequence[str], i: int) -> bool:
    return any(token in _OPINIONS for token in tokens[i : i + 2])


def _links(token: str) -> bool:
    return token in _LINKS or token.startswith(_VERBS) or token.endswith(("'s", "'re", "n't"))


def _doubted_behind(
    tokens: Sequence[str], found: list[Named], places: Sequence[tuple[int, int]]
) -> list[Named]:
    """The same words, with what follows them taken into account ("anger and fear are not present", "are possible")."""
    doubt = ""  # what the word behind is made by what follows it
    doubted_from = 0  # its first token
    for k in range(len(found) - 1, -1, -1):
        first, end = places[k]
        behind = " ".join(tokens[end : end + 7]).replace("没 有", "没有")
        if _BEHIND.match(behind):
            doubt = "denied"
        elif supposed_behind(behind):
            doubt = "supposed"
        elif not doubt or any(token not in _JOINED for token in tokens[end:doubted_from]):
            doubt = ""
        if doubt == "denied":
            found[k] = found[k]._replace(denied=True)
        elif doubt:
            found[k] = found[k]._replace(supposed=True)
        doubted_from = first
    return found
