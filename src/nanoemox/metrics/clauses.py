"""Running text as tokens, and the marks and words that end a clause. English and Chinese."""

from __future__ import annotations

import re
from collections.abc import Sequence

HAN = "\u3400-\u9fff\uf900-\ufaff"  # characters of Chinese, each of which is a token
IS_HAN = re.compile(f"[{HAN}]")
_TOKEN = re.compile(
    rf"[{HAN}]|(?:(?![{HAN}])[\w-])+(?:['’](?:(?![{HAN}])\w)+)?|[.;:=!?,()\n]|[。，；：＝！？、（）]"
)
COMMAS = {",", "，", "、"}
BREAK = {
    *".;:=!?()\n。；：＝！？（）", *COMMAS,
    "but", "however", "although", "though", "yet", "while", "whereas", "但", "却", "卻",
}  # fmt: skip
NEW_THOUGHT = {"and", "because", "as", "since", "so", "who", "which", "then", "when"}  # ends a far reach
_BEING = {"be", "is", "are", "was", "were", "been", "feel", "feels", "felt"}
_HAN_BREAKS = ("而是", "而且", "反而", "只是", "不过", "不過")


def tokens_of(text: str) -> list[str]:
    """Words in lower case, characters of Chinese, and the marks that end a clause."""
    return [token.casefold().replace("’", "'") for token in _TOKEN.findall(text)]


def begins_thought(tokens: Sequence[str], i: int) -> bool:
    """Whether a new thought begins at a token; "is so angry" and "might be because" go on."""
    return tokens[i] in NEW_THOUGHT and (i == 0 or tokens[i - 1] not in _BEING)


def ends_clause(tokens: Sequence[str], i: int) -> bool:
    """Whether a clause ends at a token, a comma included."""
    return tokens[i] in BREAK or "".join(tokens[i : i + 2]) in _HAN_BREAKS
