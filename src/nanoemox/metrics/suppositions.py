"""What a text only supposes, by rule: "might be angry", "perhaps sad", "if she is happy", "Is she angry?".

A supposed word is neither affirmed nor denied. Ordinary words of judgement suppose nothing: "seems angry", "probably
sad", "most likely fear", "I would say anger", "looks as if he were happy". English and Chinese.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from nanoemox.metrics.clauses import COMMAS, IS_HAN, begins_thought, ends_clause, tokens_of

REACH = 10  # tokens that a supposition reaches ahead, within its clause
_BARELY = 1
_WORDS = {
    "might", "perhaps", "maybe", "possibly", "potentially", "conceivably", "supposedly", "allegedly", "reportedly",
    "purportedly", "hypothetically", "whether", "possible", "possibility", "unsure", "uncertain", "unclear",
    "undecided", "doubtful", "may", "wonders", "accuses", "accused", "accusing",
}  # fmt: skip
SURE = {"sure", "certain", "clear", "convinced", "obvious"}  # suppose where a denial stands before them
_NEARLY = {"almost", "nearly", "borderline"}  # reach the next word only
# "Could be", "can indicate". What a person could see or hear is there.
_CAN = {"could", "can", "would", "'d"}
_TO_BE = {
    "be", "feel", "have", "indicate", "suggest", "mean", "reflect", "imply", "signal", "signify", "represent",
    "convey", "point", "stem",
}  # fmt: skip
_ADVERBS = {"also", "well", "just", "easily", "potentially", "perhaps", "possibly", "even", "still", "then"}
_SEEN = {"seen", "heard", "felt", "found", "said"}  # "anger can be heard", "could be called anger" affirm
_PEOPLE = {
    "he", "she", "they", "i", "you", "we", "anyone", "everyone", "everybody", "who", "person", "people", "man",
    "woman", "boy", "girl", "speaker", "character", "child", "mother", "father", "friend",
}  # fmt: skip
_TOLD = {"said", "supposed", "rumored", "rumoured", "believed", "thought", "expected", "alleged", "claimed"}
_IS = {"is", "are", "was", "were", "be", "been"}
_CLAIMS = {"claim", "claims", "claimed", "claiming"}
_SEEMS = {"seem", "seems", "seemed", "seeming", "appear", "appears", "appeared"}
_HIDES = {
    "hide", "hiding", "conceal", "concealing", "mask", "masking", "disguise", "disguising", "suppress", "suppressing",
    "cover", "covering",
}  # fmt: skip
# "If I had to choose" and "as if" are no conditions.
_NO_CONDITION = {"i", "asked", "forced", "anything", "only", "not", "any"}
_HAN_WORDS = (
    "可能", "也许", "也許", "或许", "或許", "如果", "假如", "要是", "是否", "会不会", "會不會", "说不定", "說不定",
    "据说", "據說", "据称", "據稱",
)  # fmt: skip
_HAN_SURE = ("最可能", "最有可能", "很可能", "很有可能", "极可能", "極可能", "尽可能", "儘可能")
_HAN_SEEMS_TO_HIDE = re.compile(
    "(?:似乎|好像|仿佛|彷彿|看似)(?:是|在|想|正)*(?:掩饰|掩飾|掩盖|掩蓋|隐藏|隱藏|压抑|壓抑)"
)
_BEHIND = re.compile(
    r"(?:is|are|was|were|remains|seems) (?:also |only |just |perhaps )?(?:possible|a possibility|conceivable|uncertain"
    r"|unclear|doubtful|not (?:certain|sure|clear|obvious))\b"
    r"|(?:, )?(?:perhaps|maybe|possibly)(?: [.;!?,]|$)"
    r"|(?:may|might|could) (?:also |well |possibly |perhaps )*be (?:present|possible|there|involved|it|what|the case"
    r"|(?:the |an? )?(?:\w+ )?(?:answer|label|emotion|candidate|option|reason))\b"
)
_QUESTION = {"?", "？"}
_SENTENCE_END = {*".;!\n。；！", *_QUESTION}
_JOINED = {"and", "or", "nor", "和", "或", *COMMAS}
_BEGINS = (
    _WORDS | _NEARLY | SURE | _CAN | _TOLD | _CLAIMS | _SEEMS | _QUESTION | {"if", "used"}
    | {"is", "are", "was", "were", "remains"}
)  # fmt: skip


def may_suppose(token: str) -> bool:
    """Whether a token can be part of a supposition: a quick check."""
    return token in _BEGINS or bool(IS_HAN.match(token))


def has_supposition(text: str) -> bool:
    """Whether anything in a text is only supposed."""
    tokens = tokens_of(text)
    asked = bool(_QUESTION & set(tokens))
    return asked or any(
        may_suppose(token) and _supposition(tokens, i)[1] > 0 for i, token in enumerate(tokens)
    )


def supposed_places(tokens: Sequence[str], is_known: Callable[[int], bool]) -> list[bool]:
    """Which tokens are only supposed.

    Args:
        tokens: A text, as `tokens_of` gives it.
        is_known: Whether a word that is looked for begins at a token; a list of such words is supposed as a whole.

    Returns:
        One truth value a token.
    """
    found = [False] * len(tokens)
    until = -1
    i = 0
    while i < len(tokens):
        length, reach = _supposition(tokens, i) if may_suppose(tokens[i]) else (0, 0)
        if length:
            until = max(until, i + length - 1 + reach) if reach else until
            i += length
            continue
        # A clause ends it and so does a new thought, but a list goes on: "might be angry, sad or afraid".
        ends = ends_clause(tokens, i) or begins_thought(tokens, i)
        listed = i > 0 and tokens[i] in _JOINED and found[i - 1] and i + 1 < len(tokens) and is_known(i + 1)
        if ends and not listed:
            until = -1
        elif listed:
            until = max(until, i + 1)
        found[i] = i <= until
        i += 1
    _asked(tokens, found)
    return found


def supposed_behind(following: str) -> bool:
    """Whether the words behind a word say that it is no more than possible ("anger might be present")."""
    return bool(_BEHIND.match(following))


def _asked(tokens: Sequence[str], found: list[bool]) -> None:
    """What a question asks for is only supposed: marks it in place."""
    question = False
    for i in range(len(tokens) - 1, -1, -1):
        if tokens[i] in _SENTENCE_END:
            question = tokens[i] in _QUESTION
        elif tokens[i] in ("吗", "嗎"):
            question = True
        found[i] = found[i] or question


def _supposition(tokens: Sequence[str], i: int) -> tuple[int, int]:
    """Over how many tokens there is a supposition at a place, and how far it reaches; a reach of 0 is none."""
    token = tokens[i]
    if IS_HAN.match(token):
        return _in_chinese("".join(tokens[i : i + 10]))
    before = tokens[i - 1] if i else ""
    following = tokens[i + 1] if i + 1 < len(tokens) else ""
    if token in _NEARLY:
        return 1, _BARELY
    if token == "if":
        return 1, 0 if before in ("as", "even") or following in _NO_CONDITION else REACH
    if token in SURE:
        return 1, REACH if any(t == "not" or t.endswith("n't") for t in tokens[max(0, i - 2) : i]) else 0
    if token == "used" and following == "to":
        return 2, REACH
    if ((token in _TOLD and before in _IS) or token in _CLAIMS) and following == "to":
        return 2, REACH
    if token in _SEEMS and following == "to":
        return 2, REACH if _HIDES & set(tokens[i + 2 : i + 4]) else 0
    if token in _CAN:
        return 1, REACH if _could_be(tokens, i) else 0
    if token in ("accuses", "accused", "accusing"):
        return 1, REACH if "of" in tokens[i + 1 : i + 5] else 0
    if token not in _WORDS:
        return 0, 0
    return 2 if following == "," else 1, REACH  # "perhaps, it is fear"


def _could_be(tokens: Sequence[str], i: int) -> bool:
    """Whether "can", "could" or "would" at a place only supposes what follows."""
    if tokens[i] in ("would", "'d") and (i == 0 or tokens[i - 1] not in _PEOPLE):
        return False  # "the best label would be anger" is an answer
    k = i + 1
    while k < len(tokens) and tokens[k] in _ADVERBS:
        k += 1
    if k >= len(tokens) or tokens[k] not in _TO_BE:
        return False
    then = tokens[k + 1] if k + 1 < len(tokens) else ""
    if tokens[k] != "be":
        return True
    # "can be called angry" is an answer
    return not (
        then in _SEEN or (then.endswith("ed") and then not in ("excited", "scared", "bored", "tired"))
    )


def _in_chinese(ahead: str) -> tuple[int, int]:
    for phrase in _HAN_SURE:
        if ahead.startswith(phrase):
            return len(phrase), 0
    for phrase in _HAN_WORDS:
        if ahead.startswith(phrase):
            return len(phrase), REACH
    hides = _HAN_SEEMS_TO_HIDE.match(ahead)
    return (hides.end(), REACH) if hides else (0, 0)
