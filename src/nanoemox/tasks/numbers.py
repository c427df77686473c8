"""Numbers in an answer: "On a scale from -3 to 3 I would say 1.8" is 1.8, and so is "1.8 out of 3".

The bounds of a scale are no answer, whatever stands before or behind them. Every typographic minus sign is one,
digits and points may be full-width, and a comma between digits is a decimal comma.
"""

from __future__ import annotations

import math
import re
import unicodedata

_MINUS = (
    "\u2212\u2010\u2011\u2012\u2013\u2014\u207b\u208b\ufe58\ufe63\uff0d"  # minus signs, hyphens and dashes
)
_SIGN = re.compile(rf"(?<![A-Za-z0-9_.)\]])[{_MINUS}-]\s?(?=[.,]?\d)")
_WORDS = re.compile(r"\bminus\s+(?=[.,]?\d)|[负負]\s*(?=[.,]?\d)", re.IGNORECASE)
_M = r"[-+±]?(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:e[-+]?\d+)?(?![\w%]|[.,]\d)"
_N = rf"(?<![\w.,]){_M}"
_NUMBER = re.compile(_N, re.IGNORECASE | re.ASCII)
_NOTE = r"\s*(?:\([^()]{0,60}\)|（[^（）]{0,60}）)?"  # "-3 (most negative)"
_SCALES = tuple(
    re.compile(pattern, re.IGNORECASE | re.ASCII)
    for pattern in (
        # from -3 (…) over 0 (…) to 3 (…); -3 to 3; -3...3
        rf"(?:\b(?:from|between|within|in|on|of)\s+|[从從在由])?{_N}{_NOTE}(?:\s*(?:,?\s*(?:over|through|via)\b|经过?)\s*{_N}{_NOTE})?"
        rf"\s*(?:to\b|until\b|through\b|bis\b|\.\.+|[…~～〜到至])\s*{_M}{_NOTE}(?:\s*(?:scale|range)\b|之间|范围)?",
        rf"(?:\bbetween\s+|[在于]){_N}{_NOTE}\s*(?:and\b|[&和与及])\s*{_M}{_NOTE}(?:\s*(?:scale|range)\b|之间)?",
        rf"[\[(（]\s*{_N}\s*[,;，；]\s*{_M}\s*[\])）]",  # [-3, 3]
        rf"\b(?:scale|range|interval)\b\W{{0,3}}(?:(?:of|is|from)\s+)?{_N}\s*[-/,;{_MINUS}]\s*{_M}",
        rf"(?<![\w.,])-\d+(?:[.,]\d+)?\s*[-{_MINUS}]\s*\+?\d+(?:[.,]\d+)?(?![\w.])",  # -3–3
        rf"\b(?:(?:out\s+)?of|max(?:imum)?(?:\s+of)?|min(?:imum)?(?:\s+of)?)\s*{_N}",  # out of 3
        r"(?<=[\d ])/\s*\d+(?:[.,]\d+)?(?!\w)",  # 1.8/3
        r"±\s*\d+(?:[.,]\d+)?",
        r"(?<![\w.])\d+[\s-]*(?:point|stage|level|step)s?\b",  # a 7-point scale
        r"满分\s*\d+(?:[.,]\d+)?\s*分?",
    )
)
# What a bound of the scale means, where the answer explains it: "-3 is very negative".
_MEANS = (
    r"\s*(?:is|are|means|being|=|:|stands for|indicates|denotes|represents|for|表示|代表|是|为)?"
    r"\s*(?:\w+\s+){0,2}(?:negative|neutral|positive|[^\s,，。.;；)）]{0,4}(?:消极|负面|中性|积极|正面))"
)
_CUE = re.compile(
    r"(?:\b(?:valence|score|sentiment|rating|rate|polarity|value|answer|say|give|estimate|is)\b|[=＝]|分数|得分|评分|答案|是|为)"
    r"[^\d.,;，。\n+-]{0,16}$",
    re.IGNORECASE,
)


def plain_numbers(text: str) -> str:
    """A text whose digits are plain, and whose minus signs stand right before their numbers."""
    text = "".join(map(_plain, text))
    return _WORDS.sub("-", _SIGN.sub("-", text))


def _plain(letter: str) -> str:
    if letter.isascii():
        return letter
    if letter == "\u3000" or "\uff0b" <= letter <= "\uff0e":  # full-width blank, plus, comma, minus and point
        return {"\uff0c": "，"}.get(letter, unicodedata.normalize("NFKC", letter))
    return str(unicodedata.decimal(letter, letter))


def without_scales(text: str) -> str:
    """A text with plain numbers, without the scales that it mentions and what their bounds mean."""
    text = plain_numbers(text)
    bounds = {"0"}
    for pattern in _SCALES:
        for match in pattern.finditer(text):
            bounds |= {number.lstrip("+-±") for number in re.findall(_M, match.group(), re.ASCII)}
        text = pattern.sub(" ", text)
    if len(bounds) > 1:
        ends = "|".join(map(re.escape, sorted(bounds, key=len, reverse=True)))
        text = re.sub(rf"(?<![\w.,])[-+]?(?:{ends}){_MEANS}", " ", text, flags=re.IGNORECASE)
    return text


def number_in(text: str) -> float | None:
    """The number that an answer gives.

    It is the number behind a word such as "score" or "say", else the first. There is none where nothing but the
    bounds of a scale is there, where two numbers have different signs, or where the number is not finite.
    """
    if not any(letter.isdigit() for letter in text):
        return None
    body = without_scales(text)
    found = [(match.start(), _value(match.group())) for match in _NUMBER.finditer(body)]
    cued = [value for place, value in found if _CUE.search(body[max(0, place - 40) : place])]
    values = cued or [value for _, value in found]
    if not values or not math.isfinite(values[0]):
        return None
    if not cued and min(values) < 0 < max(values):
        return None
    return values[0]


def whole_number(text: str) -> float | None:
    """The number that a text is, and nothing beside it; None for any other text."""
    plain = plain_numbers(text.strip())
    value = _value(plain) if _NUMBER.fullmatch(plain) else math.nan
    return value if math.isfinite(value) else None


def _value(text: str) -> float:
    return float(text.replace(",", "."))
