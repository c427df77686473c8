"""The answers about many files in a folder: lines as they come, then a table and a page to look at.

`answers.jsonl` gets the lines of each batch at once, so that a run that was killed loses one batch at most and goes on
where it was; batches are the same as in a run that was not, and so are the bytes. `answers.csv` and `index.html` are
made of it at the end. What a line holds depends on its file alone; sizes and dates of files are in `seen.jsonl`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nanoemox.checkpoints.provenance import ORIGIN_CODES
from nanoemox.data.schema import MEDIA, Record
from nanoemox.files.atomic import check_new_folder, json_text, write_json, write_jsonl, write_texts
from nanoemox.files.errors import ArgumentError, OutputError
from nanoemox.files.short_repr import ShortRepr
from nanoemox.files.table_text import Cell, Table, csv_text
from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.inference.many import FileResult, Question, answered, usual_batch_size
from nanoemox.inference.overview import render_overview
from nanoemox.inference.page import Pictures, render_report
from nanoemox.inference.results import Analysis
from nanoemox.inference.sources import Item
from nanoemox.media.subtitles import TextSource
from nanoemox.tasks.task import TASKS

logger = logging.getLogger(__name__)

ANSWERS, TABLE, PAGE, FAILED = "answers.jsonl", "answers.csv", "index.html", "failed.txt"
RUN, SEEN, PAGES = "run.json", "seen.jsonl", "pages"
_PLAIN = (
    "file",
    "task",
    "answer",
    "label",
    "polarity",
    "valence",
    "score",
)  # columns that hold one value each
Line = dict[str, Any]


@dataclass(frozen=True, repr=False)
class ManyReport(ShortRepr):
    """What a run over many files did.

    Attributes:
        out: The folder of the results.
        files: How many clips there are.
        kept: How many of them an earlier run had answered.
        failed: Name of a clip -> why it has no answers.
        counts: Closed task -> label -> how many clips.
        seconds: How long the run took.
    """

    out: Path
    files: int
    kept: int
    failed: Mapping[str, str]
    counts: Mapping[str, Mapping[str, int]]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "out": str(self.out),
            "files": self.files,
            "answered": self.files - len(self.failed),
            "kept": self.kept,
            "failed": dict(self.failed),
            "counts": {task: dict(labels) for task, labels in self.counts.items()},
            "seconds": round(self.seconds, 2),
        }


def check_results_folder(out: Path, run: Mapping[str, Any]) -> None:
    """Before any work: is this folder new, or that of a run that asked the same?

    Args:
        out: The folder of the results.
        run: What is asked, as far as it is known: key -> value.

    Raises:
        OutputError: If the folder cannot be written, or holds something else.
        ArgumentError: If it holds the answers of a run with other options.
    """
    note = out / RUN
    if not note.is_file():
        check_new_folder(out)
        return
    if not os.access(out, os.W_OK | os.X_OK):
        raise OutputError(
            f"{out}: could not be written (it is read-only); change its permissions, or name another"
        )
    try:
        before = json.loads(note.read_text(encoding="utf-8"))
    except ValueError:
        before = None
    if not isinstance(before, dict) or "source" not in before:
        raise ArgumentError(f"{out}: holds results of another kind; name a new folder")
    now = json.loads(json.dumps(dict(run)))
    differ = [
        f"{key} was {json.dumps(before.get(key), ensure_ascii=False)[:80]}, is now "
        f"{json.dumps(value, ensure_ascii=False)[:80]}"
        for key, value in now.items()
        if before.get(key) != value
    ]
    if differ:
        raise ArgumentError(
            f"{out}: holds the answers of a run with other options ({'; '.join(differ)}); name another folder with "
            "--out, or ask as before"
        )


def run_of(analyzer: EmotionAnalyzer, question: Question) -> dict[str, Any]:
    """What decides about the answers, beside the files: key -> value."""
    return {
        "model": analyzer.name,
        "weights": analyzer.fingerprint,
        "dtype": analyzer.dtype,
        "tasks": {name: TASKS[name].version for name in question.tasks},
        "max_new_tokens": {
            name: analyzer.answer_limit(TASKS[name], question.max_new_tokens) for name in question.tasks
        },
        "sampling": None if question.sampling is None else asdict(question.sampling),
        "written": question.write,
        "speech_model": None if question.words.model is None else question.words.model.name,
    }


def analyze_into(
    out: Path,
    analyzer: EmotionAnalyzer,
    items: Sequence[Item],
    question: Question,
    run: Mapping[str, Any],
    batch_size: int | None = None,
    workers: int | None = None,
    pages: Pictures | None = None,
    notes: Sequence[str] = (),
) -> ManyReport:
    """Answer a question about many clips into a folder; what is there already is kept.

    Args:
        out: The folder.
        analyzer: The model.
        items: The clips, in the order in which they are to stand.
        question: What each is asked.
        run: What else decides about the answers; a folder of another run is refused.
        batch_size: Clips at a time; None, as `usual_batch_size` says.
        workers: Processes that read files; None, one for each core but one; 0, this process.
        pages: Write a page for each clip, with its pictures like this; None, no pages.
        notes: What the overview has to say about the clips.

    Returns:
        What was done. Clips that cannot be read are in it, and in the files.

    Raises:
        ArgumentError: If the folder holds the answers of another run.
        OutputError: If something cannot be written; what was answered until then is kept.
        WorkersError: If the processes cannot be started.
    """
    # Take up what an earlier run has answered, if it asked the same of the same model.
    started = time.perf_counter()
    run = {**run, **run_of(analyzer, question)}
    check_results_folder(out, run)
    size = usual_batch_size(analyzer) if batch_size is None else batch_size
    stamps = {item.name: _stamp(item, question) for item in items}
    lines = _kept(out, items, question.tasks, stamps)
    write_json(out / RUN, run)
    answered_before = {name for name, rows in lines.items() if not any("error" in row for row in rows)}

    # A batch is asked again whole, unless all that it lacks are clips that could not be read.
    todo: list[list[Item]] = []
    for first in range(0, len(items), size):
        batch = list(items[first : first + size])
        if any(item.name not in lines for item in batch):
            todo.append(batch)
        elif again := [item for item in batch if item.name not in answered_before]:
            todo.append(again)
    kept = len(items) - sum(map(len, todo))

    # Answer batch by batch; every batch is written at once.
    try:
        with (
            _appended(out / ANSWERS) as answers,
            _appended(out / SEEN) as seen,
            tqdm(total=len(items), initial=kept, unit="file", desc="analyse", disable=None) as bar,
        ):
            sources = ([item.source for item in batch] for batch in todo)
            results = answered(analyzer, sources, question, size, workers)
            for batch, found in zip(todo, results, strict=True):
                texts: dict[Path, str] = {}
                new: list[Line] = []
                for item, result in zip(batch, found, strict=True):
                    rows = list(_lines(item.name, result, question.tasks))
                    lines[item.name] = rows
                    new += rows
                    if pages and result.analysis is not None:
                        texts[out / page_name(item.name)] = render_report(result.analysis, pages)
                write_texts(texts)
                answers.write("".join(json_text(row, out / ANSWERS, indent=None) for row in new))
                answers.flush()
                stamped = ({"file": item.name, "stamp": stamps[item.name]} for item in batch)
                seen.write("".join(json_text(row, out / SEEN, indent=None) for row in stamped))
                seen.flush()
                bar.update(len(batch))
    except BaseException as error:
        done = len([item for item in items if item.name in lines])
        logger.warning("stopped after %d of %d files; the same command goes on from there", done, len(items))
        if not isinstance(error, OSError | OutputError):  # of a full disk
            _finish(
                out, items, lines, stamps, run, pages, [*notes, f"stopped after {done} of {len(items)} files"]
            )
        raise

    # Write everything in its order, and what is made of it.
    failed, counts = _finish(out, items, lines, stamps, run, pages, notes)
    return ManyReport(out, len(items), kept, failed, counts, time.perf_counter() - started)


def page_name(name: str) -> str:
    """Where the page of a clip lies in the folder: names that differ have pages that differ, on any system."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name)[-60:].strip("._") or "clip"
    return f"{PAGES}/{plain}-{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:8]}.html"


# ---------------------------------------------------------------- lines


def _lines(name: str, result: FileResult, tasks: Sequence[str]) -> Iterator[Line]:
    """One line for each task: the answer and what it rests on, or the error."""
    analysis = result.analysis
    if analysis is None:
        yield from ({"file": name, "task": task, "error": result.error} for task in tasks)
        return
    about = [warning._asdict() for warning in analysis.warnings if warning.code not in ORIGIN_CODES]
    source = analysis.text_source
    words: Line = {} if source is None else {"text_source": source._asdict()}
    if analysis.spoken is not None:  # "text" is what the model wrote
        words["said"] = analysis.text
    for task, answer in analysis.items():
        fields = answer.to_dict()
        own = fields.pop("warnings", [])
        yield {
            "file": name,
            "task": task,
            **fields,
            "modalities": dict(analysis.modalities),
            **words,
            **({} if analysis.experts is None else {"experts": list(analysis.experts)}),
            **({"warnings": [*about, *own]} if about or own else {}),
            **_explained(analysis, task),
        }


def _explained(analysis: Analysis, task: str) -> dict[str, Any]:
    if analysis.explanation is None:
        return {}
    whole = analysis.explanation.to_dict()
    shared = {key: whole[key] for key in ("face_attention", "frame_times_s")}
    return {"explanation": {**whole["tasks"][task], **shared}}


def _kept(
    out: Path, items: Sequence[Item], tasks: Sequence[str], stamps: Mapping[str, list[Any]]
) -> dict[str, list[Line]]:
    """Clip -> its lines from an earlier run, if all are there and its file has not changed since."""
    found: dict[str, dict[str, Line]] = {}
    for line in _read_lines(out / ANSWERS):
        if isinstance(line.get("task"), str):
            found.setdefault(line["file"], {})[line["task"]] = line
    seen = {line["file"]: line.get("stamp") for line in _read_lines(out / SEEN)}
    kept = {
        item.name: [found[item.name][task] for task in tasks]
        for item in items
        if item.name in found
        and all(task in found[item.name] for task in tasks)
        and seen.get(item.name) == stamps[item.name]
    }
    if out.is_dir():  # the last line of a run that was killed may be half a line
        write_jsonl(out / ANSWERS, (row for rows in kept.values() for row in rows))
        write_jsonl(out / SEEN, ({"file": name, "stamp": stamps[name]} for name in kept))
    return kept


def _read_lines(path: Path) -> Iterator[Line]:
    """The good lines of a file that may have been left unfinished."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and isinstance(line.get("file"), str):
                yield line


def _stamp(item: Item, question: Question) -> list[Any]:
    """What shows that a clip is no longer the one that was answered."""
    source = item.source
    if isinstance(source, Record):
        paths = [path for kind in MEDIA if (path := getattr(source, kind))]
        stamp: list[Any] = [hashlib.sha256(source.model_dump_json().encode()).hexdigest()[:16]]
    else:
        paths, stamp = [source], []
    if question.words.beside:
        subtitles = question.words.subtitles_of(source)
        stamp.append(subtitles and subtitles.name)
        paths += [subtitles] if subtitles else []
    for path in paths:
        try:
            about = path.stat()
        except (OSError, ValueError):
            stamp.append(None)
        else:
            stamp += [about.st_size, about.st_mtime_ns]
    return stamp


# ---------------------------------------------------------------- files


def _appended(path: Path) -> Any:
    return path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n")


def _finish(
    out: Path,
    items: Sequence[Item],
    lines: Mapping[str, Sequence[Line]],
    stamps: Mapping[str, list[Any]],
    run: Mapping[str, Any],
    pages: Pictures | None,
    notes: Sequence[str],
) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Write everything in order, the table and the overview; returns what failed, and how often each label came."""
    there = [item.name for item in items if item.name in lines]
    rows = [row for name in there for row in lines[name]]
    failed = {row["file"]: row["error"] for row in rows if "error" in row}
    counts: dict[str, dict[str, int]] = {}
    for row in rows:
        if row.get("probabilities") and row.get("label"):
            labels = counts.setdefault(row["task"], dict.fromkeys(row["probabilities"], 0))
            labels[row["label"]] = labels.get(row["label"], 0) + 1
    write_jsonl(out / ANSWERS, rows)
    write_jsonl(out / SEEN, ({"file": name, "stamp": stamps[name]} for name in there))
    texts = {
        out / TABLE: csv_text(_table(rows)),
        out / PAGE: render_overview(
            {name: lines[name] for name in there},
            run,
            counts,
            failed,
            {name: page_name(name) for name in there if name not in failed} if pages else {},
            notes,
        ),
    }
    if failed:
        texts[out / FAILED] = "".join(f"{' '.join(reason.split())}\n" for reason in failed.values())
    else:
        (out / FAILED).unlink(missing_ok=True)
    write_texts(texts)
    return failed, counts


def _table(rows: Sequence[Line]) -> Table:
    """One row a clip and task, with a column for the probability of each label."""
    labels = list(dict.fromkeys(label for row in rows for label in row.get("probabilities", ())))
    states = ("video", "audio", "text")
    columns = [
        *_PLAIN,
        "labels",
        "written",
        *states,
        "said",
        "said_from",
        "warnings",
        "error",
        *(f"p_{label}" for label in labels),
    ]
    cells: list[list[Cell]] = []
    for row in rows:
        shares: Mapping[str, float] = row.get("probabilities", {})
        modalities: Mapping[str, str] = row.get("modalities", {})
        cells.append(
            [
                *(row.get(name) for name in _PLAIN),
                ", ".join(row["labels"]) if row.get("labels") else None,
                row.get("text") or None,
                *(modalities.get(name) for name in states),
                row.get("said"),
                str(TextSource(**row["text_source"])) if "text_source" in row else None,
                "; ".join(warning["code"] for warning in row.get("warnings", ())) or None,
                row.get("error"),
                *(shares.get(label) for label in labels),
            ]
        )
    return Table(columns, cells)
