"""What a model wrote, without what it wraps its answer in: one reader for every task and every scorer.

Thoughts (`<think>…</think>`, closed or not, or only the closing tag) are removed. The answer is taken out of
`<answer>` tags, code fences, `\\boxed{}`, the boxes of GLM and a JSON object; special tokens of chat templates go.
Of several answers of one form the last one counts. What was found is counted by the reports.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

THOUGHTS, OPEN_THOUGHTS = "thoughts removed", "thoughts without an end removed"
TAG, BOX, FENCE, JSON, TOKENS = "answer tag", "box", "code fence", "JSON", "special tokens removed"

_THOUGHT = r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|analysis)"
_LEFT, _RIGHT = r"(?:<|&lt;|＜|◁|\[(?=/?THINK\]))", r"(?:>|&gt;|＞|▷|\])"
_THOUGHT_TAG = re.compile(rf"{_LEFT}\s*(/?)\s*{_THOUGHT}(?:\s[^<>]*)?\s*{_RIGHT}", re.IGNORECASE)
# The channels of gpt-oss, with their tokens or, where a decoder has skipped these, without.
_CHANNEL = re.compile(
    r"<\|channel\|>\s*(?:analysis|commentary)\b.*?(?=<\|channel\|>\s*final|\Z)|\A\s*analysis(?=\S).*?assistantfinal",
    re.IGNORECASE | re.DOTALL,
)
_FINAL = re.compile(r"<\|channel\|>\s*final\s*(?:<\|message\|>)?", re.IGNORECASE)
_ANSWER = r"(?:final[_ ]?answer|answer|final|output|response|result|label|emotions?|sentiment|intent)"
_ANSWER_TAG = re.compile(
    rf"(?:<|&lt;|＜)\s*({_ANSWER})\s*(?:>|&gt;|＞)(.*?)(?:(?:<|&lt;|＜)\s*/\s*\1\s*(?:>|&gt;|＞)|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_STRAY_ANSWER_TAG = re.compile(rf"(?:<|&lt;|＜)\s*/?\s*{_ANSWER}\s*(?:>|&gt;|＞)", re.IGNORECASE)
_BOX_TOKENS = re.compile(r"<\|begin_of_box\|>(.*?)(?:<\|end_of_box\|>|\Z)", re.DOTALL)
_FENCE = re.compile(r"(```+|~~~+)(?:[ \t]*[\w+-]*[ \t]*\n|json\b)?(.*?)(?:\1|\Z)", re.DOTALL)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_STYLED = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|emph)\s*\{([^{}]*)\}")
_SPECIAL = re.compile(
    r"<\|(?:im_)?start\|>(?:assistant\b|user\b)?|<\|start_header_id\|>\w*<\|end_header_id\|>"
    r"|<\|(?:im_end|eot_id|endoftext|end_of_text|end|eos|return|message|assistant|user|channel)\|>"
    r"|</?s>|<(?:eos|bos|pad|end_of_turn|start_of_turn)>|\[/?INST\]|<｜[^｜<>]{1,30}｜>"
)
_MAY_WRAP = re.compile(
    r"[<＜◁&\\{`]|~~~|\[/?(?:THINK|INST)\]|\A\s*analysis", re.IGNORECASE
)  # no wrapper lacks these
# SenseVoice: language, emotion, event and form as tokens, then a transcript, which is no answer.
_SENSEVOICE = re.compile(r"<\|([A-Za-z_]+)\|>")
_SENSEVOICE_EMOTIONS = {"happy", "sad", "angry", "neutral", "fearful", "disgusted", "surprised"}
_SENSEVOICE_UNKNOWN = {"emo_unknown", "emo_unkown"}  # the second as its tokenizer spells it


class Unwrapped(NamedTuple):
    """An answer without its wrappers, and which wrappers there were."""

    text: str
    wrappers: tuple[str, ...] = ()


@lru_cache(maxsize=1024)  # one answer is asked for several times in a row
def unwrapped(text: str, keys: tuple[str, ...] = ()) -> Unwrapped:
    """The answer in a model's output.

    Args:
        text: What the model wrote.
        keys: The keys under which a JSON object may hold the answer.

    Returns:
        The answer, empty where there are only thoughts, and the wrappers that were taken off.
    """
    if not _MAY_WRAP.search(text):
        return Unwrapped(text.strip())
    wrappers: list[str] = []
    body, found = without_thoughts(text)
    wrappers += found
    for kind, take in ((TAG, _tagged), (BOX, _boxed), (FENCE, _fenced)):
        inner = take(body)
        if inner is not None:
            body = inner
            wrappers.append(kind)
    emotion = _sensevoice(body)
    plain = emotion if emotion is not None else _STYLED.sub(r"\1", _SPECIAL.sub("", body))
    if plain != body:
        body = plain
        wrappers.append(TOKENS)
    value = _from_json(body.strip(), keys)
    if value is not None:
        body = value
        wrappers.append(JSON)
    return Unwrapped(body.strip(), tuple(dict.fromkeys(wrappers)))


def without_thoughts(text: str) -> tuple[str, tuple[str, ...]]:
    """A text without its thoughts, and what was removed.

    A closing tag that nothing opened ends thoughts that began in the prompt. Thoughts that never end reach to the
    end of the text, or to the answer tag that follows them.
    """
    kinds: list[str] = []
    kept: list[str] = []
    place, inside = 0, False
    for tag in _THOUGHT_TAG.finditer(text):
        if not inside:
            kept.append(text[place : tag.start()])
        if tag.group(1):
            if not inside:
                kept.clear()
            kinds.append(THOUGHTS)
        inside = not tag.group(1)
        place = tag.end()
    if inside:
        kinds.append(OPEN_THOUGHTS)
        answers = list(_ANSWER_TAG.finditer(text, place))
        kept.append(answers[-1].group() if answers else "")
    else:
        kept.append(text[place:])
    body = "".join(kept)
    without = _CHANNEL.sub("", body)
    if without != body:
        body = _FINAL.sub("", without)
        kinds.append(THOUGHTS)
    return (body if kinds else text), tuple(dict.fromkeys(kinds))


def _tagged(text: str) -> str | None:
    """What stands in the last answer tag."""
    found = list(_ANSWER_TAG.finditer(text))
    if found:
        return found[-1].group(2)
    stray = _STRAY_ANSWER_TAG.sub("", text)
    return stray if stray != text else None


def _boxed(text: str) -> str | None:
    r"""What stands in the last \boxed{…}, to the brace that closes it, or between GLM's box tokens."""
    tokens = list(_BOX_TOKENS.finditer(text))
    if tokens:
        return tokens[-1].group(1)
    opening = list(_BOXED.finditer(text))
    if not opening:
        return None
    start = opening[-1].end()
    depth = 1
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start:place]
    return text[start:]


def _fenced(text: str) -> str | None:
    """What stands in the last code fence that holds something."""
    found = [match.group(2) for match in _FENCE.finditer(text) if match.group(2).strip()]
    return found[-1] if found else None


def _sensevoice(text: str) -> str | None:
    """The emotions of SenseVoice's tokens as a list, empty where it knows none; None for any other text."""
    names = [name.casefold() for name in _SENSEVOICE.findall(text)]
    emotions = [name for name in names if name in _SENSEVOICE_EMOTIONS]
    if not emotions and not _SENSEVOICE_UNKNOWN & set(names):
        return None
    return ", ".join(dict.fromkeys(emotions))


def _from_json(text: str, keys: Sequence[str]) -> str | None:
    """The answer that a JSON object holds; a list of labels stays in brackets."""
    if text[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return None
    by_key = {str(key).strip().casefold(): found for key, found in value.items()}
    found = next((by_key[key] for key in keys if by_key.get(key) not in (None, "")), None)
    if isinstance(found, list) and all(isinstance(part, str) for part in found):
        return f"[{', '.join(found)}]"
    return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else None
