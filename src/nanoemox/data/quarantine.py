"""Clips that training and evaluation leave out by name: a list beside the manifest, one object a line.

`{"id": "…", "why": ["too_long: 287.4 s", …]}` in `<manifest>.quarantine.jsonl`. Nothing else is kept in it,
so it can be read, edited and put under version control.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nanoemox.data.manifest import ManifestError
from nanoemox.data.schema import Record
from nanoemox.files.atomic import write_jsonl
from nanoemox.files.json_text import JsonError, read_json


def quarantine_path(manifest: str | os.PathLike[str]) -> Path:
    """`corpus.jsonl` -> `corpus.quarantine.jsonl`, in the same folder."""
    path = Path(manifest)
    return path.with_name(f"{path.name.removesuffix('.jsonl')}.quarantine.jsonl")


def read_quarantine(path: str | os.PathLike[str]) -> dict[str, str]:
    """Id -> why, from a quarantine list; empty where there is none."""
    path = Path(path)
    known: dict[str, str] = {}
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror}); expected a quarantine list"
        ) from error
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        try:
            line = read_json(raw)
            name, why = line["id"], line["why"]
            if not isinstance(name, str) or not isinstance(why, list):
                raise TypeError
            known[name] = "; ".join(why)
        except (JsonError, KeyError, TypeError) as error:
            raise ManifestError(
                f'{path}, line {number}: expected {{"id": "…", "why": ["…"]}}; correct or remove the line'
            ) from error
    return known


def write_quarantine(path: str | os.PathLike[str], why: Mapping[str, Sequence[str]]) -> None:
    """Write the list, whole or not at all."""
    write_jsonl(path, ({"id": name, "why": list(reasons)} for name, reasons in why.items()))


def without_quarantined(
    records: Iterable[Record], manifest: str | os.PathLike[str]
) -> tuple[list[Record], dict[str, str]]:
    """The records that are not on the list beside `manifest`, and what was left out and why."""
    why = read_quarantine(quarantine_path(manifest))
    kept, left_out = [], {}
    for record in records:
        if record.id in why:
            left_out[record.id] = why[record.id]
        else:
            kept.append(record)
    return kept, left_out
