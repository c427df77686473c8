"""Any system's predictions as rows: csv, tsv, jsonl, json and the official npz, with every fault by name.

Files of other groups are read as they are. Nothing is dropped and nothing is guessed: a line that cannot be
read, an id that comes twice, bytes that are not UTF-8 are kept in `Faults`, counted and listed.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nanoemox.files.npz import read_npz
from nanoemox.metrics.emotion_mentions import emotions
from nanoemox.tasks.task import POLARITIES, TASKS, parse_labels

ID = ("id", "ids", "name", "names", "filename", "file", "clip", "video", "sample", "index")
TEXT = (
    "text",
    "output",
    "response",
    "responses",
    "chi_reasons",
    "eng_reasons",
    "reason",
    "reasons",
    "answer",
    "reply",
)
LABEL = ("pred_label", "pred_labels", "prediction", "pred", "label", "labels", "openset", "emotion", "intent")
TRUTH = ("truth", "gt", "ground_truth", "target", "true_label")
OWN: dict[str, type | tuple[type, ...]] = {  # keys of our own form that are read, and what they hold
    "label": str,
    "labels": (list, tuple),
    "polarity": str,
    "valence": (int, float),
    "score": (int, float),
    "thinking": dict,
    "reply": str,
    "cues": dict,
    "probabilities": dict,
    "error": str,
}
_FRAMED = re.compile(
    r"(?:label|emotional states?|sentiment state|emotion of the speaker|intent(?:ion)?)\s+(?:is|are)\b", re.I
)

Row = dict[str, Any]


@dataclass
class Faults:
    """Kind of fault -> the names of clips or lines that have it."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: object) -> None:
        self.found.setdefault(kind, []).append(str(name))

    def counts(self) -> dict[str, int]:
        return {kind: len(names) for kind, names in self.found.items()}


def read_rows(path: str | Path, faults: Faults) -> list[Row]:
    """One row an answer, each with an `id`; what cannot be read is in `faults`."""
    path = Path(path)
    kind = path.suffix.casefold()
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; expected predictions, or a folder of evaluate")
    if kind == ".npz":
        rows = _from_npz(path)
    elif kind in (".csv", ".tsv"):
        rows = _from_table(path, "\t" if kind == ".tsv" else ",", faults)
    elif kind in (".jsonl", ".json"):
        rows = _from_json(path, faults)
    else:
        raise ValueError(f"{path}: expected .csv, .tsv, .jsonl, .json or .npz; convert it to one of these")
    known: list[Row] = []
    for number, row in enumerate(rows, 1):
        name = _first(row, ID)
        if name is None or not str(name).strip():
            faults.add("row without an id", f"row {number}")
            continue
        known.append({**row, "id": str(name).strip()})
    return known


def _decoded(path: Path, faults: Faults) -> str:
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16", errors="replace")
        if "\ufffd" in text:
            faults.add("not UTF-16 (unreadable bytes became U+FFFD)", path.name)
        return text
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    out = []
    for number, line in enumerate(lines, 1):
        try:
            out.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            faults.add("not UTF-8 (unreadable bytes became U+FFFD)", f"line {number}")
            out.append(line.decode("utf-8", errors="replace"))
    return "\n".join(out)


def _from_table(path: Path, comma: str, faults: Faults) -> list[Row]:
    before = csv.field_size_limit(2**31 - 1)  # for the whole process, so it is set back
    try:
        return _table_rows(path, comma, faults)
    finally:
        csv.field_size_limit(before)


def _table_rows(path: Path, comma: str, faults: Faults) -> list[Row]:
    reader = csv.DictReader(io.StringIO(_decoded(path, faults), newline=""), delimiter=comma)
    names = [name.strip() for name in reader.fieldnames or () if name]
    if not any(n.casefold() in ID for n in names):
        raise ValueError(
            f"{path}: expected a column of names ({', '.join(ID[:4])}) and one of answers, "
            f"found {', '.join(names) or 'no heading'}; rename them"
        )
    if not any(n.casefold() in (*TEXT, *LABEL, *OWN) for n in names):
        raise ValueError(
            f"{path}: expected a column of answers, such as text, label or pred_label, found {', '.join(names)}"
        )
    rows = []
    try:
        for row in reader:
            if None in row:
                faults.add("more cells than columns", f"line {reader.line_num}")
            rows.append({k.strip().casefold(): v for k, v in row.items() if k is not None and v is not None})
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {reader.line_num}: expected a table ({error}); write it again"
        ) from error
    return rows


def _from_json(path: Path, faults: Faults) -> list[Row]:
    text = _decoded(path, faults)
    if path.suffix.casefold() == ".json":
        try:
            whole = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: expected JSON ({error}); write it again") from error
        if isinstance(whole, Mapping):
            return [_pair(name, item) for name, item in whole.items()]
        if not isinstance(whole, list):
            raise ValueError(f"{path}: expected a list of objects, or one object of answers by name")
        for number, item in enumerate(whole, 1):
            if not isinstance(item, dict):
                faults.add("not a JSON object", f"entry {number}")
        return [item for item in whole if isinstance(item, dict)]
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        else:
            faults.add("not a JSON object", f"line {number}")
    return rows


def _from_npz(path: Path) -> list[Row]:
    arrays = read_npz(path, "name2reason, or filenames and fileitems")
    if isinstance(arrays.get("name2reason"), Mapping):
        return [_pair(name, item) for name, item in arrays["name2reason"].items()]
    if "filenames" in arrays and "fileitems" in arrays:
        names, items = list(arrays["filenames"]), list(arrays["fileitems"])
        if len(names) != len(items):
            raise ValueError(f"{path}: {len(names)} filenames but {len(items)} fileitems; they must pair up")
        return [_pair(name, item) for name, item in zip(names, items, strict=True)]
    raise ValueError(f"{path}: expected name2reason, or filenames and fileitems; found {', '.join(arrays)}")


def _pair(name: object, item: Any) -> Row:
    if isinstance(item, Mapping):
        return {**item, "id": str(name)}
    if isinstance(item, Sequence) and not isinstance(item, str | bytes):
        return {"id": str(name), "labels": [str(part) for part in item]}
    text = item.decode("utf-8", "replace") if isinstance(item, bytes) else item
    return {"id": str(name), "text": "" if text is None else str(text)}


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


# ---------------------------------------------------------------- rows to predictions


def truth_of(row: Row) -> str | None:
    """The truth, where a file brings it in a column of its own."""
    value = _first(row, TRUTH)
    return None if value is None else str(value).strip() or None


def prediction(row: Row, task: str, candidates: Sequence[str] | None, faults: Faults) -> tuple[Row, str]:
    """One row as a prediction of a task, and the route by which its labels were found."""
    text = _first(row, TEXT)
    text = "" if text is None else str(text)
    line: Row = {"id": row["id"], "task": task, "text": text}
    if row.get("task") == task:  # our own form
        own = _own_fields(row, faults)
        if "error" in own:
            faults.add("the system failed (counts as wrong)", f"{row['id']}: {own['error'][:60]}")
            return {**line, **own}, "none"
        if own:
            _check_own(row["id"], task, own, candidates, faults)
            return {**line, **own}, "own fields"
        row = {key: value for key, value in row.items() if key not in OWN}
    labels = None if task in ("reasoning", "empathy") else _first(row, LABEL)
    if task == "sentiment":
        labels = row.get("polarity") or row.get("valence") or row.get("score") or labels
    stated = ", ".join(map(str, labels)) if isinstance(labels, list) else labels
    line["text"] = text = text if stated is None else str(stated)
    if not text.strip():
        faults.add("empty answer", row["id"])
        return line, "none"
    if task == "open_vocabulary":
        line["labels"], route = labels_from(text)
        return line, route
    if task == "sentiment" and text.strip().casefold() in ("nan", "inf", "-inf", "+inf"):
        faults.add("valence is not a number", row["id"])
        return line, "none"
    parsed = TASKS[task].parse(text, candidates)
    for key in ("label", "polarity", "valence", "thinking", "reply", "cues"):
        value = getattr(parsed, key)
        if value not in (None, {}, ()):
            line[key] = value
    if isinstance(line.get("valence"), float) and not math.isfinite(line["valence"]):
        faults.add("valence is not a number", row["id"])
        del line["valence"]
    if task in ("emotion", "intent"):
        known = {c.casefold() for c in candidates or TASKS[task].defaults}
        said = str(line.get("label") or "")
        if task == "emotion":
            line["labels"], route = labels_from(text)
        else:
            route = "label"
        if said.casefold() not in known:
            faults.add("label outside the list", f"{row['id']}: {said[:60]!r}")
        return line, "answer grammar" if _FRAMED.search(text) else route
    if task in ("reasoning", "empathy"):
        return line, "answer grammar" if line.get("cues") or line.get("thinking") else "free text"
    if task == "sentiment" and line.get("polarity") not in POLARITIES:
        faults.add("label outside the list", f"{row['id']}: {text[:60]!r}")
    return line, "answer grammar" if _FRAMED.search(text) else "label"


def _own_fields(row: Row, faults: Faults) -> Row:
    """The keys of our own form that hold what they should; others are faults."""
    own: Row = {}
    for key, kind in OWN.items():
        value = row.get(key)
        if value is None:
            continue
        right = isinstance(value, kind) and not isinstance(value, bool)
        if key == "labels" and right:
            right = all(isinstance(part, str) for part in value)
        if key == "thinking" and right:
            right = all(isinstance(part, str) for part in value.values())
        if key == "cues" and right:
            right = all(isinstance(c, list) and all(isinstance(x, str) for x in c) for c in value.values())
        if not right:
            faults.add("a field of another type (not read)", f"{row['id']}: {key} {value!r:.40}")
        elif isinstance(value, float) and not math.isfinite(value):
            faults.add("valence is not a number", row["id"])
        else:
            own[key] = value
    return own


def _check_own(name: str, task: str, own: Row, candidates: Sequence[str] | None, faults: Faults) -> None:
    """Name what is missing or off the list; it stays as it is and counts as wrong."""
    key = {"sentiment": "polarity", "open_vocabulary": "labels", "reasoning": "cues", "empathy": "reply"}.get(
        task, "label"
    )
    if not own.get(key) and task != "reasoning":
        faults.add("empty answer", name)
    elif task in ("emotion", "intent", "sentiment"):
        known = {label.casefold() for label in candidates or TASKS[task].defaults}
        if str(own[key]).casefold() not in known:
            faults.add("label outside the list", f"{name}: {own[key][:60]!r}")


def labels_from(text: str) -> tuple[tuple[str, ...], str]:
    """Labels by the first rule that fits: the trained grammar, a list, emotion words in running text."""
    if _FRAMED.search(text):
        return parse_labels(text), "answer grammar"
    body = text.strip()
    short = body.startswith("[") or all(len(part.split()) <= 3 for part in re.split(r",|;|\n", body))
    if short and not re.search(r"\b(?:not|no|never|without)\b", body, re.I):
        return parse_labels(body), "label list"
    found = emotions(body)
    return found, "words in running text" if found else "none"
