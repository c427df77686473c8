"""Two systems on the same clips: is one better, and on which clips do they differ?

Each clip gives each system one number per task (right or wrong, or an F1). The signs of the clips' differences are
flipped at random, those of a speaker together where speakers are known: the p-value is how often chance alone gives a
mean difference as large (paired permutation test, two-sided, with the observed difference counted in).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

from nanoemox.data.manifest import read_manifest
from nanoemox.files.errors import ArgumentError
from nanoemox.files.report import TableReport
from nanoemox.files.table_text import INTERVAL, Cell, Table
from nanoemox.metrics import bootstrap
from nanoemox.scoring.prediction_files import (
    FaultNames,
    FileFault,
    FileReading,
    Row,
    grouped,
    prediction,
    read_rows,
)
from nanoemox.scoring.readings import Renamed, renamed, renamed_truth, wrappers
from nanoemox.tasks.base import Task
from nanoemox.tasks.grammar import NO_ANSWER
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS

FLIPS = 10_000
FLIPS_AT_ONCE = 500  # drawn together: 170 MB with 5,000 speakers


class ClipPair(TypedDict):
    """One clip on which two systems differ, and what each one's answer is worth."""

    id: str
    a: float
    b: float


class Pairing(TypedDict):
    """Means of two systems over the same clips, and how sure their difference is."""

    n: int
    speakers: int
    a: float
    b: float
    difference: float
    low: float | None
    high: float | None
    p: float
    a_better: int
    b_better: int
    clips: list[ClipPair]


class TaskComparison(Pairing):
    """The same for one task, with what was measured."""

    measure: str
    answered_by_neither: int


@dataclass(frozen=True, repr=False)
class ComparisonReport(TableReport):
    """Two systems on the same clips, task by task.

    faults: what is odd about the files "a" and "b", by kind. wrappers: what how many of their answers were wrapped in.
    mapping: labels of the "truth" and of the files that count as another spelling. `save_report` writes it as .json, or
    as a table (.csv, .md, .tex).
    """

    a: str
    b: str
    tasks: dict[str, TaskComparison]
    faults: dict[str, dict[str, FaultNames]]
    wrappers: dict[str, dict[str, int]] = field(default_factory=dict)
    mapping: dict[str, dict[str, Renamed]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The object that `--json` writes."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    def to_table(self) -> Table:
        """One row a task: both means, their difference with its interval, and its p-value."""
        columns = ["task", "measure", "A", "B", "B - A", INTERVAL, "p", "A better", "B better", "n"]
        rows: list[list[Cell]] = [
            [
                *(task, row["measure"], row["a"], row["b"], row["difference"], (row["low"], row["high"])),
                *(row["p"], row["a_better"], row["b_better"], row["n"]),
            ]
            for task, row in self.tasks.items()
        ]
        return Table(columns, rows, f"A: {self.a}. B: {self.b}")


def compare(
    a: str | Path,
    b: str | Path,
    manifest: str | Path,
    task: str | None = None,
    seed: int = 0,
) -> ComparisonReport:
    """Compare two files of predictions, or two folders of `nanoemox evaluate`, on a manifest's labels.

    A clip that one system has not answered counts as wrong for it; a clip that neither has answered is left out
    and counted.

    Args:
        a: Predictions of one system.
        b: Predictions of the other.
        manifest: The truth.
        task: The name of a task; None, every task with labels that both have answered.
        seed: The seed of the permutations and intervals.

    Returns:
        The comparison, task by task.

    Raises:
        ArgumentError: The files name no task, or have no labelled clip.
    """
    # Read the truth and both files, and choose the tasks.
    records = read_manifest(manifest)
    labels = {record.id: record.labels for record in records}
    speakers = {record.id: record.speaker or record.id for record in records}
    systems = [read_rows(_file(path)) for path in (a, b)]
    named = [{row["task"] for row in rows if row.get("task") in TASKS} for rows, _ in systems]
    names = [task] if task else [name for name in TASKS if name in named[0] & named[1]]
    if not names or any(name not in TASKS for name in names):
        raise ArgumentError(
            f"compare: expected --task, one of {', '.join(TASKS)}, as the files do not both name one"
        )

    # Compare task by task.
    faults = [list(found) for _, found in systems]
    compared: dict[str, TaskComparison] = {}
    readings: tuple[list[FileReading], list[FileReading]] = ([], [])
    truth: dict[str, Renamed] = {}
    for name in names:
        each = TASKS[name]
        labelled = [clip for clip, known in labels.items() if each.has_label(known)]
        if not labelled:
            continue

        # Read both systems' answers.
        answers = []
        for (rows, _), mine, read in zip(systems, faults, readings, strict=True):
            found, odd = _answers(rows, each, labels)
            answers.append({clip: reading.prediction for clip, reading in found.items()})
            read += found.values()
            mine += odd
        truth |= renamed_truth(each, labels)

        # Keep the clips that either has answered; the other counts as wrong on them.
        clips = [clip for clip in labelled if clip in answers[0] or clip in answers[1]]
        if not clips:
            raise ArgumentError(
                f"{a}, {b}: none of their ids is labelled for {name} in {manifest}; check both"
            )
        for given, mine in zip(answers, faults, strict=True):
            kind = f"{name}: no prediction (counts as wrong)"
            mine += [FileFault(kind, clip) for clip in clips if clip not in given]

        # Score each clip for both, and compare the pairs.
        values = [
            [each.clip_score(each.label(labels[clip]), given.get(clip, NO_ANSWER)) for clip in clips]
            for given in answers
        ]
        pairing = paired(values[0], values[1], clips, [speakers[clip] for clip in clips], seed)
        left = len(labelled) - len(clips)
        compared[name] = {"measure": each.compared_by, "answered_by_neither": left, **pairing}
    if not compared:
        raise ArgumentError(f"{manifest}: expected labels of {', '.join(names)}, found none")
    sides = dict(zip("ab", readings, strict=True))
    return ComparisonReport(
        str(a),
        str(b),
        compared,
        {side: grouped(mine) for side, mine in zip("ab", faults, strict=True)},
        {side: wrappers(reading.wrappers for reading in read) for side, read in sides.items()},
        {"truth": truth}
        | {side: renamed(reading.renamed for reading in read) for side, read in sides.items()},
    )


def _file(path: str | Path) -> Path:
    path = Path(path)
    return path / "predictions.jsonl" if path.is_dir() else path


def _answers(
    rows: Sequence[Row], task: Task[Any], labels: Mapping[str, Labels]
) -> tuple[dict[str, FileReading], list[FileFault]]:
    """One system's answers to a task by clip, the first of several, and what is odd about them."""
    answers: dict[str, FileReading] = {}
    faults: list[FileFault] = []
    for row in rows:
        name = row["id"]
        if row.get("task") not in (None, "", task.name):
            continue
        known = labels.get(name)
        if known is None or not task.has_label(known):
            faults.append(FileFault("id without a label (not compared)", name))
        elif name in answers:
            faults.append(FileFault("duplicate id (the first one counts)", name))
        else:
            answers[name] = prediction(row, task, task.candidates(known))
            faults += answers[name].faults
    return answers, [FileFault(f"{task.name}: {kind}", clip) for kind, clip in faults]


def paired(
    a: Sequence[float], b: Sequence[float], clips: Sequence[str], speakers: Sequence[str], seed: int = 0
) -> Pairing:
    """Means, their difference (b - a) with p-value and 95 % interval, and the clips where the two differ.

    Args:
        a: What each clip is worth to the first system.
        b: What it is worth to the second.
        clips: The ids of the clips.
        speakers: Who speaks in each clip.
        seed: The seed of the resamples and of the flips.

    Returns:
        The means, their difference and how sure it is.
    """
    difference = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    if len(set(speakers)) == 1:  # one speaker cannot be flipped against another
        speakers = clips
    _, who = np.unique(np.asarray(speakers), return_inverse=True)
    by_speaker: NDArray[np.float64] = np.bincount(who, weights=difference).astype(np.float64)
    interval = bootstrap.mean(difference.tolist(), list(speakers), seed)
    order = [i for i in np.argsort(-np.abs(difference), kind="stable") if difference[i]]
    return {
        "n": len(clips),
        "speakers": len(by_speaker),
        "a": round(float(np.mean(a)), 6),
        "b": round(float(np.mean(b)), 6),
        "difference": round(float(difference.mean()), 6),
        "low": interval["low"],
        "high": interval["high"],
        "p": round(sign_flip_p(by_speaker, seed), 6),
        "a_better": int((difference < 0).sum()),
        "b_better": int((difference > 0).sum()),
        "clips": [{"id": clips[i], "a": float(a[i]), "b": float(b[i])} for i in order],
    }


def sign_flip_p(differences: NDArray[np.float64], seed: int = 0) -> float:
    """How often chance alone gives a sum that is as far from 0: the two-sided p-value of a paired permutation test.

    Without a true difference every speaker's difference could as well have the other sign. Up to 13 differences
    other than 0, all ways to set the signs are counted, so that p is exact; above, FLIPS of them are drawn.
    """
    moved = differences[differences != 0]  # a difference of 0 has no sign to flip
    if len(moved) < 2:
        return 1.0  # with either sign it is as far from 0

    def distance(flipped: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = np.abs(flipped.sum(axis=axis)).round(9)
        return sums  # rounded, so that sums that differ by rounding alone are equal

    test = permutation_test(
        (moved,),
        distance,
        permutation_type="samples",
        vectorized=True,
        n_resamples=FLIPS,
        batch=FLIPS_AT_ONCE,
        alternative="greater",
        rng=seed,
    )
    return float(test.pvalue)
