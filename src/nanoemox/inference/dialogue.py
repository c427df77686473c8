"""The turns of a dialogue before a clip: checked values, or read from a file or from a text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nanoemox.data.schema import DialogueTurn
from nanoemox.files.errors import ArgumentError
from nanoemox.files.text import given_text
from nanoemox.files.validation import first_wrong
from nanoemox.inference.results import Dialogue

USER = "user"  # the person in the clip; whoever answers is the assistant
MOST_BYTES = 1_000_000  # no model has room for more
ENDINGS = (".json", ".jsonl", ".txt")
# "Ben: I lost my keys": a name of a few words before a colon. In a time or an address no blank follows the colon.
_WORD = r"[\w.'’-]"
_NAMED = re.compile(
    rf"\s*(?P<role>[^\W\d_]{_WORD}{{0,30}}(?: {_WORD}{{1,30}}){{0,3}}) ?(?::\s|：)\s*(?P<text>.*)$"
)
_JSON = re.compile(r'\s*(?:\[\s*\{|\{\s*")')  # a text may well begin with "[sighs]"
_FORM = 'expected turns such as {"role": "user", "text": "I lost my keys."}'


def checked_turns(dialogue: Dialogue | None) -> list[dict[str, str]] | None:
    """The turns as plain dicts.

    Args:
        dialogue: Earlier turns, oldest first, each with "role" and "text".

    Returns:
        The turns; None where there are none.

    Raises:
        ArgumentError: If a turn has another form.
    """
    if dialogue is None:
        return None
    if isinstance(dialogue, str | bytes | Mapping) or not isinstance(dialogue, Sequence):
        got = type(dialogue).__name__
        raise ArgumentError(
            f"dialogue: {_FORM} in a list, got {got}; read a text or a file with read_dialogue"
        )
    turns = [_turn(turn, f"dialogue, turn {number}") for number, turn in enumerate(dialogue, 1)]
    return [turn for turn in turns if given_text(turn["text"], "dialogue")] or None  # without blank ones


def read_dialogue(source: str | Path) -> list[dict[str, str]]:
    """Read the turns of a dialogue from a file or from a text.

    A file holds a JSON list of turns, one JSON object a line, or plain text. In plain text every line is a turn:
    "assistant: What happened?". A line that names nobody is a turn of the person in the clip (`user`).

    Args:
        source: The name of a .json, .jsonl or .txt file, or the text itself.

    Returns:
        The turns, oldest first, each with "role" and "text".

    Raises:
        ArgumentError: If there is no such file, or it holds no turns.
    """
    name, path = str(source), Path(source)
    is_name = path.suffix.lower() in ENDINGS and "\n" not in name
    if isinstance(source, Path) or is_name or _is_there(path):
        where, text = name, _content(path)
    else:
        where, text, is_name = "dialogue", name, False
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ArgumentError(f"{where}: expected text in UTF-8, found other bytes; write it in UTF-8")
    listed = _JSON.match(text) or (is_name and path.suffix.lower() != ".txt")
    turns = _from_json(text, where) if listed else _from_lines(text)
    if not turns:
        raise ArgumentError(
            f"{where}: {_FORM}, or lines such as `user: I lost my keys.`, found nothing; add a turn"
        )
    return turns


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a text that is too long for a name, or holds a zero byte
        return False


def _content(path: Path) -> str:
    if not path.is_file():
        raise ArgumentError(
            f"{path}: expected a file with the turns of a dialogue, found none; check the path"
        )
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ArgumentError(f"{path}: expected at most {MOST_BYTES:,} bytes of dialogue; keep the last turns")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ArgumentError(
            f"{path}: expected text in UTF-8, found another byte at position {error.start}; save the file as UTF-8"
        ) from error


def _from_json(text: str, where: str) -> list[dict[str, str]]:
    """Turns of a JSON list, or of one object a line."""
    try:
        if text.lstrip().startswith("["):
            return [_turn(turn, f"{where}, turn {i}") for i, turn in enumerate(json.loads(text), 1)]
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        return [_turn(json.loads(line), f"{where}:{number}") for number, line in lines]
    except ArgumentError:
        raise
    except (ValueError, RecursionError) as error:  # ValueError: also a number of thousands of digits
        why = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise ArgumentError(
            f"{where}: {_FORM} in a JSON list or one a line, but {why}; mend the JSON"
        ) from error


def _from_lines(text: str) -> list[dict[str, str]]:
    """One turn a line; a name before a colon says whose it is."""
    turns = []
    for line in filter(str.strip, text.splitlines()):
        named = _NAMED.match(line)
        role, said = (named["role"], named["text"]) if named else (USER, line)
        role = role.casefold() if role.casefold() in (USER, "assistant") else role
        turns.append({"role": role, "text": said.strip()})
    return turns


def _turn(turn: Any, where: str) -> dict[str, str]:
    try:
        checked = turn if isinstance(turn, DialogueTurn) else DialogueTurn.model_validate(turn)
    except ValidationError as error:
        raise ArgumentError(
            f"{where}: {_FORM}, but {first_wrong(error, DialogueTurn)}; correct it"
        ) from error
    return {"role": checked.role, "text": checked.text}
