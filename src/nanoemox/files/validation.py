"""A pydantic ValidationError in one line that a reader can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

_SHOWN = 60  # characters of a wrong value
# Errors whose message names the value already, or where there is none to show.
_WITHOUT_VALUE = {"missing", "value_error", "json_invalid"}


def first_wrong(
    error: ValidationError,
    form: type[BaseModel],
    elsewhere: str = "",
    checked_by: Mapping[type[BaseModel], type[BaseModel]] | None = None,
) -> str:
    """Say what is wrong first, with its place and the value that was found, and how many more things are.

    Args:
        error: what pydantic raised.
        form: the class that was to be filled; for an unknown key, the keys that it knows at that place are listed.
        elsewhere: where a key that is unknown at the top belongs, such as "anything else goes under extra".
        checked_by: for a class that lets another one check its content, that other one.

    Returns:
        One line, without a full stop.
    """
    # A misspelt key comes before the one that is missing for it.
    found = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    first, *others = found
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        parents = first["loc"][:-1]
        wrong = f"unknown key {place!r} (known: {', '.join(_keys(form, parents, checked_by or {}))})"
        wrong += f"; {elsewhere}" if elsewhere and not parents else ""
    else:
        message = first["msg"].removeprefix("Value error, ")
        got = "" if first["type"] in _WITHOUT_VALUE else f", got {first['input']!r:.{_SHOWN}}"
        wrong = f"{place + ': ' if place else ''}{message[:1].lower()}{message[1:]}{got}"
    more = f" (and {len(others)} more)" if others else ""
    return " ".join(f"{wrong}{more}".split())


def _keys(
    form: type[BaseModel],
    parents: Sequence[int | str],
    checked_by: Mapping[type[BaseModel], type[BaseModel]],
) -> list[str]:
    """The keys that are known at a place in a form."""
    for name in parents:
        if isinstance(name, int):
            continue
        field = form.model_fields.get(name)
        inner = [
            k for k in _types(field and field.annotation) if isinstance(k, type) and issubclass(k, BaseModel)
        ]
        if not inner:
            return []
        form = checked_by.get(inner[0], inner[0])
    return list(form.model_fields)


def _types(annotation: Any) -> list[Any]:
    """A type and all types inside it: list[A | None] -> itself, A | None, A, None."""
    inside = getattr(annotation, "__args__", ())
    return [annotation, *(found for part in inside for found in _types(part))]
