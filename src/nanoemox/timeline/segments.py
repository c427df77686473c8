"""Rows that agree, joined: from when to when one emotion lasts.

The likeliest emotion may change from window to window where two are nearly as likely. So an emotion goes on until
another one is likelier by a margin (hysteresis), and only then does a new segment begin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from nanoemox.files.errors import ArgumentError
from nanoemox.timeline.rows import DIGITS, Row

MARGIN = 0.15
PAUSE_S = 2.0  # where nothing is said for longer, a segment of sentences ends


@dataclass(frozen=True)
class Segment:
    """One emotion from its beginning to its end.

    Attributes:
        start_s: Where it begins, in seconds from the beginning of the file.
        end_s: Where it ends.
        emotion: The emotion.
        probability: How likely it is on the average.
        valence: The average.
        rows: How many rows it was made of.
        person: Whom it is about, where people are told apart.
    """

    start_s: float
    end_s: float
    emotion: str
    probability: float
    valence: float
    rows: int
    person: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, without what is absent."""
        return {key: value for key, value in vars(self).items() if value is not None}


def check_margin(margin: float) -> float:
    """A margin that can be used, or an ArgumentError."""
    if not (math.isfinite(margin) and 0 <= margin < 1):
        raise ArgumentError(
            f"margin: expected a number from 0 to below 1, got {margin:g}; give one such as {MARGIN}"
        )
    return margin


def people_of(rows: Sequence[Row]) -> list[str | None]:
    """Whom the rows are about, in the order of their first rows."""
    return list(dict.fromkeys(row.person for row in rows))


def spans(rows: Sequence[Row]) -> list[tuple[float, float]]:
    """The stretch that each row stands for: windows that overlap share out the time between their middles.

    Args:
        rows: Of one person, in order.

    Returns:
        Where each begins and ends; none overlaps the next.
    """
    borders: list[tuple[float, float]] = []
    begin = rows[0].start_s if rows else 0.0
    for i, here in enumerate(rows):
        following = rows[i + 1] if i + 1 < len(rows) else None
        end = here.end_s
        after = 0.0
        if following is not None:
            after = following.start_s
            if following.start_s < here.end_s:
                middle = (here.start_s + here.end_s + following.start_s + following.end_s) / 4
                end = after = min(max(middle, begin), here.end_s)
        borders.append((round(begin, DIGITS), round(max(begin, end), DIGITS)))
        begin = after
    return borders


def segments_of(rows: Sequence[Row], margin: float = MARGIN) -> list[Segment]:
    """Join rows that agree.

    Args:
        rows: In the order of their beginnings, of any number of people.
        margin: By how much another emotion must be likelier to end a segment.

    Returns:
        The segments of all people in the order of their beginnings. Those of one person do not overlap.

    Raises:
        ArgumentError: If the margin is no share of 1.
    """
    check_margin(margin)
    found = []
    for person in people_of(rows):
        mine = [row for row in rows if row.person == person]
        labels = _held(mine, margin)
        placed = list(zip(mine, spans(mine), labels, strict=True))
        for _, group in groupby(placed, key=lambda each: each[2]):
            found.append(_segment(list(group)))
    return sorted(found, key=lambda each: (each.start_s, each.end_s))


def _held(rows: Sequence[Row], margin: float) -> list[tuple[int, str]]:
    """The emotion that holds at each row, with the number of its segment."""
    held: list[tuple[int, str]] = []
    number, label, end_s = 0, None, 0.0
    for row in rows:
        lead = row.probabilities[row.emotion] - row.probabilities.get(label or "", -1.0)
        if label is None or lead > margin or row.start_s - end_s > PAUSE_S:
            number, label = number + (label is not None), row.emotion
        held.append((number, label))
        end_s = max(end_s, row.end_s)
    return held


def _segment(placed: Sequence[tuple[Row, tuple[float, float], tuple[int, str]]]) -> Segment:
    rows, (_, label) = [row for row, _, _ in placed], placed[0][2]
    lengths = [max(end_s - start_s, 1e-6) for _, (start_s, end_s), _ in placed]

    def mean(values: Sequence[float]) -> float:
        weighted = sum(value * length for value, length in zip(values, lengths, strict=True))
        return round(weighted / sum(lengths), DIGITS)

    return Segment(
        start_s=placed[0][1][0],
        end_s=placed[-1][1][1],
        emotion=label,
        probability=mean([row.probabilities.get(label, 0.0) for row in rows]),
        valence=mean([row.valence for row in rows]),
        rows=len(rows),
        person=rows[0].person,
    )
