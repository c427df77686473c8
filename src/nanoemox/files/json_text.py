"""JSON of strangers: what Python's own reader lets pass, or ends in an error of another kind, is one line here.

Python reads `NaN`, keeps the last of two equal keys, makes infinity of 1e999 and half a character of "\\ud800"; a
thousand brackets and a number of five thousand digits end in errors that are none of JSON.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NamedTuple, NoReturn

from nanoemox.files.errors import NanoEmoXError

DEEPEST = 64  # objects and lists within one another
_DIGITS = 20  # of a whole number: more than 64 bits are neither a label nor a count


class JsonError(NanoEmoXError):
    """Text that is no JSON, or none that can be kept. The reason alone; the file is for the caller to name."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


class Document(NamedTuple):
    """What a file holds. repeated: keys that stand twice in one of its objects; the last one counts."""

    value: Any
    repeated: tuple[str, ...]


def read_json(text: str | bytes) -> Any:
    """One JSON value in which every number can be kept and every key stands once. Raises: JsonError."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if again := _repeated(pairs):
            raise JsonError(f"the key {again[0]!r:.60} stands twice in one object")
        return dict(pairs)

    def whole(digits: str) -> int:
        if len(digits) > _DIGITS:
            raise JsonError(f"a whole number has {len(digits):,} digits")
        return int(digits)

    def finite(digits: str) -> float:
        if not math.isfinite(value := float(digits)):
            raise JsonError(f"the number {digits:.20} is too large")
        return value

    def refuse(name: str) -> NoReturn:
        raise JsonError(f"{name} is no number of JSON")

    return _loaded(text, object_pairs_hook=once, parse_int=whole, parse_float=finite, parse_constant=refuse)


def read_document(text: str | bytes) -> Document:
    """A JSON file with many entries, of which a few may be wrong: a number that cannot be kept becomes NaN.

    `is_usable` tells the entries apart. Raises JsonError where the file as a whole is no JSON.
    """
    repeated: list[str] = []

    def last(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        repeated.extend(_repeated(pairs))
        return dict(pairs)

    def whole(digits: str) -> float:
        return int(digits) if len(digits) <= _DIGITS else math.nan

    value = _loaded(text, object_pairs_hook=last, parse_int=whole)
    return Document(value, tuple(repeated))


def is_usable(value: Any) -> bool:
    """Whether all numbers within a JSON value are finite."""
    if isinstance(value, dict | list):
        return all(map(is_usable, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


def _loaded(text: str | bytes, **hooks: Any) -> Any:
    try:
        text = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(text, **hooks)
        if _too_deep(value):
            raise RecursionError
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise JsonError(error.msg[:1].lower() + error.msg[1:], error.lineno) from error
    except UnicodeDecodeError as error:
        raise JsonError(f"byte {error.start} is not UTF-8") from error
    except UnicodeEncodeError as error:
        raise JsonError("it holds half of a character: a surrogate without its other half") from error
    except RecursionError as error:
        raise JsonError(f"it is nested too deeply, more than {DEEPEST} times") from error
    return value


def _repeated(pairs: list[tuple[str, Any]]) -> list[str]:
    if len(dict(pairs)) == len(pairs):
        return []
    return [key for key, times in Counter(key for key, _ in pairs).items() if times > 1]


def _too_deep(value: Any) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEEPEST + 1):
        nested = [item.values() if isinstance(item, dict) else item for item in level]
        level = [part for parts in nested for part in parts if isinstance(part, dict | list)]
        if not level:
            return False
    return True
