"""Where windows lie, and which frames and pieces of audio each of them takes from the grid."""

from __future__ import annotations

import math

import pytest

from nanoemox.files.errors import ArgumentError
from nanoemox.media.clip import frame_indices
from nanoemox.timeline.windows import grid_of, places


@pytest.mark.parametrize(
    ("window_s", "hop_s"), [(4, 4), (4, 2), (4, 1), (4, 0.5), (8, 3), (16, 4), (2, 1), (1, 0.5)]
)
def test_frames_are_those_of_a_single_clip_where_the_hop_is_a_multiple_of_an_eighth(
    window_s: float, hop_s: float
) -> None:
    grid, fps = grid_of(window_s, hop_s), 24  # 24 and its multiples: every eighth of a second is a frame
    for number in range(5):
        window = grid.window(number)
        first = round(window.start_s * fps)
        expected = [first + i for i in frame_indices(round(window_s * fps))]
        assert [round(place * grid.frame_step_s * fps) for place in window.frames] == expected


@pytest.mark.parametrize("hop_s", [4.0, 3.9, 2.0, 1.3, 1.0, 0.3, 0.1])
def test_what_windows_rest_on_lies_inside_them(hop_s: float) -> None:
    grid = grid_of(4.0, hop_s)
    for number in range(20):
        window = grid.window(number, end_s=23.45)
        if window.start_s >= 23.45:
            break
        for place in window.frames:
            assert window.start_s - 1e-6 <= place * grid.frame_step_s < window.end_s
        for place in window.pieces:
            at_s = place * grid.piece_step_s
            assert window.start_s - 1e-6 <= at_s and at_s + window.piece_s <= window.end_s + 1e-6
        assert len(window.frames) == len(window.pieces) == 8


def test_overlapping_windows_share_what_they_rest_on() -> None:
    apart, close = (list(grid_of(4, hop_s).windows(400.0)) for hop_s in (4, 1))
    assert len(close) > 3.9 * len(apart)
    frames, pieces = places(close)
    assert len(frames) <= 800 and len(pieces) <= 400  # two frames and one piece a second
    assert len(frames) == len(places(apart)[0])


@pytest.mark.parametrize(
    ("length_s", "ends"),
    [
        (8.0, [4, 6, 8]),
        (9.0, [4, 6, 8, 9]),
        (8.05, [4, 6, 8]),  # so little that it gets no window of its own
        (1.5, [1.5]),
        (4.0, [4]),
        (3.98, [4]),  # lengths in files are rounded
    ],
)
def test_the_end_of_a_recording_gets_a_window(length_s: float, ends: list[float]) -> None:
    windows = list(grid_of(4, 2).windows(length_s))
    assert [window.end_s for window in windows] == ends
    assert [window.cut_short for window in windows] == [end % 2 != 0 for end in ends]


def test_sections_share_out_the_windows() -> None:
    grid = grid_of(4, 1.7)
    whole = list(grid.windows(100.0))
    parts = [list(grid.windows(100.0, lo, lo + 30.0)) for lo in (0.0, 30.0, 60.0, 90.0)]
    assert [window for part in parts for window in part] == whole


@pytest.mark.parametrize(
    ("window_s", "hop_s", "named"),
    [
        (0, 2, "window"),
        (-1, 2, "window"),
        (math.nan, 2, "window"),
        (math.inf, 2, "window"),
        (4, 0, "hop"),
        (4, math.nan, "hop"),
        (4, 6, "hop"),
        (4, 0.001, "hop"),
        (0.01, 0.01, "window"),
        (1e9, 2, "window"),
    ],
)
def test_lengths_that_make_no_sense_are_told_in_one_line(window_s: float, hop_s: float, named: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{named}: expected") as told:
        grid_of(window_s, hop_s)
    assert "\n" not in str(told.value)
