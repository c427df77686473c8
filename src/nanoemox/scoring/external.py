"""Any system's predictions against the truth: sound figures, the official scorer's, and where they differ.

`standard` figures are those of `score`. `official` ones repeat the official scorer, with the word lists of a folder
(`metrics/word_lists`). Every clip of the manifest counts in the standard figures: without a prediction it is wrong.
Whatever is odd about the file is counted and listed by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

from nanoemox.data.manifest import read_manifest
from nanoemox.data.schema import Prediction
from nanoemox.files.errors import ArgumentError
from nanoemox.files.report import TableReport
from nanoemox.files.table_text import INTERVAL, Cell, Table
from nanoemox.metrics.word_lists import WordLists
from nanoemox.scoring.judge import Judge, judge_reasons, labels_by_server
from nanoemox.scoring.prediction_files import (
    FaultNames,
    FileFault,
    FileReading,
    Row,
    grouped,
    named_columns,
    prediction,
    read_rows,
    truth_of,
)
from nanoemox.scoring.readings import Renamed, renamed, renamed_truth, wrappers
from nanoemox.scoring.score import sample, score
from nanoemox.tasks.base import Figures, OfficialFigures, Task
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS

MODES = ("standard", "official", "both")
MATTERS = 0.005  # a difference of half a point is reported


class Difference(TypedDict):
    """A figure of the official scorer and ours that answers the same question, where they differ, and why."""

    official: str
    standard: str
    values: list[float | None]
    why: str


@dataclass(frozen=True, repr=False)
class FileReport(TableReport):
    """Figures of a file of predictions. What was not asked for is None.

    routes: by which rule how many answers were read. wrappers: what how many answers were wrapped in. mapping: labels
    of the "truth" and of the "predictions" that count as another spelling. faults: what is odd about the file, by kind.
    `save_report` writes it as .json, or as a table (.csv, .md, .tex).
    """

    predictions: str
    task: str
    n: int
    mode: str
    judge: dict[str, Any] | None = None
    server: dict[str, Any] | None = None
    standard: Figures | None = None
    notes: list[str] | None = None
    official: OfficialFigures | None = None
    differences: list[Difference] | None = None
    routes: dict[str, int] | None = None
    wrappers: dict[str, int] | None = None
    mapping: dict[str, dict[str, Renamed]] | None = None
    faults: dict[str, FaultNames] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` writes."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def to_table(self) -> Table:
        """One row a figure: ours, those of the judge, and those of the official scorer."""
        judged: Figures = (self.judge or {}).get("figures") or {}
        rows: list[list[Cell]] = [
            [scorer, name, figure["value"], (figure["low"], figure["high"]), figure["n"]]
            for scorer, figures in (("standard", self.standard or {}), ("judge", judged))
            for name, figure in figures.items()
        ]
        rows += [
            ["official", name, share, (None, None), None] for name, share in (self.official or {}).items()
        ]
        caption = f"{self.task}: {self.n} clips, answers of {self.predictions}"
        return Table(["scorer", "figure", "value", INTERVAL, "n"], rows, caption)


def score_file(
    predictions: str | Path,
    task: str,
    manifest: str | Path | None = None,
    tables: str | Path | None = None,
    mode: str = "standard",
    seed: int = 0,
    server: Judge | None = None,
    columns: str | Sequence[str] = (),
) -> FileReport:
    """Score a file of predictions.

    Args:
        predictions: A file: csv, tsv, jsonl, json or the official npz.
        task: The name of the task that it answers.
        manifest: The truth; None, a column such as `truth` or `gt` of the predictions.
        tables: The official scorer's word lists, for official hit rates, set scores and AvaMERG figures.
        mode: Standard, official or both.
        seed: The seed of the intervals.
        server: Judges reasons, or reads labels from answers in running text.
        columns: Columns that have other names in the file, such as `text=model_output` (id, text, label, truth).

    Returns:
        The figures, and everything that is odd about the file.

    Raises:
        ArgumentError: The file, the truth or an argument cannot be used.
    """
    # Check what was asked for.
    if task not in TASKS:
        raise ArgumentError(f"unknown task {task!r}; tasks are: {', '.join(TASKS)}")
    if mode not in MODES:
        raise ArgumentError(f"unknown mode {mode!r}: expected {', '.join(MODES)}")
    asked = TASKS[task]
    if server:
        _check_server_helps(asked)

    # Read the rows of the task, and the truth.
    rows, faults = read_rows(predictions, named_columns(columns))
    rows = [row for row in rows if row.get("task") in (None, "", task)]
    labels, speakers, unread = _truth(rows, asked, manifest)
    faults += unread
    if not labels:
        raise ArgumentError(
            f"{manifest or predictions}: expected labels of {task}, found none; "
            + ("choose another task" if manifest else "give --manifest, or add a column `truth`")
        )

    # Read an answer from each row; note what is odd about it.
    answers: dict[str, Prediction] = {}
    routes: dict[str, str] = {}
    readings: list[FileReading] = []
    for row in rows:
        name = row["id"]
        if name in answers:
            faults.append(FileFault("duplicate id (the first one counts)", name))
            continue
        if name not in labels:
            faults.append(FileFault("id without a label (not scored)", name))
            continue
        reading = prediction(row, asked, asked.candidates(labels[name]))
        answers[name], routes[name] = reading.prediction, reading.route
        readings.append(reading)
        faults += reading.faults
    faults += [FileFault("no prediction (counts as wrong)", name) for name in labels if name not in answers]
    if not answers:
        raise ArgumentError(
            f"{predictions}: none of its {len(rows)} ids is labelled, such as {_example(rows)}; "
            f"expected ids such as {next(iter(labels))!r}"
        )

    # Let the server judge the reasons, or read labels from running text.
    judged = helped = None
    if server and asked.server_help == "judge":
        references = {name: asked.reference(known) for name, known in _own_labels(asked, labels).items()}
        texts = {name: asked.body(answer.text) for name, answer in answers.items()}
        judged, found = judge_reasons(
            server, {name: text for name, text in references.items() if text}, texts, speakers, seed
        )
        faults += found
    elif server:
        answers, routes, helped, found = labels_by_server(server, answers, routes)
        faults += found

    # Score the answers by our figures, by those of the official scorer, or by both.
    standard = official = None
    notes: list[str] = []
    if mode != "official":
        standard = score(labels, answers.values(), speakers, [task], seed)[task]
        notes += [
            f"{name} is 0, as precision and recall are both 0"
            for name in ("set_f1", "wheel_f1")
            if name in standard and standard[name]["value"] == 0
        ]
    if mode != "standard":
        words = WordLists.read(tables) if tables else None
        by_clip = {name: {task: answer} for name, answer in answers.items()}
        official, found_notes = asked.official(sample(asked, labels, by_clip, speakers, seed), words)
        notes += found_notes

    # Gather the report.
    return FileReport(
        predictions=str(predictions),
        task=task,
        n=len(labels),
        mode=mode,
        judge=judged,
        server=helped,
        standard=standard,
        notes=notes,
        official=official,
        differences=differences(asked, official, standard) if official and standard else None,
        routes=dict(Counter(routes.values())),
        wrappers=wrappers(reading.wrappers for reading in readings),
        mapping={
            "truth": renamed_truth(asked, labels),
            "predictions": renamed(reading.renamed for reading in readings),
        },
        faults=grouped(faults),
    )


def _check_server_helps(task: Task[Any]) -> None:
    if task.server_help is None:
        judged, read = (
            [name for name, each in TASKS.items() if each.server_help == kind] for kind in ("judge", "labels")
        )
        helped = " and ".join([*judged, *read][1:])
        raise ArgumentError(f"a server can help with {judged[0]}, {helped}, not with {task.name}")


def _truth(
    rows: Sequence[Row], task: Task[Any], manifest: str | Path | None
) -> tuple[dict[str, Labels], dict[str, str], list[FileFault]]:
    """Labels by clip, who speaks where that is known, and the truths that cannot be read."""
    if manifest is not None:
        records = read_manifest(manifest)
        return (
            {r.id: r.labels for r in records if task.has_label(r.labels)},
            {r.id: r.speaker for r in records if r.speaker},
            [],
        )
    labels: dict[str, Labels] = {}
    faults = []
    for row in rows:
        text = truth_of(row)
        if text is None or row["id"] in labels:
            continue
        label = task.label_from(text)
        if label is None:
            fault = "truth cannot be read (not scored)"
            faults.append(FileFault(fault, f"{row['id']}: {text[:60]!r}"))
        else:
            labels[row["id"]] = Labels(**{task.name: label})
    return labels, {}, faults


def _own_labels(task: Task[Any], labels: Mapping[str, Labels]) -> dict[str, Any]:
    found = {name: task.label(known) for name, known in labels.items()}
    return {name: label for name, label in found.items() if label is not None}


def _example(rows: Sequence[Row]) -> str:
    return repr(rows[0]["id"]) if rows else "none"


def differences(task: Task[Any], official: OfficialFigures, standard: Figures) -> list[Difference]:
    """Pairs of figures that differ by half a point or more, or where only one is defined.

    Args:
        task: The task that was scored.
        official: The official scorer's figures.
        standard: Ours.

    Returns:
        The pairs, in the task's order.
    """
    found: list[Difference] = []
    for name, (ours, why) in task.official_pairs.items():
        if name not in official or ours not in standard:
            continue
        a, b = official[name], standard[ours]["value"]
        if (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) >= MATTERS):
            found.append({"official": name, "standard": ours, "values": [a, b], "why": why})
    return found
