"""Scores of answers against labels, each with the interval that its sample supports (`intervals`).

Signatures are (truth, said, clusters, seed) as in scikit-learn, with who speaks in each clip beside them; a figure
is {"value", "low", "high", "n"}, fractions of 1. Nothing here knows tensors.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from nanoemox import emotion_wheel
from nanoemox.intervals import (
    RESAMPLES,
    Clusters,
    Figure,
    Rows,
    Statistic,
    estimate,
    estimates,
    harmonic,
    mean,
    ratio,
)

__all__ = [
    "RESAMPLES",
    "Figure",
    "accuracy",
    "basic_emotions",
    "corpus_dist_n",
    "cue_f1",
    "dist_n",
    "distinct",
    "estimate",
    "estimates",
    "groups_of",
    "hit_rate",
    "macro_f1",
    "mean",
    "set_scores",
    "unweighted_recall",
    "weighted_f1",
    "weighted_precision",
    "wheel_scores",
]


def accuracy(
    truth: Sequence[str], said: Sequence[str | None], clusters: Clusters = None, seed: int = 0
) -> Figure:
    """Share of equal labels; no answer (None) counts as wrong."""
    return mean([float(t == s) for t, s in zip(truth, said, strict=True)], clusters, seed)


# ---------------------------------------------------------------- F1 over classes


def _confusion(truth: Sequence[str], said: Sequence[str | None]) -> tuple[Rows, int]:
    """[clips, L * L] one-hot cells of the confusion matrix (true, said), and L: true labels and "other"."""
    labels = {label: i for i, label in enumerate(sorted(set(truth)))}
    other, size = len(labels), len(labels) + 1
    rows = np.zeros((len(truth), size * size))
    cells = [labels[t] * size + labels.get(s or "", other) for t, s in zip(truth, said, strict=True)]
    rows[np.arange(len(truth)), cells] = 1
    return rows, size


def _class_f1(sums: Rows, size: int) -> tuple[Rows, Rows]:
    """Sums [..., L * L] -> F1 of each class [..., L] and how often each is true [..., L]."""
    cells = sums.reshape(*sums.shape[:-1], size, size)
    hits = np.diagonal(cells, axis1=-2, axis2=-1)
    true, said = cells.sum(-1), cells.sum(-2)
    total = true + said
    return np.divide(2 * hits, total, out=np.zeros(total.shape), where=total > 0), true


def weighted_f1(
    truth: Sequence[str], said: Sequence[str | None], clusters: Clusters = None, seed: int = 0
) -> Figure:
    """F1 of each true class, weighted by how often it is true (scikit-learn's "weighted")."""
    rows, size = _confusion(truth, said)

    def statistic(sums: Rows) -> Rows:
        f1, true = _class_f1(sums, size)
        return ratio((f1 * true).sum(-1), true.sum(-1))

    return estimate(rows, statistic, clusters, seed)


def macro_f1(
    truth: Sequence[str], said: Sequence[str | None], clusters: Clusters = None, seed: int = 0
) -> Figure:
    """Plain mean of F1 over the classes that are true at least once."""
    rows, size = _confusion(truth, said)

    def statistic(sums: Rows) -> Rows:
        f1, true = _class_f1(sums, size)
        present = true > 0
        return ratio((f1 * present).sum(-1), present.sum(-1).astype(np.float64))

    return estimate(rows, statistic, clusters, seed)


def weighted_precision(
    truth: Sequence[str], said: Sequence[str | None], clusters: Clusters = None, seed: int = 0
) -> Figure:
    """Precision of each true class, weighted by how often it is true; 0 for a class that is never said."""
    rows, size = _confusion(truth, said)

    def statistic(sums: Rows) -> Rows:
        cells = sums.reshape(*sums.shape[:-1], size, size)
        hits, true, said_n = np.diagonal(cells, axis1=-2, axis2=-1), cells.sum(-1), cells.sum(-2)
        precision = np.divide(hits, said_n, out=np.zeros(hits.shape), where=said_n > 0)
        return ratio((precision * true).sum(-1), true.sum(-1))

    return estimate(rows, statistic, clusters, seed)


def unweighted_recall(
    truth: Sequence[str], said: Sequence[str | None], clusters: Clusters = None, seed: int = 0
) -> Figure:
    """Plain mean of recall over the true classes (UAR); WAR is `accuracy`."""
    rows, size = _confusion(truth, said)

    def statistic(sums: Rows) -> Rows:
        cells = sums.reshape(*sums.shape[:-1], size, size)
        hits, true = np.diagonal(cells, axis1=-2, axis2=-1), cells.sum(-1)
        recall = np.divide(hits, true, out=np.zeros(hits.shape), where=true > 0)
        return ratio(recall.sum(-1), (true > 0).sum(-1).astype(np.float64))

    return estimate(rows, statistic, clusters, seed)


def hit_rate(
    truth: Sequence[str], said: Sequence[Collection[str]], clusters: Clusters = None, seed: int = 0
) -> dict[str, Figure]:
    """Share of clips where the basic emotion of the truth is among those said, with precision and label count.

    Both sides are projected alike; a word that the lexicon lacks stands for itself, so no clip drops out. More
    labels never lower the hit rate, hence the other two beside it.
    """
    rows = []
    for label, labels in zip(truth, said, strict=True):
        mine = basic_emotions(labels)
        hit = float(bool(basic_emotions([label]) & mine))
        rows.append((hit, hit / len(mine) if mine else 0.0, float(len(labels)), 1.0))
    table = np.asarray(rows, dtype=np.float64).reshape(-1, 4)
    parts: dict[str, Statistic] = {
        "hit_rate": lambda s: ratio(s[..., 0], s[..., 3]),
        "hit_precision": lambda s: ratio(s[..., 1], s[..., 3]),
        "labels_per_answer": lambda s: ratio(s[..., 2], s[..., 3]),
    }
    return estimates(table, parts, clusters, seed)


# ---------------------------------------------------------------- sets of words


def groups_of(labels: Sequence[str]) -> frozenset[str]:
    """Words -> their groups in the lexicon; a word that it lacks stands for itself."""
    return frozenset(
        emotion_wheel.group(label) or label.casefold().strip() for label in labels if label.strip()
    )


def basic_emotions(labels: Collection[str]) -> frozenset[str]:
    """Words -> their basic emotions in the lexicon; a word that it lacks stands for itself."""
    return frozenset(
        emotion_wheel.basic_emotion(label) or label.casefold().strip() for label in labels if label.strip()
    )


def set_scores(
    truth: Sequence[Collection[str]],
    said: Sequence[Collection[str]],
    clusters: Clusters = None,
    seed: int = 0,
) -> dict[str, Figure]:
    """Mean precision and recall over clips, and their harmonic mean (the rule for open vocabularies).

    Clips without a true label are left out; an empty answer has precision and recall 0.
    """
    rows, who = [], []
    for i, (true, mine) in enumerate(zip(truth, said, strict=True)):
        if true:
            hits = len(set(true) & set(mine))
            rows.append((hits / len(set(mine)) if mine else 0.0, hits / len(set(true)), 1.0))
            who.append(clusters[i] if clusters is not None else str(i))
    table = np.asarray(rows, dtype=np.float64).reshape(-1, 3)
    parts: dict[str, Statistic] = {
        "f1": lambda s: harmonic(ratio(s[..., 0], s[..., 2]), ratio(s[..., 1], s[..., 2])),
        "precision": lambda s: ratio(s[..., 0], s[..., 2]),
        "recall": lambda s: ratio(s[..., 1], s[..., 2]),
    }
    return estimates(table, parts, who, seed)


def wheel_scores(
    truth: Sequence[Collection[str]],
    said: Sequence[Collection[str]],
    clusters: Clusters = None,
    seed: int = 0,
) -> dict[str, Figure]:
    """`set_scores` over the sectors of each of our wheels, and their means over the wheels.

    The rule of MER-UniBench for open vocabularies, with our wheels in place of its five: F1 of each wheel
    from mean precision and recall, then the mean F1. Both sides are projected alike; a word that the lexicon
    lacks stands for itself.
    """
    names = emotion_wheel.WHEELS
    rows, who = [], []
    for i, (true, mine) in enumerate(zip(truth, said, strict=True)):
        expected, given = _on_wheels(true), _on_wheels(mine)
        if not expected[0]:
            continue
        hits = [len(t & m) for t, m in zip(expected, given, strict=True)]
        precision = [hit / len(m) if m else 0.0 for hit, m in zip(hits, given, strict=True)]
        rows.append(precision + [hit / len(t) for hit, t in zip(hits, expected, strict=True)] + [1.0])
        who.append(clusters[i] if clusters is not None else str(i))
    size = len(names)
    table = np.asarray(rows, dtype=np.float64).reshape(-1, 2 * size + 1)

    def f1(sums: Rows) -> Rows:
        """[..., sums] -> F1 of each wheel [..., wheels]."""
        return harmonic(
            ratio(sums[..., :size], sums[..., -1:].repeat(size, -1)),
            ratio(sums[..., size:-1], sums[..., -1:].repeat(size, -1)),
        )

    parts: dict[str, Statistic] = {
        "f1": lambda s: f1(s).mean(-1),
        "precision": lambda s: ratio(s[..., :size].mean(-1), s[..., -1]),
        "recall": lambda s: ratio(s[..., size:-1].mean(-1), s[..., -1]),
    }
    parts |= {f"f1_{name}": lambda s, i=i: f1(s)[..., i] for i, name in enumerate(names)}  # type: ignore[misc]
    return estimates(table, parts, who, seed)


def _on_wheels(labels: Collection[str]) -> list[set[str]]:
    """The sectors of some words, one set a wheel."""
    found: list[set[str]] = [set() for _ in emotion_wheel.WHEELS]
    for label in labels:
        if label.strip():
            sectors = emotion_wheel.sectors(label) or (label.casefold().strip(),) * len(found)
            for wheel, sector in zip(found, sectors, strict=True):
                wheel.add(sector)
    return found


def cue_f1(
    truth: Sequence[Mapping[str, Collection[str]]],
    said: Sequence[Mapping[str, Collection[str]]],
    source: str | None = None,
    clusters: Clusters = None,
    seed: int = 0,
) -> Figure:
    """Micro F1 of (source, cue) pairs named against pairs present, of one `source` or of all four.

    Clips where neither side has a cue of the source add nothing.
    """

    def pairs(cues: Mapping[str, Collection[str]]) -> set[tuple[str, str]]:
        return {(s, _plain(c)) for s, found in cues.items() if source in (None, s) for c in found}

    rows, who = [], []
    for i, (true, mine) in enumerate(zip(map(pairs, truth), map(pairs, said), strict=True)):
        if true or mine:
            rows.append((len(true & mine), len(true), len(mine)))
            who.append(clusters[i] if clusters is not None else str(i))
    table = np.asarray(rows, dtype=np.float64).reshape(-1, 3)
    return estimate(table, lambda s: ratio(2 * s[..., 0], s[..., 1] + s[..., 2]), who, seed)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[\w'-]+", text.casefold()))


# ---------------------------------------------------------------- free text


def distinct(text: str, n: int = 2) -> float | None:
    """Share of distinct word n-grams within one reply, split at blanks (AvaMERG's Dist-n), or None."""
    words = text.casefold().split()
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return len(set(grams)) / len(grams) if grams else None


def dist_n(texts: Sequence[str], n: int = 2, clusters: Clusters = None, seed: int = 0) -> Figure:
    """Mean of `distinct` over replies; too short ones are left out. Short replies score near 1."""
    values = [distinct(text, n) for text in texts]
    kept = [i for i, value in enumerate(values) if value is not None]
    who = None if clusters is None else [clusters[i] for i in kept]
    return mean([value for value in values if value is not None], who, seed)


def corpus_dist_n(texts: Sequence[str], n: int = 2) -> Figure:
    """Distinct n-grams of all replies together over their number: low when every clip gets the same reply."""
    grams = [g for text in texts for g in zip(*(text.casefold().split()[i:] for i in range(n)), strict=False)]
    value = len(set(grams)) / len(grams) if grams else None
    return Figure(value=value, low=None, high=None, n=len(texts))
