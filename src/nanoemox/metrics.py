"""Scores of answers against labels, each with the interval that its sample supports.

Every figure here is a function of sums over clips, so a clip is reduced to a row of numbers (hits, counts,
one cell of a confusion matrix) and the interval comes from resampling the rows' sums. Whole speakers are
resampled, not clips: two clips of one person are not two independent witnesses. Values are fractions of 1.
Nothing here knows tensors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from nanoemox import emotion_wheel

RESAMPLES = 1000
MANY = 5000  # from so many clips or speakers on, equal ones are drawn together
DRAWN_AT_ONCE = 4_000_000  # weights held in memory
INTERVAL = (2.5, 97.5)  # percentiles: a 95 % interval

Rows = NDArray[np.float64]  # [clips, sums]
Clusters = Sequence[str] | None  # who speaks in each clip
Statistic = Callable[[Rows], Rows]  # [..., sums] -> [...]


class Figure(TypedDict):
    """A value with its 95 % interval and the number of clips behind it."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def estimate(rows: Rows, statistic: Statistic, clusters: Clusters = None, seed: int = 0) -> Figure:
    """Value of `statistic` on the summed rows, with a percentile bootstrap over clusters.

    Args:
        rows: [clips, sums], what each clip adds.
        statistic: maps sums [..., sums] to values [...]; NaN where undefined.
        clusters: who speaks in each clip; None, or a single speaker, resamples clips.
    """
    return estimates(rows, {"": statistic}, clusters, seed)[""]


def estimates(
    rows: Rows, statistics: Mapping[str, Statistic], clusters: Clusters = None, seed: int = 0
) -> dict[str, Figure]:
    """`estimate` for several statistics of the same rows, from one drawing of resamples."""
    rows = np.asarray(rows, dtype=np.float64)
    n = len(rows)
    if n == 0:
        return {name: Figure(value=None, low=None, high=None, n=0) for name in statistics}
    summed = rows
    if clusters is not None and len(set(clusters)) > 1:
        _, which = np.unique(np.asarray(clusters), return_inverse=True)
        summed = np.zeros((int(which.max()) + 1, rows.shape[1]))
        np.add.at(summed, which, rows)
    k = len(summed)
    shares = np.full(k, 1 / k)
    if k > MANY:  # drawing equal rows one by one is drawing their kinds by how many there are
        summed, counts = _kinds(summed)
        shares = counts / k
    rng, step = np.random.default_rng(seed), max(1, DRAWN_AT_ONCE // len(summed))
    drawn = np.concatenate(
        [
            rng.multinomial(k, shares, size=min(step, RESAMPLES - first)) @ summed
            for first in range(0, RESAMPLES, step)
        ]
    )  # [resamples, sums]
    figures = {}
    for name, statistic in statistics.items():
        values = statistic(drawn)
        values = values[~np.isnan(values)]
        low, high = np.percentile(values, INTERVAL) if len(values) else (np.nan, np.nan)
        value = float(statistic(rows.sum(axis=0)))
        figures[name] = Figure(value=_number(value), low=_number(low), high=_number(high), n=n)
    return figures


def _kinds(rows: Rows) -> tuple[Rows, NDArray[np.int64]]:
    """Distinct rows, and how often each occurs."""
    # One key a row that tells rows apart, by random weights; equal keys of unequal rows only split a kind.
    order = np.argsort(rows @ np.random.default_rng(0).random(rows.shape[1]), kind="stable")
    ordered = rows[order]
    first = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    starts = np.flatnonzero(first)
    return ordered[starts], np.diff([*starts, len(rows)])


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def _ratio(top: Rows, bottom: Rows) -> Rows:
    """top / bottom, NaN where bottom is 0."""
    return np.divide(top, bottom, out=np.full(np.shape(bottom), np.nan), where=np.asarray(bottom) > 0)


def _harmonic(precision: Rows, recall: Rows) -> Rows:
    """F1 of precision and recall; 0 where both are 0."""
    total = precision + recall
    return np.divide(
        2 * precision * recall, total, out=np.zeros(np.shape(total)), where=np.asarray(total) > 0
    )


def mean(values: Sequence[float], clusters: Clusters = None, seed: int = 0) -> Figure:
    """Mean of one number a clip: accuracy, a rate."""
    rows = np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)
    return estimate(rows, lambda s: _ratio(s[..., 0], s[..., 1]), clusters, seed)


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
        return _ratio((f1 * true).sum(-1), true.sum(-1))

    return estimate(rows, statistic, clusters, seed)


def macro_f1(
    truth: Sequence[str], said: Sequence[str | None], clusters: Clusters = None, seed: int = 0
) -> Figure:
    """Plain mean of F1 over the classes that are true at least once."""
    rows, size = _confusion(truth, said)

    def statistic(sums: Rows) -> Rows:
        f1, true = _class_f1(sums, size)
        present = true > 0
        return _ratio((f1 * present).sum(-1), present.sum(-1).astype(np.float64))

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
        return _ratio((precision * true).sum(-1), true.sum(-1))

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
        return _ratio(recall.sum(-1), (true > 0).sum(-1).astype(np.float64))

    return estimate(rows, statistic, clusters, seed)


def basic_hits(truth: Sequence[str], said: Sequence[Collection[str]]) -> list[tuple[float, float]]:
    """(hit, precision) of each clip: whether the basic emotion of the truth is among those said.

    Both sides are projected alike; a word that the lexicon lacks stands for itself, so no clip drops out.
    """
    rows = []
    for label, labels in zip(truth, said, strict=True):
        mine = basic_emotions(labels)
        hit = float(bool(basic_emotions([label]) & mine))
        rows.append((hit, hit / len(mine) if mine else 0.0))
    return rows


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
        "f1": lambda s: _harmonic(_ratio(s[..., 0], s[..., 2]), _ratio(s[..., 1], s[..., 2])),
        "precision": lambda s: _ratio(s[..., 0], s[..., 2]),
        "recall": lambda s: _ratio(s[..., 1], s[..., 2]),
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
        return _harmonic(
            _ratio(sums[..., :size], sums[..., -1:].repeat(size, -1)),
            _ratio(sums[..., size:-1], sums[..., -1:].repeat(size, -1)),
        )

    parts: dict[str, Statistic] = {
        "f1": lambda s: f1(s).mean(-1),
        "precision": lambda s: _ratio(s[..., :size].mean(-1), s[..., -1]),
        "recall": lambda s: _ratio(s[..., size:-1].mean(-1), s[..., -1]),
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
    return estimate(table, lambda s: _ratio(2 * s[..., 0], s[..., 1] + s[..., 2]), who, seed)


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
