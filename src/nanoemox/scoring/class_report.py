"""What one accuracy hides: every class, what is taken for what, and whether the probabilities can be believed.

All of it from predictions and labels, as in `scoring`, with the same intervals over speakers. A clip without an
answer stays in every table, in a column of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nanoemox.media.clip import PRESENT
from nanoemox.metrics.bootstrap import Clusters, Figure, Rows, Statistic, estimates, ratio
from nanoemox.scoring import score as scoring
from nanoemox.scoring.prediction_files import labels_from
from nanoemox.tasks.task import POLARITIES, TASKS

CLOSED = ("sentiment", "emotion", "intent")  # one label of a list, with a probability each
BINS = 10  # of confidence, equally wide
OTHER, NONE = "another label", "no answer"
UNREAD = "could not be read"


def break_down(
    labels: Mapping[str, scoring.Labels],
    predictions: Iterable[scoring.Prediction],
    speakers: Mapping[str, str] | None = None,
    tasks: Sequence[str] = tuple(TASKS),
    seed: int = 0,
) -> dict[str, Any]:
    """`classes`, `confusion` and `calibration` by closed task, `routes` to labels, headline figures `by_modalities`.

    Args:
        labels: clip id -> labels. predictions: at most one for each clip and task.
        speakers: clip id -> who speaks, for intervals over speakers.
    """
    found: dict[str, dict[str, Any]] = {"classes": {}, "confusion": {}, "calibration": {}}
    by_task: dict[str, dict[str, scoring.Prediction]] = defaultdict(dict)
    for line in predictions:
        by_task[line["task"]][line["id"]] = line
    for name in [task for task in tasks if task in CLOSED]:
        clips = [clip for clip, known in labels.items() if scoring.has_labels(known, name)]
        if not clips:
            continue
        lines = [by_task[name].get(clip, {}) for clip in clips]
        truth = [scoring.true_label(name, labels[clip][name]) for clip in clips]
        said = [scoring.said_label(name, line) for line in lines]
        who = [(speakers or {}).get(clip) or clip for clip in clips]
        found["classes"][name] = class_figures(truth, said, who, seed)
        found["confusion"][name] = confusion(truth, said, POLARITIES if name == "sentiment" else ())
        shares = [line.get("probabilities") for line in lines]
        if any(shares):
            found["calibration"][name] = calibration(truth, shares, who, seed)
    every = [line for lines in by_task.values() for line in lines.values()]
    found["routes"] = {name: dict(Counter(map(_route, by_task[name].values()))) for name in tasks}
    return found | {"by_modalities": by_modalities(labels, every, speakers, tasks, seed)}


def _route(line: scoring.Prediction) -> str:
    """How the label or the parts of an answer were found."""
    if "error" in line or not line.get("text"):
        return NONE
    if line["task"] in CLOSED:
        return "likelihood of each candidate" if line.get("probabilities") else "what was written"
    if line["task"] == "open_vocabulary":
        return labels_from(line["text"])[1]
    return "answer grammar" if line.get("cues") or line.get("thinking") else "free text"


def class_figures(
    truth: Sequence[str], said: Sequence[str], clusters: Clusters = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Of each true label: how often it is true and said, and precision, recall and F1 with intervals."""
    names = sorted(set(truth))
    rows = np.zeros((len(truth), 3 * len(names)))  # true, said and both, of each label
    place = {name: i for i, name in enumerate(names)}
    for i, (t, s) in enumerate(zip(truth, said, strict=True)):
        rows[i, 3 * place[t]] = 1
        if s in place:
            rows[i, 3 * place[s] + 1] = 1
            rows[i, 3 * place[s] + 2] = t == s
    parts: dict[str, Statistic] = {}
    for name, i in place.items():
        true, mine, both = 3 * i, 3 * i + 1, 3 * i + 2
        parts[f"{name} precision"] = lambda s, a=both, b=mine: ratio(s[..., a], s[..., b])  # type: ignore[misc]
        parts[f"{name} recall"] = lambda s, a=both, b=true: ratio(s[..., a], s[..., b])  # type: ignore[misc]
        parts[f"{name} f1"] = lambda s, a=both, b=true, c=mine: ratio(2 * s[..., a], s[..., b] + s[..., c])  # type: ignore[misc]
    figures = estimates(rows, parts, clusters, seed)
    true_n, said_n = Counter(truth), Counter(said)
    return [
        {"label": name, "true": true_n[name], "said": said_n[name]}
        | {kind: figures[f"{name} {kind}"] for kind in ("precision", "recall", "f1")}
        for name in names
    ]


def confusion(truth: Sequence[str], said: Sequence[str], order: Sequence[str] = ()) -> dict[str, Any]:
    """Counts [true, said]; the last two columns are labels that are never true, and no answer at all."""
    present = set(truth)
    names = [name for name in order if name in present] + sorted(present - set(order))
    columns = [*names, OTHER, NONE]
    counts = [[0] * len(columns) for _ in names]
    for t, s in zip(truth, said, strict=True):
        counts[names.index(t)][columns.index(s if s in present else OTHER if s else NONE)] += 1
    return {"true": names, "said": columns, "counts": counts}


def calibration(
    truth: Sequence[str],
    probabilities: Sequence[Mapping[str, float] | None],
    clusters: Clusters = None,
    seed: int = 0,
    bins: int = BINS,
) -> dict[str, Any]:
    """How far the likeliest label's probability is from how often it is right.

    `ece` is the expected calibration error over equally wide bins; `bins` are those of a reliability diagram. Clips
    without probabilities are left out, and `n` tells how many are in.
    """
    kept = [i for i, shares in enumerate(probabilities) if shares]
    rows = np.zeros((len(kept), 3 * bins))  # clips, confidence and hits, of each bin
    for row, i in zip(rows, kept, strict=True):
        shares = probabilities[i] or {}
        label, confidence = max(shares.items(), key=lambda pair: pair[1])
        at = 3 * min(int(confidence * bins), bins - 1)
        row[at : at + 3] = 1, confidence, scoring.plain(label) == truth[i]

    def ece(sums: Rows) -> Rows:
        gaps = np.abs(sums[..., 1::3] - sums[..., 2::3]).sum(-1)
        return ratio(gaps, sums[..., 0::3].sum(-1))

    def over(sums: Rows) -> Rows:
        return ratio((sums[..., 1::3] - sums[..., 2::3]).sum(-1), sums[..., 0::3].sum(-1))

    who = None if clusters is None else [clusters[i] for i in kept]
    figures = estimates(rows, {"ece": ece, "overconfidence": over}, who, seed)
    table = []
    for i in range(bins):
        n, confidence, hits = (float(rows[:, 3 * i + j].sum()) for j in range(3))
        table.append(
            {"low": i / bins, "high": (i + 1) / bins, "n": int(n)}
            | {"confidence": round(confidence / n, 6) if n else None}
            | {"accuracy": round(hits / n, 6) if n else None}
        )
    return {**figures, "bins": table}


def by_modalities(
    labels: Mapping[str, scoring.Labels],
    predictions: Iterable[scoring.Prediction],
    speakers: Mapping[str, str] | None = None,
    tasks: Sequence[str] = tuple(TASKS),
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Clips in groups by which modalities were present, each with its number and every task's headline figure."""
    lines = list(predictions)
    group = dict.fromkeys(labels, NONE)
    for line in lines:
        present = [name for name, state in (line.get("modalities") or {}).items() if state == PRESENT]
        group[line["id"]] = UNREAD if "error" in line else " + ".join(sorted(present)) or "nothing"
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(set(group.values())):
        clips = [clip for clip in labels if group[clip] == name]
        figures = scoring.score(
            {clip: labels[clip] for clip in clips},
            [line for line in lines if group.get(line["id"]) == name],
            speakers,
            tasks,
            seed,
        )
        heads: dict[str, Figure] = {
            f"{task}.{scoring.HEADLINES[task]}": row[scoring.HEADLINES[task]]
            for task, row in figures.items()
            if scoring.HEADLINES[task] in row
        }
        found[name] = {"clips": len(clips), "figures": heads}
    return found
