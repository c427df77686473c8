"""Rows joined to segments: an emotion goes on until another one is likelier by a margin."""

from __future__ import annotations

import itertools

import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.timeline.rows import Row
from nanoemox.timeline.segments import segments_of, spans


def rows_of(
    *shares: float, window_s: float = 4.0, hop_s: float = 2.0, person: str | None = None
) -> list[Row]:
    """Rows of two emotions; each share is that of joy."""
    return [
        Row(
            i * hop_s,
            i * hop_s + window_s,
            "joy" if share >= 0.5 else "anger",
            {"joy": share, "anger": 1 - share},
            2 * share - 1,
            person=person,
        )
        for i, share in enumerate(shares)
    ]


def test_a_little_back_and_forth_is_one_segment() -> None:
    rows = rows_of(0.9, 0.49, 0.52, 0.47, 0.9)
    (segment,) = segments_of(rows, 0.15)
    assert (segment.emotion, segment.start_s, segment.end_s, segment.rows) == ("joy", 0, 12, 5)
    assert len(segments_of(rows, 0.0)) == 5


def test_a_change_by_more_than_the_margin_begins_a_segment_that_then_holds() -> None:
    segments = segments_of(rows_of(0.9, 0.3, 0.55, 0.3, 0.8), 0.15)
    assert [(each.emotion, each.start_s, each.end_s) for each in segments] == [
        ("joy", 0, 3),
        ("anger", 3, 9),
        ("joy", 9, 12),
    ]
    assert segments[1].probability == pytest.approx((0.7 + 0.45 + 0.7) / 3, abs=1e-5)


def test_windows_share_out_the_time_and_leave_none() -> None:
    rows = rows_of(*[0.5] * 6)
    borders = spans(rows)
    assert borders[0][0] == 0 and borders[-1][1] == 14
    assert all(end == begin for (_, end), (begin, _) in itertools.pairwise(borders))
    assert spans(rows_of(0.5, 0.5, hop_s=4)) == [(0, 4), (4, 8)]
    assert spans([]) == []


def test_a_pause_ends_a_segment_of_sentences() -> None:
    rows = rows_of(0.9, 0.9, 0.9, window_s=2, hop_s=3) + rows_of(0.9)
    rows[-1] = Row(20, 22, "joy", {"joy": 0.9, "anger": 0.1}, 0.8)
    assert [(each.start_s, each.end_s) for each in segments_of(rows)] == [(0, 8), (20, 22)]


def test_people_have_segments_of_their_own() -> None:
    rows = rows_of(0.9, 0.9, person="A") + rows_of(0.1, 0.1, person="B")
    segments = segments_of(sorted(rows, key=lambda row: row.start_s))
    assert [(each.person, each.emotion, each.start_s, each.end_s) for each in segments] == [
        ("A", "joy", 0, 6),
        ("B", "anger", 0, 6),
    ]


@pytest.mark.parametrize("margin", [float("nan"), -0.1, 1.0])
def test_a_margin_is_a_share(margin: float) -> None:
    with pytest.raises(ArgumentError, match="margin: expected"):
        segments_of([], margin)
