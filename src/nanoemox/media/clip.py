"""What was read of one file: `Clip`, eight frames and eight audio windows, and what the file does not have.

This file imports no PyAV, so that saved models can travel with it. Letters: T frames, H, W pixels, C audio windows.

The warnings of a clip have codes, so that no program has to look for words in a sentence:

| code | when |
|---|---|
| `video_unreadable` | the file has a video track, but not one frame of it can be decoded |
| `video_damaged` | fewer frames can be decoded than the file states |
| `frames_early` | key frames lie so far apart that some frames come from before the time that was wanted |
| `audio_unreadable` | the file has an audio track, but no sample of it can be decoded |
| `audio_damaged` | less audio can be decoded than the file states |
| `audio_silent` | the audio windows hold nothing but zeros |
| `audio_scaled` | the audio was too loud for [-1, 1] and was scaled down |
| `file_cut_off` | the file is shorter than it states |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_CLIP = 8
SAMPLE_RATE_HZ = 16_000
AUDIO_WINDOWS = 8
AUDIO_WINDOW_S = 2.0
PRESENT = "present"


class CodedWarning(NamedTuple):
    """One thing that a reader of a result has to know: a short code for programs, a sentence for people."""

    code: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Clip:
    """What was read of one clip.

    frames: uint8 [T, H, W, 3], RGB as shown, the longest side at most 1280 px; None without video.
    audio_windows: float32 [C, 32000], mono 16 kHz in [-1, 1]; None without audio. Read with
        compat="official" it may be louder than that.
    frame_times_s, audio_starts_s: where they lie, from the beginning of the file or, for audio, of the cut.
    duration_s: length of what was read. audio_coverage: share of the audio inside the windows.
    waveform: for drawing only: lowest and highest sample of up to 1000 stretches, in turn, [2 * stretches].
    modalities: {"video": "present" or why not, "audio": likewise}.
    """

    path: str
    frames: NDArray[np.uint8] | None
    audio_windows: NDArray[np.float32] | None
    frame_times_s: tuple[float, ...]
    audio_starts_s: tuple[float, ...]
    duration_s: float
    audio_coverage: float | None
    waveform: NDArray[np.float32] | None
    modalities: dict[str, str]
    warnings: tuple[CodedWarning, ...] = ()


def empty_clip(reason: str, path: str = "") -> Clip:
    """A clip without video and audio, for text alone; `reason` says why there is none."""
    return Clip(path, None, None, (), (), 0.0, None, None, {"video": reason, "audio": reason})


def cropped(clip: Clip, box: Sequence[float] | None) -> Clip:
    """The clip with only the part of its frames inside `box` (x, y, width, height as fractions), if there is one."""
    if box is None or clip.frames is None:
        return clip
    height, width = clip.frames.shape[1:3]
    left, top = (min(int(at * size), size - 1) for at, size in zip(box, (width, height), strict=False))
    right, bottom = (round((box[i] + box[i + 2]) * size) for i, size in enumerate((width, height)))
    frames = clip.frames[:, top : max(bottom, top + 1), left : max(right, left + 1)]
    return replace(clip, frames=np.ascontiguousarray(frames))
