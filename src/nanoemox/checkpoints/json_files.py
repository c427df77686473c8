"""The JSON files of a model folder, read within bounds: one object whose numbers are finite."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 64_000_000  # the tokenizer of a large language model has about 12 MB


def parse_object(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises OSError if it cannot be read, and ValueError if it is too large, no JSON, nested too deep, or another value.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"expected at most {MOST_BYTES:,} bytes, got {size:,}")
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError(f"expected an object in braces, got {shown(value)}")
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"expected finite numbers, got {text}")
    return number


def keys_within(value: Any, at: str = "") -> Iterator[tuple[str, str, Any]]:
    """All keys of an object and of the objects in it: place, key, value."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            place = f"{at}.{key}" if at else str(key)
            yield place, str(key), item
            yield from keys_within(item, place)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from keys_within(item, f"{at}.{number}")


def shown(value: Any) -> str:
    """A wrong value for an error, in one short line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}…"
