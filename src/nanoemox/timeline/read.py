"""A long recording, read part by part, each frame once and none kept: memory does not grow with its length.

A section is 5 minutes long and begins with a seek, whether the run began there or comes from the section before. So a
run that was killed and goes on gives what an uninterrupted one would have given, to the last digit.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanoemox.files.errors import NanoEmoXError
from nanoemox.media.audio import read_samples
from nanoemox.media.clip import SAMPLE_RATE_HZ, CodedWarning, Compat
from nanoemox.media.container import Source, inspect
from nanoemox.media.shown import shown_frame
from nanoemox.media.timeline import EPSILON_S, FrameReader
from nanoemox.media.untrusted import refuse

SECTION_S = 300.0
_STAYS_S = 1.0  # the last frame of a video is on the screen for so long, or for a frame's time
_SHORTEST_S = 0.05


class StoppedError(NanoEmoXError):
    """Reading came to an end before the recording did; what was done until then is kept."""


@dataclass(frozen=True)
class Recording:
    """A long file that is read part by part.

    Attributes:
        source: The file.
        length_s: Until when there is anything in it, as its packets say.
        state: Its size and when it was changed; another state means that it is not the same file any more.
        warnings: What has to be known about it.
    """

    source: Source
    length_s: float
    state: tuple[int, int]
    warnings: tuple[CodedWarning, ...] = ()

    @property
    def sections(self) -> int:
        """How many sections it is read in."""
        return max(1, math.ceil(self.length_s / SECTION_S - EPSILON_S))

    def check(self, at_s: float) -> None:
        """Refuse to go on where the file is gone, or another one. Errors: StoppedError."""
        if (now := _state(self.source.path)) == self.state:
            return
        why = "cannot be found any more" if now is None else "was changed while it was read"
        raise StoppedError(f"{self.source.path}: {why}, at {clock(at_s)} of {clock(self.length_s)}")


def open_recording(path: str | os.PathLike[str]) -> Recording:
    """Look into a video or an audio file of any length.

    Args:
        path: The file.

    Returns:
        What is known about it. Nothing is decoded.

    Raises:
        MediaError: If it cannot be read, or is a picture or a folder, which have no time.
    """
    path = Path(path)
    if path.is_dir():
        refuse(path, "is a folder (expected a video or an audio file)", "name a file in it")
    source = inspect(path)
    source.meter.time_s = source.meter.total_bytes = math.inf  # hours take long, and can be stopped
    if source.picture or source.webp_times_s:
        refuse(path, "is a picture (expected a video or an audio file)", "analyse it with nanoemox analyze")
    state, length_s = _state(path), source.end_s
    if state is None or length_s < _SHORTEST_S:
        refuse(path, "holds nothing that lasts any time", "copy or export it again")
    warnings = []
    if source.duration_s is not None and not source.estimated:
        missing_s = source.duration_s - length_s
        if missing_s > max(1.0, 0.05 * length_s):
            text = f"the file is cut off: {clock(length_s)} of {clock(source.duration_s)} can be read"
            warnings.append(CodedWarning("file_cut_off", text))
    if source.implausible:
        text = f"the file states a length of {source.implausible}, which is not believed; what can be read counts"
        warnings.append(CodedWarning("duration_implausible", text))
    return Recording(source, length_s, state, tuple(warnings))


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def pictures_at(source: Source, times_s: Sequence[float]) -> Iterator[NDArray[np.uint8] | None]:
    """The frame [H, W, 3] that is on the screen at each of some moments, or None where there is none.

    Args:
        source: The file.
        times_s: Rising.

    Yields:
        One for each moment. The video is decoded once, from a key frame before the first of them on.
    """
    if not source.has_video or not times_s:
        yield from (None for _ in times_s)
        return
    with FrameReader(source) as reader:
        frames = reader.frames_from(times_s[0])
        here: tuple[float, Any] | None = None
        ahead = next(frames, None)
        pixels: NDArray[np.uint8] | None = None
        for time_s in times_s:
            while ahead is not None and ahead[0] <= time_s + EPSILON_S:
                here, ahead, pixels = ahead, next(frames, None), None
            ended = here is not None and ahead is None
            if here is None or (ended and time_s > here[0] + max(_STAYS_S, 1 / source.frame_rate_hz)):
                yield None
                continue
            if pixels is None:
                pixels = shown_frame(here[1], source)
            yield pixels


class Samples:
    """Audio, mono at 16 kHz, of which every stretch can be asked for.

    Attributes:
        from_s: When the first sample is heard.
        samples: The samples.
    """

    from_s: float
    samples: NDArray[np.float32]

    def between(self, from_s: float, to_s: float) -> NDArray[np.float32]:
        """The samples of a stretch; fewer where it leaves the audio."""
        first, last = (max(0, round((at - self.from_s) * SAMPLE_RATE_HZ)) for at in (from_s, to_s))
        return self.samples[first:last]


class Sound(Samples):
    """The audio of one part of a file.

    Attributes:
        warnings: What has to be known about it.
    """

    def __init__(self, source: Source, from_s: float, to_s: float, compat: Compat = None) -> None:
        """Decode a part.

        Args:
            source: The file.
            from_s: Begin here.
            to_s: End here.
            compat: As in `read_samples`.
        """
        self.from_s = max(0.0, from_s)
        self.samples, self.warnings = read_samples(source, self.from_s, to_s, compat)


def clock(at_s: float, tenths: bool = False) -> str:
    """A moment as people read it, such as 1:02:03, or 1:02:03.4 with tenths."""
    units = round(10 * at_s) if tenths else 10 * int(at_s)
    seconds, rest = divmod(units, 10)
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    text = f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"
    return f"{text}.{rest}" if tenths else text
