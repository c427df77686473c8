"""The emotion of now: a window that runs along with a camera, a stream or a file, and is answered as it ends.

    with LiveReader(live_source("camera"), grid.frame_step_s) as reader:
        for moment in moments(analyzer, reader, grid):
            print(moment.row.emotion, moment.behind_s)

Frames are encoded as they come, so that at the end of a window little is left to do. They are not kept: what remains
of the last seconds are the encoders' numbers and the sound of the window.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nanoemox.inference.analyzer import EmotionAnalyzer
from nanoemox.media.audio import is_silent
from nanoemox.media.clip import AUDIO_WINDOW_S, SAMPLE_RATE_HZ
from nanoemox.timeline.ask import answered, tasks_of
from nanoemox.timeline.iterate import add_pieces, asked_of
from nanoemox.timeline.read import Samples, StoppedError, clock
from nanoemox.timeline.ring import FeatureRing
from nanoemox.timeline.rows import Row
from nanoemox.timeline.sources import Event, LiveReader
from nanoemox.timeline.windows import Grid, Window

LATE_S = 0.4  # how long a window waits for the track that is behind the other
_POLL_S = 0.1
_SHORT_WINDOW_S = 1
_REMEDIES = {  # where nothing at all could be read
    "camera": "look whether a camera is connected, and whether another program uses it",
    "stream": "check the address, and whether the camera is on",
    "file": "check the file",
    "growing": "check the file, and give the same command again once it is there",
}


@dataclass(frozen=True)
class Moment:
    """One answer.

    Attributes:
        row: The answer.
        behind_s: How long after the end of its window it was there.
        skipped: How many windows were left out since the one before, as there was no time for them.
    """

    row: Row
    behind_s: float
    skipped: int = 0


class SoundRing(Samples):
    """The audio of the last seconds."""

    def __init__(self, keep_s: float) -> None:
        self.keep_s = keep_s
        self.from_s = 0.0
        self.samples = np.zeros(0, dtype=np.float32)

    @property
    def until_s(self) -> float:
        """Where the samples end."""
        return self.from_s + len(self.samples) / SAMPLE_RATE_HZ

    def add(self, at_s: float, samples: NDArray[np.float32]) -> None:
        """Put what was heard behind what there is, and drop what is too old."""
        if not len(self.samples):
            self.from_s = at_s
        joined = np.concatenate([self.samples, samples])
        surplus = max(0, len(joined) - round(self.keep_s * SAMPLE_RATE_HZ))
        self.samples, self.from_s = joined[surplus:], self.from_s + surplus / SAMPLE_RATE_HZ


def warm_up(analyzer: EmotionAnalyzer, grid: Grid) -> None:
    """Answer one window of nothing, so that the first one that counts does not wait for what a library builds."""
    ring, window = FeatureRing(analyzer), grid.window(0)
    silence = np.zeros(round(grid.window_s * SAMPLE_RATE_HZ), dtype=np.float32)
    ring.add_frame(window.frames[0], np.zeros((64, 64, 3), dtype=np.uint8))
    ring.add_piece(window.pieces[0], silence, silence)
    ring.encode()
    if asked := asked_of(ring, window, tasks_of(analyzer), None, silent=True):
        answered(analyzer, [asked])


def moments(analyzer: EmotionAnalyzer, reader: LiveReader, grid: Grid) -> Iterator[Moment]:
    """Answer window after window, for as long as the source gives something.

    Args:
        analyzer: The model.
        reader: Reads the source, with the steps of this grid.
        grid: The windows.

    Yields:
        An answer soon after the end of each window. Who takes too long between two of them misses some.

    Raises:
        StoppedError: If the source fails or vanishes, or ends before the first window does. That a file ends later
            is no error.
    """
    running = _Running(analyzer, reader, grid)
    while True:
        event = reader.get(_POLL_S)
        if event is not None and event.kind == "end":
            yield from running.ready(ended=True)
            if event.error:
                if not running.until_s:
                    raise StoppedError(f"{event.error}; {_REMEDIES[reader.source.kind]}")
                at = clock(running.until_s)
                raise StoppedError(
                    f"{event.error}; it was read up to {at}, and the answers until then count: give the same "
                    "command again once it is there"
                )
            if not running.number:
                raise StoppedError(
                    f"{reader.source.shown}: ended after {running.until_s:.1f} s (expected at least one window "
                    f"of {grid.window_s:g} s); give a shorter window, such as --window {_SHORT_WINDOW_S}"
                )
            return
        if event is not None:
            running.take(event)
        if event is None or not reader.waiting:
            yield from running.ready()


class _Running:
    """The window that runs along."""

    def __init__(self, analyzer: EmotionAnalyzer, reader: LiveReader, grid: Grid) -> None:
        self.analyzer, self.reader, self.grid = analyzer, reader, grid
        self.tasks = tasks_of(analyzer)
        self.ring = FeatureRing(analyzer)
        self.sound = SoundRing(2 * grid.window_s + 2 * AUDIO_WINDOW_S)
        self.number = 0
        self.seen_s = 0.0  # until when frames have come
        self.zero_s = float("inf")  # when the source began, by the monotonic clock

    @property
    def until_s(self) -> float:
        """Until when anything has come."""
        return max(self.seen_s, self.sound.until_s)

    def take(self, event: Event) -> None:
        end_s = event.at_s
        if event.kind == "frame":
            if event.data is not None:
                self.ring.add_frame(event.place, event.data)
                return
            self.seen_s = max(self.seen_s, event.at_s)
        elif event.data is not None:
            self.sound.add(event.at_s, event.data)
            end_s = self.sound.until_s
        # The least delay that was met tells when the source's clock stood at zero.
        self.zero_s = min(self.zero_s, event.arrived_s - end_s)

    def ready(self, ended: bool = False) -> Iterator[Moment]:
        """The answers to the windows that are complete; of those that ended long ago only the last one."""
        self.ring.encode()
        first = self.number
        while self._is_complete(self.grid.window(self.number), ended):
            self.number += 1
        if self.number == first:
            return
        late = range(first, self.number) if self.reader.source.kind == "growing" else [self.number - 1]
        for number in late:
            window = self.grid.window(number)
            skipped = number - first if len(late) == 1 else 0
            if (row := self._answer(window)) is not None:
                yield Moment(row, max(0.0, time.monotonic() - self.zero_s - window.end_s), skipped)
        following = self.grid.window(self.number)
        self.ring.forget(following.frames[0], following.pieces[0])

    def _is_complete(self, window: Window, ended: bool) -> bool:
        kinds = self.reader.kinds
        until = {"video": self.seen_s, "audio": self.sound.until_s if len(self.sound.samples) else 0.0}
        if not kinds or self.until_s < window.end_s - (0.05 if ended else 0.0):
            return False
        slowest_s = min(until[kind] for kind in kinds)
        return ended or slowest_s >= window.end_s - 1e-6 or self.until_s >= window.end_s + LATE_S

    def _answer(self, window: Window) -> Row | None:
        add_pieces(self.ring, self.grid, window, self.sound)
        self.ring.encode()
        silent = is_silent(self.sound.between(window.start_s, window.end_s))
        asked = asked_of(self.ring, window, self.tasks, None, silent)
        return None if asked is None else answered(self.analyzer, [asked])[0]
