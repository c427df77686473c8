"""Accuracy, F1, precision and recall over classes, each with the interval that its sample supports (`bootstrap`).

Signatures are (truth, predicted, clusters, seed) as in scikit-learn, with who speaks in each clip beside them; a figure
is {"value", "low", "high", "n"}, fractions of 1. Nothing here knows tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nanoemox.metrics.bootstrap import Clusters, Figure, Rows, estimate, mean, ratio


def accuracy(
    truth: Sequence[str], predicted: Sequence[str | None], clusters: Clusters = None, seed: int = 0
) -> Figure:
    """Share of equal labels; no answer (None) counts as wrong.

    Args:
        truth: The true label of each clip.
        predicted: The predicted label of each clip; None where there is none.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        The figure with its 95 % interval.
    """
    return mean([float(t == s) for t, s in zip(truth, predicted, strict=True)], clusters, seed)


def _confusion(truth: Sequence[str], predicted: Sequence[str | None]) -> tuple[Rows, int]:
    """[clips, L * L] one-hot cells of the confusion matrix (true, predicted), and L: true labels and "other"."""
    labels = {label: i for i, label in enumerate(sorted(set(truth)))}
    other, size = len(labels), len(labels) + 1
    rows = np.zeros((len(truth), size * size))
    cells = [labels[t] * size + labels.get(s or "", other) for t, s in zip(truth, predicted, strict=True)]
    rows[np.arange(len(truth)), cells] = 1
    return rows, size


def _class_f1(sums: Rows, size: int) -> tuple[Rows, Rows]:
    """Sums [..., L * L] -> F1 of each class [..., L] and how often each is true [..., L]."""
    cells = sums.reshape(*sums.shape[:-1], size, size)
    hits = np.diagonal(cells, axis1=-2, axis2=-1)
    true, predicted = cells.sum(-1), cells.sum(-2)
    total = true + predicted
    return np.divide(2 * hits, total, out=np.zeros(total.shape), where=total > 0), true


def weighted_f1(
    truth: Sequence[str], predicted: Sequence[str | None], clusters: Clusters = None, seed: int = 0
) -> Figure:
    """F1 of each true class, weighted by how often it is true (scikit-learn's "weighted").

    Args:
        truth: The true label of each clip.
        predicted: The predicted label of each clip; None where there is none.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        The figure with its 95 % interval.
    """
    rows, size = _confusion(truth, predicted)

    def statistic(sums: Rows) -> Rows:
        f1, true = _class_f1(sums, size)
        return ratio((f1 * true).sum(-1), true.sum(-1))

    return estimate(rows, statistic, clusters, seed)


def macro_f1(
    truth: Sequence[str], predicted: Sequence[str | None], clusters: Clusters = None, seed: int = 0
) -> Figure:
    """Plain mean of F1 over the classes that are true at least once.

    Args:
        truth: The true label of each clip.
        predicted: The predicted label of each clip; None where there is none.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        The figure with its 95 % interval.
    """
    rows, size = _confusion(truth, predicted)

    def statistic(sums: Rows) -> Rows:
        f1, true = _class_f1(sums, size)
        present = true > 0
        return ratio((f1 * present).sum(-1), present.sum(-1).astype(np.float64))

    return estimate(rows, statistic, clusters, seed)


def weighted_precision(
    truth: Sequence[str], predicted: Sequence[str | None], clusters: Clusters = None, seed: int = 0
) -> Figure:
    """Precision of each true class, weighted by how often it is true; 0 for a class that is never predicted.

    Args:
        truth: The true label of each clip.
        predicted: The predicted label of each clip; None where there is none.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        The figure with its 95 % interval.
    """
    rows, size = _confusion(truth, predicted)

    def statistic(sums: Rows) -> Rows:
        cells = sums.reshape(*sums.shape[:-1], size, size)
        hits, true, predicted_n = np.diagonal(cells, axis1=-2, axis2=-1), cells.sum(-1), cells.sum(-2)
        precision = np.divide(hits, predicted_n, out=np.zeros(hits.shape), where=predicted_n > 0)
        return ratio((precision * true).sum(-1), true.sum(-1))

    return estimate(rows, statistic, clusters, seed)


def unweighted_recall(
    truth: Sequence[str], predicted: Sequence[str | None], clusters: Clusters = None, seed: int = 0
) -> Figure:
    """Plain mean of recall over the true classes (UAR); WAR is `accuracy`.

    Args:
        truth: The true label of each clip.
        predicted: The predicted label of each clip; None where there is none.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        The figure with its 95 % interval.
    """
    rows, size = _confusion(truth, predicted)

    def statistic(sums: Rows) -> Rows:
        cells = sums.reshape(*sums.shape[:-1], size, size)
        hits, true = np.diagonal(cells, axis1=-2, axis2=-1), cells.sum(-1)
        recall = np.divide(hits, true, out=np.zeros(hits.shape), where=true > 0)
        return ratio(recall.sum(-1), (true > 0).sum(-1).astype(np.float64))

    return estimate(rows, statistic, clusters, seed)
