"""How values that hold much show themselves: one line that a person reads, whatever is inside."""

from __future__ import annotations

import reprlib
from collections.abc import Collection
from dataclasses import fields
from typing import Any

LINE = 600  # characters of a whole value
_PART = 100  # and of one of its fields


class ShortRepr:
    """Base of dataclasses (with `repr=False`) that hold arrays, tables or long texts."""

    def __repr__(self) -> str:
        shown = (f"{entry.name}={_short(getattr(self, entry.name))}" for entry in fields(self))  # type: ignore[arg-type]
        text = f"{type(self).__name__}({', '.join(shown)})"
        return text if len(text) <= LINE else f"{text[: LINE - 2]}…)"


class _Words(reprlib.Repr):
    """The standard library's shortened representation, with arrays and tensors by their shape."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 3
        self.maxstring, self.maxother = 60, 80

    def repr1(self, x: Any, level: int) -> str:
        shape = getattr(x, "shape", None)
        if shape is not None and not isinstance(x, type):
            return f"{type(x).__name__}[{', '.join(map(str, shape))}]"
        return super().repr1(x, level)


_WORDS = _Words()


def _short(value: Any) -> str:
    text = " ".join(_WORDS.repr(value).split())
    if len(text) <= _PART:
        return text
    if isinstance(value, Collection) and not isinstance(value, str):
        return f"{type(value).__name__} of {len(value)}"
    return f"{text[: _PART - 1]}…"
