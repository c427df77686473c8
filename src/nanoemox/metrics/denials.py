"""Words of a list in running text, by rule: which are named, and which of them are denied.

A word counts unless a denial stands before it in the same clause ("not angry", "hardly angry", "she denies being
sad", "没有生气"), or right behind it ("anger can be ruled out"). "Not only angry but hurt" denies nothing, and neither
does "she cannot hide her anger". A word is ascribed where the words before it say that somebody is so ("is quite
angry", "a sense of deep fear"), which a heap of words does not. English and Chinese. No model, no randomness.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

REACH = 4  # words that a denial reaches ahead, within its clause
FAR_REACH = 10  # of a denied opinion ("I do not think that this person is angry"), and in Chinese
HAN = "\u3400-\u9fff\uf900-\ufaff"  # characters of Chinese, each of which is a token
_TOKEN = re.compile(
    rf"[{HAN}]|(?:(?![{HAN}])[\w-])+(?:['’](?:(?![{HAN}])\w)+)?|[.;:=!?,()\n]|[。，；：＝！？、（）]"
)
_COMMAS = {",", "，", "、"}
_BREAK = {
    *".;:=!?()\n。；：＝！？（）", *_COMMAS,
    "but", "however", "although", "though", "yet", "while", "whereas", "但", "却", "卻",
}  # fmt: skip
_DENIALS = {
    "not", "no", "non", "never", "without", "neither", "nor", "nothing", "none", "hardly", "barely", "scarcely",
    "rarely", "seldom", "cannot", "lacks", "lacked", "lacking", "unlikely", "except", "excluding", "denies", "deny",
    "denying", "isnt", "arent", "wasnt", "werent", "dont", "doesnt", "didnt", "cant", "couldnt", "wont", "wouldnt",
    "hasnt", "havent",
}  # fmt: skip
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
    "wonder", "without",
}  # fmt: skip
# Verbs of opinion and perception: what they deny may stand far behind them.
_OPINIONS = {
    "think", "believe", "see", "detect", "find", "feel", "hear", "sense", "notice", "observe", "say", "consider",
    "describe", "call", "classify", "label", "suggest", "indicate", "show", "seem", "appear", "look", "sound",
    "express", "display", "convey", "mean", "suppose",
}  # fmt: skip
_NEW_THOUGHT = {"and", "because", "as", "since", "so", "who", "which", "then", "when"}  # ends the far reach
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
_BEGINS = _DENIALS | {phrase[0] for phrase in _PHRASES}
_JOINED = {"and", "or", "nor", "和", "或", *_COMMAS}
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
_HAN_BREAKS = ("而是", "而且", "反而", "只是", "不过", "不過")
_IS_HAN = re.compile(f"[{HAN}]")


class Named(NamedTuple):
    """A word as it stands in a text."""

    word: str
    name: str  # what it stands for
    denied: bool
    ascribed: bool  # whether the words before it say that somebody is so


Finder = Callable[[Sequence[str], int], tuple[str, int] | None]  # tokens, place -> name and length in tokens


def tokens_of(text: str) -> list[str]:
    """Words in lower case, characters of Chinese, and the marks that end a clause."""
    return [token.casefold().replace("’", "'") for token in _TOKEN.findall(text)]


def denies(token: str) -> bool:
    """Whether a word denies what follows it."""
    return token in _DENIALS or token.endswith("n't")


def has_denial(text: str) -> bool:
    """Whether anything in a text denies something."""
    tokens = tokens_of(text)
    return any(_may_deny(token) and _denial(tokens, i)[0] for i, token in enumerate(tokens))


def may_deny(text: str) -> bool:
    """Whether a text has any word or mark that can be part of a denial: a quick check before `named`."""
    return any(_may_deny(token) or token in _BEHIND_BEGINS for token in tokens_of(text))


def _may_deny(token: str) -> bool:
    return token in _BEGINS or token.endswith("n't") or bool(_IS_HAN.match(token))


def named(text: str, find: Finder) -> list[Named]:
    """Every word that `find` knows, in order, with whether it is denied.

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
    denied_until = far_until = han_until = -1
    i = 0
    while i < len(tokens):
        token = tokens[i]
        known = find(tokens, i)
        # A denial reaches over a few words ahead; some phrases that look like one are none.
        denial, length, reach = (False, 0, 0) if known else _denial(tokens, i)
        if token == "denied" and find(tokens, i + 1):
            denial, length, reach = True, 1, REACH
        if denial and _IS_HAN.match(token):
            han_until = i + length - 1 + reach
        elif denial:
            denied_until = max(denied_until, i + length - 1 + reach)
            if _is_opinion(tokens, i + length):
                far_until = i + FAR_REACH
        if length:
            i += length
            continue
        # The end of a clause ends the reach, but a list goes on: "not angry, sad or afraid" denies all three.
        if token in _BREAK or "".join(tokens[i : i + 2]) in _HAN_BREAKS:
            if token not in _COMMAS or not (found and found[-1].denied and find(tokens, i + 1)):
                denied_until = far_until = han_until = -1
            i += 1
            continue
        if token in _NEW_THOUGHT:
            far_until = -1
        if not known:
            if not _IS_HAN.match(token):  # a quotation in Chinese denies nothing of the English around it
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
        glue = "" if _IS_HAN.match(token) else " "
        found.append(Named(glue.join(tokens[i : i + size]), name, denied, i in ascribed_at))
        places.append((i, i + size))
        if denied:
            denied_until = max(denied_until, i + size + 2)  # "neither angry nor really sad"
        i += size
    return _denied_behind(tokens, found, places)


def _denial(tokens: Sequence[str], i: int) -> tuple[bool, int, int]:
    """Whether there is a denial at a place, over how many tokens, and how far it reaches.

    With a length and no denial, these tokens only look like one.
    """
    token = tokens[i]
    if _IS_HAN.match(token):
        ahead = "".join(tokens[i : i + 5])
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
    if not denies(token):
        return False, 0, 0
    if following in _RESTRICTIONS or _takes_back(tokens[i + 1 : i + 3]):
        return False, 2, 0
    if (
        following == "be"
        and i + 2 < len(tokens)
        and (tokens[i + 2] == "more" or tokens[i + 2].endswith("er"))
    ):
        return False, 2, 0  # "could not be happier"
    return True, 1, REACH


def _takes_back(following: Sequence[str]) -> bool:
    """Whether the next two words, within the clause, take a denial back."""
    for token in following:
        if token in _BREAK:
            return False
        if token in _TAKES_BACK:
            return True
    return False


def _is_opinion(tokens: Sequence[str], i: int) -> bool:
    return any(token in _OPINIONS for token in tokens[i : i + 2])


def _links(token: str) -> bool:
    return token in _LINKS or token.startswith(_VERBS) or token.endswith(("'s", "'re", "n't"))


def _denied_behind(
    tokens: Sequence[str], found: list[Named], places: Sequence[tuple[int, int]]
) -> list[Named]:
    """The same words, those too denied that are denied by what follows them ("anger and fear are not present")."""
    denied_from = None  # the first token of the word behind, if that is denied by what follows it
    for k in range(len(found) - 1, -1, -1):
        first, end = places[k]
        behind = " ".join(tokens[end : end + 5]).replace("没 有", "没有")
        joined = denied_from is not None and all(t in _JOINED for t in tokens[end:denied_from])
        if _BEHIND.match(behind) or joined:
            found[k] = found[k]._replace(denied=True)
            denied_from = first
        else:
            denied_from = None
    return found
