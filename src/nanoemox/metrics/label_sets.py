"""Scores of answers against labels, each with the interval that its sample supports (`intervals`).

Signatures are (truth, predicted, clusters, seed) as in scikit-learn, with who speaks in each clip beside them; a figure
is {"value", "low", "high", "n"}, fractions of 1. Nothing here knows tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from nanoemox.files.listed import one_or_more
from nanoemox.metrics import emotion_lexicon
from nanoemox.metrics.bootstrap import (
    Clusters,
    Figure,
    Rows,
    Statistic,
    estimates,
    harmonic,
    ratio,
)

# ---------------------------------------------------------------- F1 over classes


def hit_rate(
    truth: Sequence[str], predicted: Sequence[Collection[str]], clusters: Clusters = None, seed: int = 0
) -> dict[str, Figure]:
    """Share of clips where the basic emotion of the truth is among those predicted, with precision and label count.

    Both sides are projected alike; a word that the lexicon lacks stands for itself, so no clip drops out. More
    labels never lower the hit rate, hence the other two beside it.

    Args:
        truth: The true label of each clip.
        predicted: The predicted labels of each clip.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        `hit_rate`, `hit_precision` and `labels_per_answer`.
    """
    rows = []
    for label, labels in zip(truth, map(one_or_more, predicted), strict=True):
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
        emotion_lexicon.group(label) or label.casefold().strip()
        for label in one_or_more(labels)
        if label.strip()
    )


def basic_emotions(labels: Collection[str]) -> frozenset[str]:
    """Words -> their basic emotions in the lexicon; a word that it lacks stands for itself."""
    return frozenset(
        emotion_lexicon.basic_emotion(label) or label.casefold().strip()
        for label in one_or_more(labels)
        if label.strip()
    )


def set_scores(
    truth: Sequence[Collection[str]],
    predicted: Sequence[Collection[str]],
    clusters: Clusters = None,
    seed: int = 0,
) -> dict[str, Figure]:
    """Mean precision and recall over clips, and their harmonic mean (the rule for open vocabularies).

    Clips without a true label are left out; an empty answer has precision and recall 0.

    Args:
        truth: The true labels of each clip.
        predicted: The predicted labels of each clip.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        `f1`, `precision` and `recall`.
    """
    rows, who = [], []
    for i, (true, mine) in enumerate(zip(map(one_or_more, truth), map(one_or_more, predicted), strict=True)):
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
    predicted: Sequence[Collection[str]],
    clusters: Clusters = None,
    seed: int = 0,
) -> dict[str, Figure]:
    """`set_scores` over the sectors of each of our wheels, and their means over the wheels.

    The rule of MER-UniBench for open vocabularies, with our wheels in place of its five: F1 of each wheel
    from mean precision and recall, then the mean F1. Both sides are projected alike; a word that the lexicon
    lacks stands for itself.

    Args:
        truth: The true labels of each clip.
        predicted: The predicted labels of each clip.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        `f1`, `precision` and `recall`, and `f1_…` of each wheel.
    """
    names = emotion_lexicon.WHEELS
    rows, who = [], []
    for i, (true, mine) in enumerate(zip(map(one_or_more, truth), map(one_or_more, predicted), strict=True)):
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
    found: list[set[str]] = [set() for _ in emotion_lexicon.WHEELS]
    for label in labels:
        if label.strip():
            sectors = emotion_lexicon.sectors(label) or (label.casefold().strip(),) * len(found)
            for wheel, sector in zip(found, sectors, strict=True):
                wheel.add(sector)
    return found


# ---------------------------------------------------------------- free text
