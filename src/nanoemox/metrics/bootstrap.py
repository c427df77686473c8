"""A figure with the interval that its sample supports.

Every figure here is a function of sums over clips, so a clip is reduced to a row of numbers (hits, counts, one cell
of a confusion matrix) and the interval comes from resampling the rows' sums. Whole speakers are resampled, not
clips: two clips of one person are not two independent witnesses. Values are fractions of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

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
        statistic: Maps sums [..., sums] to values [...]; NaN where undefined.
        clusters: Who speaks in each clip; None, or a single speaker, resamples clips.
        seed: The seed of the resamples.

    Returns:
        The value with its interval and the number of clips.
    """
    return estimates(rows, {"": statistic}, clusters, seed)[""]


def estimates(
    rows: Rows, statistics: Mapping[str, Statistic], clusters: Clusters = None, seed: int = 0
) -> dict[str, Figure]:
    """`estimate` for several statistics of the same rows, from one drawing of resamples.

    Args:
        rows: [clips, sums], what each clip adds.
        statistics: Name -> a statistic as `estimate` takes it.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        Name -> the figure.
    """
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


def ratio(top: Rows, bottom: Rows) -> Rows:
    """top / bottom, NaN where bottom is 0."""
    quotient: Rows = np.divide(
        top, bottom, out=np.full(np.shape(bottom), np.nan), where=np.asarray(bottom) > 0
    )
    return quotient


def harmonic(precision: Rows, recall: Rows) -> Rows:
    """F1 of precision and recall; 0 where both are 0."""
    total = precision + recall
    return np.divide(
        2 * precision * recall, total, out=np.zeros(np.shape(total)), where=np.asarray(total) > 0
    )


def mean(values: Sequence[float], clusters: Clusters = None, seed: int = 0) -> Figure:
    """Mean of one number a clip: accuracy, a rate.

    Args:
        values: The number of each clip.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        The figure with its 95 % interval.
    """
    rows = np.stack([np.asarray(values, dtype=np.float64), np.ones(len(values))], axis=1)
    return estimate(rows, lambda s: ratio(s[..., 0], s[..., 1]), clusters, seed)
