"""Any system's predictions as rows: csv, tsv, jsonl, json and the official npz, with every fault by name.

Files of other groups are read as they are. Nothing is dropped and nothing is guessed: a line that cannot be
read, an id that comes twice, bytes that are not UTF-8 are faults, counted and listed. How a row becomes an answer,
its task says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from nanoemox.data.schema import Prediction
from nanoemox.files.errors import ArgumentError
from nanoemox.files.json_text import JsonError, read_document
from nanoemox.files.listed import one_or_more
from nanoemox.files.npz import read_npz
from nanoemox.files.separated import SEPARATORS, TableError, decoded, layout_of, rows_of
from nanoemox.tasks.base import Task
from nanoemox.tasks.closed import EMPTY
from nanoemox.tasks.grammar import NO_ROUTE, Answer, Reading
from nanoemox.tasks.task import TASKS

ID = ("id", "ids", "name", "names", "filename", "file", "clip", "video", "sample", "index", "key")
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
OURS = {
    "id": "id",
    "text": "text",
    "answer": "text",
    "label": "label",
    "truth": "truth",
}  # what --column may name
OWN_ROUTE = "own fields"
FAILED = "the system failed (counts as wrong)"
NO_ANSWER_LEFT = "thoughts or tokens without an answer (counts as wrong)"

Row = dict[str, Any]


class FileFault(NamedTuple):
    """One thing that is odd about a file: the kind of fault, and the clip or line that has it."""

    kind: str
    name: str


class FaultNames(TypedDict):
    """How many clips or lines have a kind of fault, and which."""

    n: int
    names: list[str]


def grouped(faults: Iterable[FileFault]) -> dict[str, FaultNames]:
    """Faults by their kind."""
    found: dict[str, FaultNames] = {}
    for kind, name in faults:
        entry = found.setdefault(kind, {"n": 0, "names": []})
        entry["n"] += 1
        entry["names"].append(name)
    return found


class FileReading(NamedTuple):
    """One row as a prediction, by which route it was read, and what is odd about it.

    renamed: a label as the row spells it, and the candidate that it stands for, where these are two words. wrappers:
    what the answer was wrapped in.
    """

    prediction: Prediction
    route: str
    faults: list[FileFault]
    renamed: tuple[str, str] | None = None
    wrappers: tuple[str, ...] = ()


def named_columns(pairs: str | Sequence[str]) -> dict[str, str]:
    """Our column -> the file's, from texts such as `answer=model_output`. Errors: ArgumentError."""
    columns = {}
    for pair in one_or_more(pairs):
        ours, equals, theirs = (part.strip() for part in pair.partition("="))
        if not (equals and theirs) or ours not in OURS:
            raise ArgumentError(
                f"--column {pair}: expected one of {', '.join(OURS)}, then = and the file's column"
            )
        columns[OURS[ours]] = theirs
    return columns


def _renamed(rows: Sequence[Row], columns: Mapping[str, str], path: Path) -> list[Row]:
    """The rows with our names for the columns that were named, and without others that would mean the same."""
    if not columns:
        return list(rows)
    there = {name.casefold(): name for row in rows for name in row}
    for theirs in columns.values():
        if theirs.casefold() not in there:
            raise ArgumentError(
                f"{path}: there is no column {theirs!r}, only {', '.join(there.values())[:200]}; name one of these"
            )
    found = []
    for row in rows:
        values = {name.casefold(): value for name, value in row.items()}
        replaced = {name for ours in columns for kind in (ID, TEXT, TRUTH) if ours in kind for name in kind}
        if "label" in columns or "text" in columns:  # the answer is in the named column alone
            replaced |= {name for task in TASKS.values() for name in task.label_columns}
        kept = {name: value for name, value in row.items() if name.casefold() not in replaced}
        found.append(kept | {ours: values.get(theirs.casefold()) for ours, theirs in columns.items()})
    return found


def read_rows(
    path: str | Path, columns: Mapping[str, str] | None = None
) -> tuple[list[Row], list[FileFault]]:
    """One row an answer, each with an `id`, and what could not be read. `columns`: our column -> the file's."""
    path = Path(path)
    columns = columns or {}
    kind = path.suffix.casefold()
    if not path.is_file():
        raise ArgumentError(f"{path}: there is no such file; expected predictions, or a folder of evaluate")
    faults: list[FileFault] = []
    if kind == ".npz":
        rows = _from_npz(path)
    elif kind in (".csv", ".tsv"):
        rows, faults = _from_table(path, "\t" if kind == ".tsv" else ",", columns)
    elif kind in (".jsonl", ".json"):
        rows, faults = _from_json(path)
    else:
        raise ArgumentError(f"{path}: expected .csv, .tsv, .jsonl, .json or .npz; convert it to one of these")
    known: list[Row] = []
    for number, row in enumerate(_renamed(rows, columns, path), 1):
        name = _first(row, ID)
        if name is None or not str(name).strip():
            faults.append(FileFault("row without an id", f"row {number}"))
            continue
        known.append({**row, "id": str(name).strip()})
    return known, faults


def _decoded(path: Path) -> tuple[str, list[FileFault]]:
    found = decoded(path.read_bytes())
    faults = []
    if not found.sure:
        faults.append(FileFault(f"not UTF-8, and read as {found.encoding}", path.name))
    kind = f"not {found.encoding} (unreadable bytes became U+FFFD)"
    faults += [FileFault(kind, f"line {line}") for line in found.damaged_lines]
    return found.text, faults


def _from_table(path: Path, usual: str, columns: Mapping[str, str]) -> tuple[list[Row], list[FileFault]]:
    """The rows of a table by its heading, whatever separates its cells."""
    text, faults = _decoded(path)
    label_columns = {column for task in TASKS.values() for column in task.label_columns}
    answers = {*TEXT, *OWN, *label_columns}
    layout = layout_of(text, usual, {*ID, *TRUTH, *answers})
    if layout.separator != usual:
        name = SEPARATORS.get(layout.separator, repr(layout.separator))
        faults.append(FileFault(f"cells are separated by {name}, and read so", path.name))
    try:
        rows = rows_of(text, layout)
    except TableError as error:
        raise ArgumentError(
            f"{path}, line {error.line}: expected a table ({error}); write it again"
        ) from error
    names = [name.strip().casefold() for name in rows[0].cells] if rows else []
    if not set(names) & set(ID) and "id" not in columns:
        raise ArgumentError(
            f"{path}: expected a column of names ({', '.join(ID[:4])}) and one of answers, "
            f"found {', '.join(filter(None, names)) or 'no heading'}; rename them, or say --column id=COLUMN"
        )
    if not set(names) & answers and not {"text", "label"} & set(columns):
        raise ArgumentError(
            f"{path}: expected a column of answers, such as text, label or pred_label, found {', '.join(names)}; "
            "rename one, or say --column text=COLUMN or --column label=COLUMN"
        )
    found = []
    for row in rows[1:]:
        if len(row.cells) > len(names):
            faults.append(FileFault("more cells than columns", f"line {row.last_line}"))
        found.append(dict(zip(names, row.cells, strict=False)))
    return found, faults


def _from_json(path: Path) -> tuple[list[Row], list[FileFault]]:
    text, faults = _decoded(path)
    if path.suffix.casefold() == ".json":
        try:
            whole, repeated = read_document(text)
        except JsonError as error:
            where = f" on line {error.line}" if error.line else ""
            raise ArgumentError(f"{path}: expected JSON ({error}{where}); write it again") from error
        faults += [
            FileFault("a key that stands twice (the last one is read)", f"{key:.60}") for key in repeated
        ]
        if isinstance(whole, Mapping):
            return [_pair(name, item) for name, item in whole.items()], faults
        if not isinstance(whole, list):
            raise ArgumentError(f"{path}: expected a list of objects, or one object of answers by name")
        for number, item in enumerate(whole, 1):
            if not isinstance(item, dict):
                faults.append(FileFault("not a JSON object", f"entry {number}"))
        return [item for item in whole if isinstance(item, dict)], faults
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row, repeated = read_document(line)
        except JsonError:
            row, repeated = None, ()
        if isinstance(row, dict):
            rows.append(row)
        else:
            faults.append(FileFault("not a JSON object", f"line {number}"))
        faults += [
            FileFault("a key that stands twice (the last one is read)", f"line {number}") for _ in repeated
        ]
    return rows, faults


def _from_npz(path: Path) -> list[Row]:
    arrays = read_npz(path, "name2reason, or filenames and fileitems")
    if isinstance(arrays.get("name2reason"), Mapping):
        return [_pair(name, item) for name, item in arrays["name2reason"].items()]
    if "filenames" in arrays and "fileitems" in arrays:
        names, items = (_listed(arrays[key], key, path) for key in ("filenames", "fileitems"))
        if len(names) != len(items):
            raise ArgumentError(
                f"{path}: {len(names)} filenames but {len(items)} fileitems; they must pair up"
            )
        return [_pair(name, item) for name, item in zip(names, items, strict=True)]
    raise ArgumentError(
        f"{path}: expected name2reason, or filenames and fileitems; found {', '.join(arrays):.200}"
    )


def _listed(value: Any, key: str, path: Path) -> list[Any]:
    """A list, or an array of one dimension, as a list."""
    found = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(found, list) or any(isinstance(item, list) for item in found if found is not value):
        raise ArgumentError(f"{path}: expected a list under {key}, got something else; write it again")
    return found


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


def prediction(row: Row, task: Task[Any], candidates: Sequence[str] | None = None) -> FileReading:
    """One row as a prediction of a task.

    Args:
        row: What the file says about one clip, with its `id`.
        task: The task that is answered.
        candidates: The labels that the clip's question offered.

    Returns:
        The prediction, how it was read, and the row's faults.
    """
    clip = row["id"]
    text = _first(row, TEXT)
    text = "" if text is None else str(text)
    if row.get("task") == task.name:  # our own form
        own, error, faults = _own_fields(row)
        if error:
            faults = [*faults, FileFault(FAILED, f"{clip}: {error[:60]}")]
            failed = Answer(**own | {"text": text})
            return FileReading(Prediction.of(clip, task.name, failed, error=error), NO_ROUTE, faults)
        if own:
            answer = Answer(**own | {"text": text})
            reading = Reading(
                answer, OWN_ROUTE, task.faults(answer, candidates), task.renamed_answer(answer, candidates)
            )
            return _as_prediction(clip, task, reading, faults)
        row = {key: value for key, value in row.items() if key not in OWN}
    else:
        faults = []
    stated = task.stated(_likeliest(row))
    if stated is not None:
        text = _text_of(stated)
    if not text.strip():
        faults = [*faults, FileFault(EMPTY, clip)]
        return FileReading(Prediction.of(clip, task.name, Answer(text=text)), NO_ROUTE, faults)
    if not task.reads_thoughts and not task.body(text):
        faults = [*faults, FileFault(NO_ANSWER_LEFT, f"{clip}: {text.strip()[:60]!r}")]
        nothing = Prediction.of(clip, task.name, Answer(text=text))
        return FileReading(nothing, NO_ROUTE, faults, wrappers=task.wrappers(text))
    reading = task.read(text, candidates)
    kept = reading.answer.model_copy(update={"text": text})
    found = _as_prediction(clip, task, reading._replace(answer=kept), faults)
    return found._replace(wrappers=task.wrappers(text))


def _text_of(stated: Any) -> str:
    """What a row states as the label; of a list every entry stands for itself."""
    if not isinstance(stated, list):
        return str(stated)
    entries = ", ".join(map(str, stated))
    return f"[{entries}]" if len(stated) > 1 else entries


def _likeliest(row: Row) -> Row:
    """A row whose `labels` have a score each, as emotion2vec writes them, with the likeliest label alone."""
    labels, scores = row.get("labels"), row.get("scores")
    if (
        not isinstance(labels, list)
        or not isinstance(scores, list)
        or len(labels) != len(scores)
        or not labels
    ):
        return row
    if not all(isinstance(score, int | float) and not isinstance(score, bool) for score in scores):
        return row
    return {**row, "labels": labels[max(range(len(scores)), key=scores.__getitem__)]}


def _as_prediction(clip: str, task: Task[Any], reading: Reading, before: Sequence[FileFault]) -> FileReading:
    """A reading with its clip's name on every fault."""
    faults = [FileFault(kind, f"{clip}: {detail}" if detail else clip) for kind, detail in reading.faults]
    answer = Prediction.of(clip, task.name, reading.answer)
    return FileReading(answer, reading.route, [*before, *faults], reading.renamed)


def _own_fields(row: Row) -> tuple[Row, str | None, list[FileFault]]:
    """The keys of our own form that hold what they should, the error if there is one, and what is wrong with others."""
    own: Row = {}
    faults = []
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
        if key == "probabilities" and right:
            right = all(_is_share(share) for share in value.values())
        if not right:
            kind_of_fault = "a field of another type (not read)"
            faults.append(FileFault(kind_of_fault, f"{row['id']}: {key} {value!r:.40}"))
        elif isinstance(value, float) and not math.isfinite(value):
            faults.append(FileFault("valence is not a number", row["id"]))
        else:
            own[key] = value
    error = own.pop("error", None)
    return own, error, faults


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
