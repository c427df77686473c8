"""A corpus is a manifest: UTF-8 JSONL, one clip a line, and what is known about it for any of the tasks.

Keys are checked, all of them: an unknown one is refused by name with its line, since a misspelt label that is
silently skipped costs more than an error. Paths are relative to the manifest's folder and stay inside it.
What a model answered has a form of its own, `Prediction`, one answer a line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from nanoemox.data.schema import MEDIA, Prediction, Record
from nanoemox.files.errors import NanoEmoXError
from nanoemox.files.json_text import JsonError, read_json
from nanoemox.files.validation import first_wrong
from nanoemox.tasks.labels import Labels, labels_form

LONGEST_LINE_BYTES = 16 << 20  # a media file named as a manifest has lines without end


class ManifestError(NanoEmoXError):
    """A manifest or predictions that cannot be used. One line: file, line, what is wrong, what to do."""


class WrongLineError(NanoEmoXError):
    """A line that cannot be used. The reason alone; file and line are for the caller to name."""


_Line = TypeVar("_Line", Record, Prediction)


def read_manifest(path: str | os.PathLike[str], *, allow_outside: bool | None = None) -> list[Record]:
    """The clips of a manifest, in its order, with their paths resolved.

    Args:
        path: The manifest.
        allow_outside: Accept absolute paths and paths that lead out of the manifest's folder; None, only where
            the environment says NANOEMOX_ALLOW_OUTSIDE=1.

    Returns:
        One record a line.

    Raises:
        ManifestError: Naming the line and the key, for anything that is not as docs/manifest.md describes it.
    """
    path = Path(path)
    records: list[Record] = []
    lines: dict[str, int] = {}
    for number, record in _read(path, Record):
        if record.id in lines:
            _refuse(path, number, f"id {record.id!r} is also on line {lines[record.id]}", "make ids unique")
        lines[record.id] = number
        found = {kind: getattr(record, kind) for kind in MEDIA if getattr(record, kind) is not None}
        for kind, name in found.items():
            if leads_outside(name) and not may_lead_outside(allow_outside):
                _refuse(
                    path,
                    number,
                    f"{kind} {os.fspath(name)!r} leads out of the manifest's folder",
                    "move or link the file into it, or set NANOEMOX_ALLOW_OUTSIDE=1 if you trust the manifest",
                )
        records.append(record.model_copy(update={kind: path.parent / name for kind, name in found.items()}))
    if not records:
        raise ManifestError(f"{path}: has no lines (expected one JSON object a line); check the path")
    return records


def read_predictions(path: str | os.PathLike[str], unfinished: bool = False) -> list[Prediction]:
    """The answers in a file of predictions; a pair (id, task) that occurs twice is an error.

    `unfinished`: the file of a run that may have been stopped. Lines that cannot be read are left out, and of a
    pair that occurs twice the last one counts.
    """
    path = Path(path)
    lines: dict[tuple[str, str], int] = {}
    predictions: dict[tuple[str, str], Prediction] = {}
    for number, prediction in _read(path, Prediction, unfinished):
        pair = (prediction.id, prediction.task)
        if pair in lines and not unfinished:
            _refuse(
                path, number, f"{pair[0]!r} has an answer to {pair[1]} on line {lines[pair]}", "remove one"
            )
        lines[pair] = number
        predictions[pair] = prediction
    return list(predictions.values())


def manifest_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, with their numbers. Only a line feed ends a line: read as bytes."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(LONGEST_LINE_BYTES + 1):
            number += 1
            if len(raw) > LONGEST_LINE_BYTES:
                wrong = f"is longer than {LONGEST_LINE_BYTES >> 20} MiB, expected one JSON object"
                _refuse(path, number, wrong, "check that the file is JSONL")
            raw = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if raw.strip():
                yield number, raw


def _read(path: Path, form: type[_Line], unfinished: bool = False) -> Iterable[tuple[int, _Line]]:
    """Numbered lines of a file, each checked; blank ones are skipped, and wrong ones if it is `unfinished`."""
    try:
        for number, raw in manifest_lines(path):
            try:
                yield number, checked_line(raw, form)
            except WrongLineError as error:
                if unfinished:
                    continue
                _refuse(path, number, str(error), "correct the line")
    except OSError as error:
        reason = (error.strerror or type(error).__name__).casefold()
        raise ManifestError(
            f"{path}: cannot be read ({reason}); expected a JSONL file, check the path"
        ) from error


def checked_line(raw: bytes, form: type[_Line]) -> _Line:
    """A line of JSON as a record or a prediction. Raises: WrongLineError."""
    try:
        line = form.model_validate_json(raw, strict=True)
        read_json(raw)  # pydantic keeps the last of two equal keys, and NaN where a key may hold anything
    except ValidationError as error:
        raise WrongLineError(wrong_line(error, form)) from error
    except JsonError as error:
        raise WrongLineError(str(error)) from error
    return line


def wrong_line(error: ValidationError, form: type[BaseModel]) -> str:
    """The first thing that is wrong with a line of a manifest or of predictions, and how many more there are."""
    elsewhere = "anything else goes under extra" if form is Record else ""
    return first_wrong(error, form, elsewhere, {Labels: labels_form()})


def _refuse(path: Path, number: int, wrong: str, remedy: str) -> None:
    raise ManifestError(f"{path}, line {number}: {' '.join(wrong.split())}; {remedy}")


def leads_outside(path: Path) -> bool:
    """Whether a path of a manifest is absolute or climbs out of its folder (on any system)."""
    windows = PureWindowsPath(path)
    if path.is_absolute() or windows.drive or windows.root:
        return True
    return Path(os.path.normpath(path)).parts[:1] == (os.pardir,)


def may_lead_outside(allowed: bool | None) -> bool:
    """Whether paths out of the manifest's folder are allowed: as `allowed` has it, else as the environment does."""
    return os.environ.get("NANOEMOX_ALLOW_OUTSIDE") == "1" if allowed is None else allowed
