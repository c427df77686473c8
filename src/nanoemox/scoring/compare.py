"""Two systems on the same clips: is one better, and on which clips do they differ?

Each clip gives each system one number per task (right or wrong, or an F1). The signs of the clips' differences are
flipped at random, those of a speaker together where speakers are known: the p-value is how often chance alone gives a
mean difference as large (paired permutation test, two-sided, with the observed difference counted in).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

from nanoemox.data.manifest import read_manifest
from nanoemox.metrics import bootstrap, label_sets
from nanoemox.metrics.reason_agreement import agreement
from nanoemox.metrics.text import cue_f1
from nanoemox.scoring import score as scoring
from nanoemox.scoring.prediction_files import Faults, prediction, read_rows
from nanoemox.tasks.task import TASKS

FLIPS = 10_000
FLIPS_AT_ONCE = 500  # drawn together: 170 MB with 5,000 speakers
MEASURES = {
    "sentiment": "right polarity",
    "emotion": "right label",
    "open_vocabulary": "F1 of the clip's groups",
    "intent": "right label",
    "reasoning": "F1 of the clip's cues, or agreement",
    "empathy": "right emotion",
}


def compare(
    a: str | Path,
    b: str | Path,
    manifest: str | Path,
    task: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two files of predictions, or two folders of `nanoemox evaluate`, on a manifest's labels.

    A clip that one system has not answered counts as wrong for it; a clip that neither has answered is left out
    and counted. What is odd about the files is in `faults`, by name. `task` None: every task with labels that both
    have answered.
    """
    records = read_manifest(manifest)
    labels = {r.id: r.labels.model_dump(exclude_none=True) if r.labels else {} for r in records}
    speakers = {r.id: r.speaker or r.id for r in records}
    faults = {"a": Faults(), "b": Faults()}
    rows = [read_rows(_file(path), fault) for path, fault in zip((a, b), faults.values(), strict=True)]
    named = [{row["task"] for row in part if row.get("task") in TASKS} for part in rows]
    tasks = [task] if task else [name for name in TASKS if name in named[0] & named[1]]
    if not tasks or any(name not in TASKS for name in tasks):
        raise ValueError(
            f"compare: expected --task, one of {', '.join(TASKS)}, as the files do not both name one"
        )
    report: dict[str, Any] = {"a": str(a), "b": str(b), "tasks": {}}
    for name in tasks:
        labelled = [clip for clip, known in labels.items() if scoring.has_labels(known, name)]
        if not labelled:
            continue
        said = [_said(part, name, labels, fault) for part, fault in zip(rows, faults.values(), strict=True)]
        clips = [clip for clip in labelled if clip in said[0] or clip in said[1]]
        if not clips:
            raise ValueError(f"{a}, {b}: none of their ids is labelled for {name} in {manifest}; check both")
        for mine, fault in zip(said, faults.values(), strict=True):
            for clip in clips:
                if clip not in mine:
                    fault.add(f"{name}: no prediction (counts as wrong)", clip)
        values = [[_value(name, labels[clip][name], mine.get(clip, {})) for clip in clips] for mine in said]
        report["tasks"][name] = {"measure": MEASURES[name], "answered_by_neither": len(labelled) - len(clips)}
        report["tasks"][name] |= paired(values[0], values[1], clips, [speakers[clip] for clip in clips], seed)
    report["faults"] = {
        side: {kind: {"n": len(names), "names": names} for kind, names in fault.found.items()}
        for side, fault in faults.items()
    }
    if not report["tasks"]:
        raise ValueError(f"{manifest}: expected labels of {', '.join(tasks)}, found none")
    return report


def _file(path: str | Path) -> Path:
    path = Path(path)
    return path / "predictions.jsonl" if path.is_dir() else path


def _said(
    rows: Sequence[Mapping[str, Any]], task: str, labels: Mapping[str, Mapping[str, Any]], faults: Faults
) -> dict[str, dict[str, Any]]:
    """One system's predictions of a task by clip; the first of several counts."""
    said: dict[str, dict[str, Any]] = {}
    for row in rows:
        name = row["id"]
        if row.get("task") not in (None, "", task):
            continue
        if not scoring.has_labels(labels.get(name) or {}, task):
            faults.add(f"{task}: id without a label (not compared)", name)
        elif name in said:
            faults.add(f"{task}: duplicate id (the first one counts)", name)
        else:
            found = Faults()
            said[name] = prediction(dict(row), task, TASKS[task].candidates(labels[name]), found)[0]
            for kind, names in found.found.items():
                for each in names:
                    faults.add(f"{task}: {kind}", each)
    return said


def _value(task: str, truth: Mapping[str, Any], said: Mapping[str, Any]) -> float:
    """What one clip is worth to a system, from 0 to 1."""
    if task == "open_vocabulary":
        true, mine = label_sets.groups_of(truth["labels"]), label_sets.groups_of(said.get("labels") or ())
        return 2 * len(true & mine) / (len(true) + len(mine))
    if task == "reasoning" and any((truth.get("cues") or {}).values()):
        return cue_f1([truth["cues"]], [said.get("cues") or {}])["value"] or 0.0
    if task == "reasoning":
        return agreement(truth["text"], str(said.get("text") or "")).both or 0.0
    if task == "empathy":
        chain = said.get("thinking") or {}
        return float(scoring.plain(truth.get("emotion")) == scoring.plain(chain.get("emotion")))
    return float(scoring.true_label(task, truth) == scoring.said_label(task, said))


def paired(
    a: Sequence[float], b: Sequence[float], clips: Sequence[str], speakers: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """Means, their difference (b - a) with p-value and 95 % interval, and the clips where the two differ."""
    difference = np.asarray(b, dtype=np.float64) - np.asarray(a, dtype=np.float64)
    if len(set(speakers)) == 1:  # one speaker cannot be flipped against another
        speakers = clips
    _, who = np.unique(np.asarray(speakers), return_inverse=True)
    by_speaker = np.bincount(who, weights=difference)
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
        return np.abs(flipped.sum(axis=axis)).round(9)  # sums that differ by rounding alone are equal

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
