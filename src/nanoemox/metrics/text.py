"""Scores of texts and of the cues they name: F1 of cues, and how varied replies are.

Signatures and figures are those of `classification`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from nanoemox.metrics.bootstrap import Clusters, Figure, estimate, mean, ratio


def cue_f1(
    truth: Sequence[Mapping[str, Collection[str]]],
    predicted: Sequence[Mapping[str, Collection[str]]],
    source: str | None = None,
    clusters: Clusters = None,
    seed: int = 0,
) -> Figure:
    """Micro F1 of (source, cue) pairs named against pairs present, of one `source` or of all four.

    Clips where neither side has a cue of the source add nothing.

    Args:
        truth: The true cues of each clip, by source.
        predicted: The predicted cues of each clip, by source.
        source: The one source that counts; None counts all.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        The figure with its 95 % interval.
    """

    def pairs(cues: Mapping[str, Collection[str]]) -> set[tuple[str, str]]:
        return {(s, _plain(c)) for s, found in cues.items() if source in (None, s) for c in found}

    rows, who = [], []
    for i, (true, mine) in enumerate(zip(map(pairs, truth), map(pairs, predicted), strict=True)):
        if true or mine:
            rows.append((len(true & mine), len(true), len(mine)))
            who.append(clusters[i] if clusters is not None else str(i))
    table = np.asarray(rows, dtype=np.float64).reshape(-1, 3)
    return estimate(table, lambda s: ratio(2 * s[..., 0], s[..., 1] + s[..., 2]), who, seed)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[\w'-]+", text.casefold()))


def distinct(text: str, n: int = 2) -> float | None:
    """Share of distinct word n-grams within one reply, split at blanks (AvaMERG's Dist-n), or None."""
    words = text.casefold().split()
    grams = list(zip(*(words[i:] for i in range(n)), strict=False))
    return len(set(grams)) / len(grams) if grams else None


def dist_n(texts: Sequence[str], n: int = 2, clusters: Clusters = None, seed: int = 0) -> Figure:
    """Mean of `distinct` over replies; too short ones are left out. Short replies score near 1.

    Args:
        texts: The replies.
        n: The number of words in a gram.
        clusters: Who speaks in each clip, for intervals over speakers. None resamples clips.
        seed: The seed of the resamples.

    Returns:
        The figure with its 95 % interval.
    """
    values = [distinct(text, n) for text in texts]
    kept = [i for i, value in enumerate(values) if value is not None]
    who = None if clusters is None else [clusters[i] for i in kept]
    return mean([value for value in values if value is not None], who, seed)


def corpus_dist_n(texts: Sequence[str], n: int = 2) -> Figure:
    """Distinct n-grams of all replies together over their number: low when every clip gets the same reply."""
    grams = [g for text in texts for g in zip(*(text.casefold().split()[i:] for i in range(n)), strict=False)]
    value = len(set(grams)) / len(grams) if grams else None
    return Figure(value=value, low=None, high=None, n=len(texts))
