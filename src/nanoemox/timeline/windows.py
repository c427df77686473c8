"""Which stretches of a recording get an answer, and which frames and pieces of audio each of them rests on.

Windows of one length overlap. So that no frame and no piece is encoded twice, they are taken from a fixed grid whose
step divides the hop: each window begins on the grid. With a hop that is a multiple of an eighth of the window, the
frames are those that `analyze` takes from this window of a video with a constant frame rate.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nanoemox.files.errors import ArgumentError
from nanoemox.media.clip import AUDIO_WINDOW_S, AUDIO_WINDOWS, FRAMES_PER_CLIP

PIECE_EVERY_S = 1.0  # a piece of audio of 2 s begins so often, or less often in long windows
SHORTEST_WINDOW_S = 0.2
LONGEST_WINDOW_S = 3600.0
REST_S = 0.1  # what is left at the end gets a window of its own if it is longer
ENOUGH_S = 0.05  # a window that lacks no more at the end is whole: lengths in files are rounded
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Window:
    """One stretch of a recording.

    `frames` and `pieces` are places on the grid, in the order in which the model gets them; a place may stand several
    times. `piece_s` is how long the pieces of audio are.
    """

    start_s: float
    end_s: float
    frames: tuple[int, ...]
    pieces: tuple[int, ...]
    piece_s: float
    cut_short: bool = False  # the recording ends inside it


@dataclass(frozen=True)
class Grid:
    """Windows of one length at equal steps, and the grid of the frames and pieces that they share.

    Attributes:
        window_s: How long a window is.
        hop_s: From the beginning of one window to that of the next.
        frames_a_hop: How many frames of the grid lie in a hop.
        pieces_a_hop: Likewise of the pieces of audio.
    """

    window_s: float
    hop_s: float
    frames_a_hop: int
    pieces_a_hop: int

    @property
    def frame_step_s(self) -> float:
        """From one frame of the grid to the next."""
        return self.hop_s / self.frames_a_hop

    @property
    def piece_step_s(self) -> float:
        """From the beginning of one piece of audio to that of the next."""
        return self.hop_s / self.pieces_a_hop

    def window(self, number: int, end_s: float = math.inf) -> Window:
        """The window with this number, cut where the recording ends."""
        start_s = number * self.hop_s
        until_s = start_s + self.window_s
        cut_short = until_s - end_s > ENOUGH_S
        until_s = end_s if cut_short else until_s
        length_s = until_s - start_s
        # Of each eighth the frame that is on the screen when it begins.
        frames = [
            math.floor(i * length_s / FRAMES_PER_CLIP / self.frame_step_s + _ROUNDING)
            for i in range(FRAMES_PER_CLIP)
        ]
        # The pieces nearest to those of `analyze`, none of which leaves the window.
        room_s = max(0.0, length_s - AUDIO_WINDOW_S)
        last = math.floor(room_s / self.piece_step_s + _ROUNDING)
        pieces = [
            min(math.floor(i * room_s / (AUDIO_WINDOWS - 1) / self.piece_step_s + 0.5), last)
            for i in range(AUDIO_WINDOWS)
        ]
        return Window(
            start_s=round(start_s, 6),
            end_s=round(until_s, 6),
            frames=tuple(number * self.frames_a_hop + place for place in frames),
            pieces=tuple(number * self.pieces_a_hop + place for place in pieces),
            piece_s=min(AUDIO_WINDOW_S, length_s),
            cut_short=cut_short,
        )

    def number(self, length_s: float) -> int:
        """How many windows a recording of this length has; a rest at its end gets one more."""
        whole = max(0, math.floor((length_s + ENOUGH_S - self.window_s) / self.hop_s) + 1)
        covered_s = (whole - 1) * self.hop_s + self.window_s if whole else 0.0
        return whole + (length_s - covered_s > REST_S)

    def windows(self, length_s: float, from_s: float = 0.0, to_s: float = math.inf) -> Iterator[Window]:
        """The windows that begin in one part of a recording.

        Args:
            length_s: How long the whole recording is.
            from_s: Where the part begins.
            to_s: Where it ends.

        Yields:
            The windows in order.
        """
        first = math.ceil(from_s / self.hop_s - _ROUNDING)
        for number in range(first, self.number(length_s)):
            if number * self.hop_s >= to_s - _ROUNDING:
                return
            yield self.window(number, length_s)


def grid_of(window_s: float, hop_s: float) -> Grid:
    """The grid for windows of this length at this step.

    Args:
        window_s: How long a window is, in seconds.
        hop_s: From the beginning of one window to that of the next.

    Returns:
        The grid.

    Raises:
        ArgumentError: If a length is no number, too small or too large, or the hop is longer than the window.
    """
    for name, value in (("window", window_s), ("hop", hop_s)):
        if not math.isfinite(value) or value <= 0:
            raise ArgumentError(f"{name}: expected seconds above 0, got {value:g}; give a number such as 4")
    if not SHORTEST_WINDOW_S <= window_s <= LONGEST_WINDOW_S:
        raise ArgumentError(
            f"window: expected {SHORTEST_WINDOW_S:g} to {LONGEST_WINDOW_S:g} seconds, got {window_s:g}; choose "
            "another length"
        )
    if hop_s > window_s + _ROUNDING:
        raise ArgumentError(
            f"hop: expected at most the window ({window_s:g} s), got {hop_s:g}, which would leave out what lies "
            "between two windows; choose a shorter hop or a longer window"
        )
    if hop_s < window_s / 100:
        raise ArgumentError(
            f"hop: expected at least a hundredth of the window ({window_s / 100:g} s), got {hop_s:g}; choose a "
            "longer one"
        )
    spread_s = max(PIECE_EVERY_S, (window_s - AUDIO_WINDOW_S) / (AUDIO_WINDOWS - 1))
    return Grid(
        window_s=float(window_s),
        hop_s=float(hop_s),
        frames_a_hop=math.ceil(hop_s / (window_s / FRAMES_PER_CLIP) - _ROUNDING),
        pieces_a_hop=math.ceil(hop_s / spread_s - _ROUNDING),
    )


def places(windows: Sequence[Window]) -> tuple[list[int], list[int]]:
    """The frames and the pieces that some windows rest on, each once and in order."""
    frames = {place for window in windows for place in window.frames}
    pieces = {place for window in windows for place in window.pieces}
    return sorted(frames), sorted(pieces)
