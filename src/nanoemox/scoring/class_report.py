"""What one accuracy hides: every class, what is taken for what, and whether the probabilities can be believed.

All of it from predictions and labels, as in `score`, with the same intervals over speakers. A clip without an
answer stays in every table, in a column of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from nanoemox.data.schema import Prediction
from nanoemox.files.short_repr import ShortRepr
from nanoemox.media.clip import PRESENT
from nanoemox.metrics.bootstrap import Clusters, Figure, Rows, Statistic, estimates, ratio
from nanoemox.metrics.label_names import folded
from nanoemox.scoring.readings import Renamed, renamed_truth, wrappers
from nanoemox.scoring.score import by_clip, sample, score
from nanoemox.tasks.closed import ClosedTask
from nanoemox.tasks.labels import Labels
from nanoemox.tasks.task import TASKS

BINS = 10  # of confidence, equally wide
OTHER, NONE = "another label", "no answer"
UNREAD = "could not be read"


class ClassRow(TypedDict):
    """One true label: how often it is true and given, and its figures."""

    label: str
    true: int
    said: int
    precision: Figure
    recall: Figure
    f1: Figure


class Confusion(TypedDict):
    """Counts [true, given]; the last two columns are labels that are never true, and no answer at all."""

    true: list[str]
    said: list[str]
    counts: list[list[int]]


class Bin(TypedDict):
    """One bar of a reliability diagram."""

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


class Calibration(TypedDict):
    """How far the likeliest label's probability is from how often it is right."""

    ece: Figure
    overconfidence: Figure
    bins: list[Bin]


class ModalityGroup(TypedDict):
    """Clips with the same modalities: their number, and the headline figures as "task.figure"."""

    clips: int
    figures: dict[str, Figure]


@dataclass(frozen=True, repr=False)
class Breakdown(ShortRepr):
    """`classes`, `confusion` and `calibration` by closed task, `routes` to labels by task, figures `by_modalities`.

    wrappers: by task, what how many answers were wrapped in. mapping: by task, labels of the truth that count as
    another spelling.
    """

    classes: dict[str, list[ClassRow]]
    confusion: dict[str, Confusion]
    calibration: dict[str, Calibration]
    routes: dict[str, dict[str, int]]
    by_modalities: dict[str, ModalityGroup]
    wrappers: dict[str, dict[str, int]]
    mapping: dict[str, dict[str, Renamed]]


def break_down(
    labels: Mapping[str, Labels],
    predictions: Iterable[Prediction],
    speakers: Mapping[str, str] | None = None,
    tasks: Sequence[str] | None = None,
    seed: int = 0,
) -> Breakdown:
    """Everything that the figures of a whole evaluation hide.

    Args:
        labels: Clip id -> labels.
        predictions: At most one for each clip and task.
        speakers: Clip id -> who speaks, for intervals over speakers.
        tasks: The names of tasks; None, all of them.
        seed: The seed of the intervals.

    Returns:
        The tables of an evaluation.
    """
    lines = list(predictions)
    answers = by_clip(lines)
    names = list(TASKS) if tasks is None else list(tasks)
    found = Breakdown({}, {}, {}, {}, by_modalities(labels, lines, speakers, names, seed), {}, {})
    for name in names:
        task = TASKS[name]
        mine = [answer[name] for answer in answers.values() if name in answer]
        found.routes[name] = dict(Counter(map(_route, mine)))
        if taken_off := wrappers(task.wrappers(answer.text) for answer in mine):
            found.wrappers[name] = taken_off
        if mapped := renamed_truth(task, labels):
            found.mapping[name] = mapped
        if not isinstance(task, ClosedTask):
            continue
        cases = sample(task, labels, answers, speakers, seed).cases
        if not cases:
            continue
        truth = [task.true_class(case.label) for case in cases]
        given = [task.given_class(case.answer, case.label) for case in cases]
        who = [case.speaker for case in cases]
        found.classes[name] = class_figures(truth, given, who, seed)
        found.confusion[name] = confusion(truth, given, task.class_order)
        shares = [case.answer.probabilities for case in cases]
        if any(shares):
            found.calibration[name] = calibration(truth, shares, who, seed)
    return found


def _route(prediction: Prediction) -> str:
    """How the label or the parts of an answer were found."""
    if prediction.error is not None or not prediction.text:
        return NONE
    return TASKS[prediction.task].route(prediction)


def class_figures(
    truth: Sequence[str], given: Sequence[str], clusters: Clusters = None, seed: int = 0
) -> list[ClassRow]:
    """Of each true label: how often it is true and given, and precision, recall and F1 with intervals.

    Args:
        truth: The true class of each clip.
        given: The class of each answer, empty where there is none.
        clusters: Who speaks in each clip.
        seed: The seed of the intervals.

    Returns:
        One row a true label.
    """
    names = sorted(set(truth))
    rows = np.zeros((len(truth), 3 * len(names)))  # true, given and both, of each label
    place = {name: i for i, name in enumerate(names)}
    for i, (t, g) in enumerate(zip(truth, given, strict=True)):
        rows[i, 3 * place[t]] = 1
        if g in place:
            rows[i, 3 * place[g] + 1] = 1
            rows[i, 3 * place[g] + 2] = t == g
    parts: dict[str, Statistic] = {}
    for name, i in place.items():
        true, mine, both = 3 * i, 3 * i + 1, 3 * i + 2
        parts[f"{name} precision"] = _share(both, mine)
        parts[f"{name} recall"] = _share(both, true)
        parts[f"{name} f1"] = _f1(both, true, mine)
    figures = estimates(rows, parts, clusters, seed)
    true_n, given_n = Counter(truth), Counter(given)
    return [
        ClassRow(
            label=name,
            true=true_n[name],
            said=given_n[name],
            precision=figures[f"{name} precision"],
            recall=figures[f"{name} recall"],
            f1=figures[f"{name} f1"],
        )
        for name in names
    ]


def _share(top: int, bottom: int) -> Statistic:
    return lambda sums: ratio(sums[..., top], sums[..., bottom])


def _f1(both: int, true: int, given: int) -> Statistic:
    return lambda sums: ratio(2 * sums[..., both], sums[..., true] + sums[..., given])


def confusion(truth: Sequence[str], given: Sequence[str], order: Sequence[str] = ()) -> Confusion:
    """Counts of what is given for what.

    Args:
        truth: The true class of each clip.
        given: The class of each answer, empty where there is none.
        order: Classes that come first, in this order, where they are true at all.

    Returns:
        The names of rows and columns, and the counts.
    """
    present = set(truth)
    names = [name for name in order if name in present] + sorted(present - set(order))
    columns = [*names, OTHER, NONE]
    counts = [[0] * len(columns) for _ in names]
    for t, g in zip(truth, given, strict=True):
        counts[names.index(t)][columns.index(g if g in present else OTHER if g else NONE)] += 1
    return {"true": names, "said": columns, "counts": counts}


def calibration(
    truth: Sequence[str],
    probabilities: Sequence[Mapping[str, float]],
    clusters: Clusters = None,
    seed: int = 0,
    bins: int = BINS,
) -> Calibration:
    """How far the likeliest label's probability is from how often it is right.

    `ece` is the expected calibration error over equally wide bins; `bins` are those of a reliability diagram. Clips
    without probabilities are left out, and `n` tells how many are in.

    Args:
        truth: The true class of each clip.
        probabilities: Of each candidate, for each clip; empty where there are none.
        clusters: Who speaks in each clip.
        seed: The seed of the intervals.
        bins: How many bins.

    Returns:
        The calibration error, and the bars of the diagram.
    """
    kept = [i for i, shares in enumerate(probabilities) if shares]
    rows = np.zeros((len(kept), 3 * bins))  # clips, confidence and hits, of each bin
    for row, i in zip(rows, kept, strict=True):
        label, confidence = max(probabilities[i].items(), key=lambda pair: pair[1])
        at = 3 * min(int(confidence * bins), bins - 1)
        row[at : at + 3] = 1, confidence, folded(label) == truth[i]

    def ece(sums: Rows) -> Rows:
        gaps = np.abs(sums[..., 1::3] - sums[..., 2::3]).sum(-1)
        return ratio(gaps, sums[..., 0::3].sum(-1))

    def over(sums: Rows) -> Rows:
        return ratio((sums[..., 1::3] - sums[..., 2::3]).sum(-1), sums[..., 0::3].sum(-1))

    who = None if clusters is None else [clusters[i] for i in kept]
    figures = estimates(rows, {"ece": ece, "overconfidence": over}, who, seed)
    table: list[Bin] = []
    for i in range(bins):
        n, confidence, hits = (float(rows[:, 3 * i + j].sum()) for j in range(3))
        table.append(
            {
                "low": i / bins,
                "high": (i + 1) / bins,
                "n": int(n),
                "confidence": round(confidence / n, 6) if n else None,
                "accuracy": round(hits / n, 6) if n else None,
            }
        )
    return {"ece": figures["ece"], "overconfidence": figures["overconfidence"], "bins": table}


def by_modalities(
    labels: Mapping[str, Labels],
    predictions: Sequence[Prediction],
    speakers: Mapping[str, str] | None,
    tasks: Sequence[str],
    seed: int = 0,
) -> dict[str, ModalityGroup]:
    """Clips in groups by which modalities were present, each with its number and every task's headline figure.

    Args:
        labels: Clip id -> labels.
        predictions: At most one for each clip and task.
        speakers: Clip id -> who speaks.
        tasks: The names of the tasks.
        seed: The seed of the intervals.

    Returns:
        The names of the modalities, joined by +, -> the group.
    """
    group = dict.fromkeys(labels, NONE)
    for line in predictions:
        present = [name for name, state in (line.modalities or {}).items() if state == PRESENT]
        group[line.id] = UNREAD if line.error is not None else " + ".join(sorted(present)) or "nothing"
    found: dict[str, ModalityGroup] = {}
    for name in sorted(set(group.values())):
        clips = [clip for clip in labels if group[clip] == name]
        scores = score(
            {clip: labels[clip] for clip in clips},
            [line for line in predictions if group.get(line.id) == name],
            speakers,
            tasks,
            seed,
        )
        heads = {
            f"{task}.{TASKS[task].headline}": figures[TASKS[task].headline]
            for task, figures in scores.items()
            if TASKS[task].headline in figures
        }
        found[name] = {"clips": len(clips), "figures": heads}
    return found
