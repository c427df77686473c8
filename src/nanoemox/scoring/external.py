"""Any system's predictions against the truth: sound figures, the official scorer's, and where they part.

`standard` figures are those of `scoring`. `published` repeats the official scorer with the word lists of a
folder (`word_lists`). Every clip of the manifest counts in the standard figures: without a prediction it is
wrong. Whatever is odd about the file is counted and listed by name.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nanoemox.data.manifest import read_manifest
from nanoemox.scoring import official_scorers
from nanoemox.scoring import score as scoring
from nanoemox.scoring.prediction_files import Faults, prediction, read_rows, truth_of
from nanoemox.scoring.verdicts import LABELLED, Server, judge_reasons, labels_by_server
from nanoemox.scoring.word_lists import WordLists
from nanoemox.tasks.task import POLARITIES, TASKS, parse_labels

MODES = ("standard", "official", "both")
MATTERS = 0.005  # a difference of half a point is told
# Published figure -> the standard one that answers the same question, and why they may differ.
PAIRS = {
    "hit_rate": ("hit_rate", "clips that a wheel has no cluster for are left out; other word lists"),
    "f": ("wheel_f1", "other wheels and word lists"),
    "precision": ("wheel_precision", "other wheels and word lists"),
    "recall": ("wheel_recall", "other wheels and word lists"),
    "weighted_f1": ("binary_weighted_f1", "only the exact words positive and negative are read"),
    "intent_accuracy": ("accuracy", "letters must be equal; unanswered clips are left out"),
    "intent_weighted_f1": ("weighted_f1", "letters must be equal; unanswered clips are left out"),
    "intent_weighted_precision": (
        "weighted_precision",
        "letters must be equal; unanswered clips are left out",
    ),
    "emotion_accuracy": ("emotion_accuracy", "the truth is passed through a table, the answer is not"),
    "emotion_hit_rate": ("emotion_hit_rate", "other projection of both sides"),
    "dist_1": ("dist_1", "the think block is removed only where it is closed"),
    "dist_2": ("dist_2", "the think block is removed only where it is closed"),
}


def mark(
    predictions: str | Path,
    task: str,
    manifest: str | Path | None = None,
    tables: str | Path | None = None,
    mode: str = "standard",
    seed: int = 0,
    server: Server | None = None,
) -> dict[str, Any]:
    """Score a file of predictions.

    Args:
        predictions: csv, tsv, jsonl, json or the official npz.
        task: which of the six tasks it answers.
        manifest: the truth; None, a column such as `truth` or `gt` of the predictions.
        tables: the official scorer's word lists, for `published` hit rates, set scores and AvaMERG figures.
        mode: standard, published or both.
        server: judges reasons, or reads labels from answers in running text.
    """
    if server and task not in (*LABELLED, "reasoning"):
        raise ValueError(f"a server can help with reasoning, {' and '.join(LABELLED)}, not with {task}")
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; tasks are: {', '.join(TASKS)}")
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}: expected {', '.join(MODES)}")
    faults = Faults()
    rows = read_rows(predictions, faults)
    rows = [row for row in rows if row.get("task") in (None, "", task)]
    labels, speakers = _truth(rows, task, manifest, faults)
    if not labels:
        raise ValueError(
            f"{manifest or predictions}: expected labels of {task}, found none; "
            + ("choose another task" if manifest else "give --manifest, or add a column `truth`")
        )
    said: dict[str, dict[str, Any]] = {}
    routes: dict[str, str] = {}
    for row in rows:
        name = row["id"]
        if name in said:
            faults.add("duplicate id (the first one counts)", name)
            continue
        if name not in labels:
            faults.add("id without a label (not scored)", name)
            continue
        said[name], routes[name] = prediction(row, task, TASKS[task].candidates(labels[name]), faults)
    for name in labels:
        if name not in said:
            faults.add("no prediction (counts as wrong)", name)
    if not said:
        raise ValueError(
            f"{predictions}: none of its {len(rows)} ids is labelled, such as {_example(rows)}; "
            f"expected ids such as {next(iter(labels))!r}"
        )
    report: dict[str, Any] = {"predictions": str(predictions), "task": task, "n": len(labels), "mode": mode}
    if server and task == "reasoning":
        report["judge"] = judge_reasons(server, labels, said, speakers, faults, seed)
    elif server:
        report["server"] = labels_by_server(server, said, routes, faults)
    if mode != "official":
        report["standard"] = scoring.score(labels, said.values(), speakers, [task], seed)[task]
        report["notes"] = [
            f"{name} is 0, as precision and recall are both 0"
            for name in ("set_f1", "wheel_f1")
            if (report["standard"].get(name) or {}).get("value") == 0
        ]
    if mode != "standard":
        words = WordLists.read(tables) if tables else None
        report["official"], notes = released(labels, said, task, words)
        report["notes"] = report.get("notes", []) + notes
    if mode == "both":
        report["differences"] = differences(report["official"], report["standard"])
    report["routes"] = dict(Counter(routes.values()))
    report["faults"] = {kind: {"n": len(names), "names": names} for kind, names in faults.found.items()}
    return report


def _truth(
    rows: Sequence[Mapping[str, Any]], task: str, manifest: str | Path | None, faults: Faults
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Labels by clip, and who speaks where that is known."""
    if manifest is not None:
        records = read_manifest(manifest)
        labels = {r.id: r.labels.model_dump(exclude_none=True) if r.labels else {} for r in records}
        return (
            {clip: known for clip, known in labels.items() if scoring.has_labels(known, task)},
            {r.id: r.speaker for r in records if r.speaker},
        )
    labels = {}
    for row in rows:
        text = truth_of(dict(row))
        if text is None or row["id"] in labels:
            continue
        if task == "sentiment":
            mine: dict[str, Any] = {"polarity": text.casefold()}
            if text.casefold() not in POLARITIES:
                try:
                    mine = {"valence": float(text)}
                except ValueError:
                    mine = {}
                if not math.isfinite(mine.get("valence", math.nan)):
                    faults.add("truth cannot be read (not scored)", f"{row['id']}: {text[:60]!r}")
                    continue
        elif task == "open_vocabulary":
            mine = {"labels": list(parse_labels(text))}
        elif task == "empathy":
            mine = {"emotion": text, "reply": "unknown"}
        elif task == "reasoning":
            mine = {"text": text}
        else:
            mine = {"label": text}
        labels[row["id"]] = {task: mine}
    return labels, {}


def _example(rows: Sequence[Mapping[str, Any]]) -> str:
    return repr(rows[0]["id"]) if rows else "none"


# ---------------------------------------------------------------- the official scorer


def released(
    labels: Mapping[str, Mapping[str, Any]],
    said: Mapping[str, Mapping[str, Any]],
    task: str,
    words: WordLists | None,
) -> tuple[dict[str, float | None], list[str]]:
    """The official scorer's figures as fractions, and what has to be known about them."""
    truth = {name: known[task] for name, known in labels.items()}
    notes: list[str] = []
    if task in ("emotion", "open_vocabulary", "empathy") and words is None:
        raise ValueError(f"the published figures of {task} need word lists; give --tables DIR")
    lists = {name: list((said.get(name) or {}).get("labels") or ()) for name in truth}
    if task == "sentiment":
        values = {name: _valence(mine) for name, mine in truth.items()}
        given = {name: (said.get(name) or {}).get("polarity") or "" for name in truth}
        f1, accuracy = official_scorers.sentiment(values, given)
        notes.append("neutral and unread answers count as negative; neutral clips are left out")
        return _clean({"weighted_f1": f1, "accuracy": accuracy}), notes
    if task == "intent":
        texts = {name: str(line["text"]) for name, line in said.items()}
        figures = official_scorers.intent({name: mine["label"] for name, mine in truth.items()}, texts)
        return _clean(
            {f"intent_{k.removeprefix('Intent_').lower()}": v / 100 for k, v in figures.items()}
        ), notes
    if task == "reasoning":
        raise ValueError(
            "reasoning: the official scorer asks a judge; leave --mode out and give --server URL for one"
        )
    assert words is not None
    if task == "emotion":
        rate, mscore, per_wheel = official_scorers.hit_rate(
            {n: m["label"] for n, m in truth.items()}, lists, words
        )
        notes.append("a longer list of labels never lowers the hit rate; mscore divides by its length")
        wheels = {f"hit_rate_wheel{i}": hit for i, (hit, _) in enumerate(per_wheel, 1)}
        return _clean({"hit_rate": rate, "mscore": mscore, **wheels}), notes
    if task == "open_vocabulary":
        f, precision, recall = official_scorers.open_vocabulary(
            {n: m["labels"] for n, m in truth.items()}, lists, words
        )
        if math.isnan(f):
            notes.append(
                "F is undefined, as a wheel has neither precision nor recall; the standard figure is 0"
            )
        return _clean({"f": f, "precision": precision, "recall": recall}), notes
    tables = words.avamerg_tables()
    raw = {n: m["emotion"] for n, m in truth.items() if m.get("emotion") and n in said}
    responses = {n: str(said[n]["text"]) for n in raw}
    try:
        figures = official_scorers.avamerg(official_scorers.projected_truth(raw, tables), responses, tables)
    except KeyError as error:
        notes.append(f"the official scorer stops with KeyError: {error.args[0]!r} is not in its table")
        replies = [official_scorers.without_think(text) for text in responses.values()]
        return _clean({f"dist_{n}": official_scorers.dist(replies, n) for n in (1, 2)}), notes
    keys = {
        "Emotion_Accuracy": "emotion_accuracy",
        "Hitrate": "emotion_hit_rate",
        "Dist-1": "dist_1",
        "Dist-2": "dist_2",
    }
    return _clean({keys[k]: v / 100 for k, v in figures.items()}), notes


def _valence(mine: Mapping[str, Any]) -> float:
    if mine.get("valence") is not None:
        return float(mine["valence"])
    return {"positive": 1.0, "negative": -1.0}.get(mine["polarity"], 0.0)


def _clean(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in figures.items()}


def differences(
    theirs: Mapping[str, float | None], ours: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Pairs of figures that part by half a point or more, or where only one is defined."""
    found = []
    for name, (standard, why) in PAIRS.items():
        if name not in theirs or standard not in ours:
            continue
        a, b = theirs[name], ours[standard]["value"]
        if (a is None) != (b is None) or (a is not None and b is not None and abs(a - b) >= MATTERS):
            found.append({"official": name, "standard": standard, "values": [a, b], "why": why})
    return found


def to_json(report: Mapping[str, Any]) -> str:
    return json.dumps(report, ensure_ascii=False, indent=2) + "\n"
