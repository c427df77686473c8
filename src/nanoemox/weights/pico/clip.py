"""What was read of one file: `Clip`, eight frames and eight audio windows, and what the file does not have.

This file imports no PyAV, so that saved models can travel with it. Letters: T frames, H, W pixels, C audio windows.

The warnings of a clip have codes, so that no program has to look for words in a sentence:

| code | when |
|---|---|
| `video_unreadable` | the file has a video track, but not one frame of it can be decoded |
| `video_damaged` | fewer frames can be decoded than the file states, or the decoder found damage |
| `hdr_mapped` | the video is HDR; its frames were mapped to the ordinary range |
| `hdr_unmapped` | the video is HDR, and the installed PyAV is too old to map it |
| `size_changes` | the video changes its size; frames of other sizes were fitted into that of the first |
| `frames_early` | key frames lie so far apart that some frames come from before the time that was wanted |
| `audio_unreadable` | the file has an audio track, but no sample of it can be decoded |
| `audio_damaged` | less audio can be decoded than the file states, or the decoder found damage |
| `audio_silent` | the audio windows hold nothing but zeros |
| `audio_scaled` | the audio was too loud for [-1, 1] and was scaled down |
| `audio_inverted` | the channels are inverted copies of each other, so that their mean is silent |
| `file_damaged` | the parts of the file do not fit together |
| `file_cut_off` | the file is shorter than it states |
| `duration_implausible` | the file states a length of more than a year |
| `reading_stopped` | reading took too long, or found nothing for too long, so only a part was read |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_CLIP = 8
SAMPLE_RATE_HZ = 16_000
AUDIO_WINDOWS = 8
AUDIO_WINDOW_S = 2.0
WINDOW = round(AUDIO_WINDOW_S * SAMPLE_RATE_HZ)  # samples of one audio window
PRESENT = "present"
Compat = Literal["official"] | None


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
    face_frames: uint8 [T, S, S, 3], RGB: crops of one face for the face branch; None shows it the whole frames, too.
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
    face_frames: NDArray[np.uint8] | None = None

    def __repr__(self) -> str:
        """One line: what there is of which file, and no pixels."""
        frames, windows = self.frames, self.audio_windows
        video = "no video" if frames is None else "frames " + "x".join(map(str, frames.shape))
        audio = "no audio" if windows is None else "audio windows " + "x".join(map(str, windows.shape))
        warned = f", warnings {', '.join(warning.code for warning in self.warnings)}" if self.warnings else ""
        return f"Clip({self.path!r}, {self.duration_s:g} s, {video}, {audio}{warned})"


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


def frame_indices(vlen: int, n: int = FRAMES_PER_CLIP) -> list[int]:
    """Which of `vlen` frames to take: n indices, spread evenly, the last one repeated if too few."""
    if vlen < 1 or n < 1:
        raise ValueError(f"expected at least one frame to take and to take from, got n={n}, vlen={vlen}")
    m = min(n, vlen)
    indices = [i * vlen // m for i in range(m)]
    return indices + [indices[-1]] * (n - m)


def audio_window_starts(num_samples: int, windows: int = AUDIO_WINDOWS, compat: Compat = None) -> list[int]:
    """Where the audio windows of a track begin, as sample offsets at 16 kHz.

    A track shorter than 2 s counts as 2 s, because it is padded with zeros.

    Args:
        num_samples: length of the track in samples.
        windows: how many windows (C).
        compat: None spreads the windows so that the last one ends with the track. "official" takes the floor of the
            exact rational number that the double (D - 2) stands for, times i / C, as the official code does.

    Returns:
        C offsets in ascending order.

    Raises:
        ValueError: for less than one window, a negative length, or another `compat`.
    """
    if windows < 1 or num_samples < 0:
        raise ValueError(
            f"expected at least one window of no less than 0 samples, got {windows}, {num_samples}"
        )
    if compat not in (None, "official"):
        raise ValueError(f'compat: expected None or "official", got {compat!r}; correct it')
    spare = max(num_samples, WINDOW) - WINDOW
    if compat == "official":
        exact = Fraction(max(num_samples, WINDOW) / SAMPLE_RATE_HZ - AUDIO_WINDOW_S)
        return [math.floor(exact * i / windows * SAMPLE_RATE_HZ) for i in range(windows)]
    return [i * spare // max(windows - 1, 1) for i in range(windows)]


def clip_of_arrays(
    frames: NDArray[np.uint8] | None,
    audio: NDArray[np.float32] | None,
    compat: Compat = None,
) -> Clip:
    """A clip from what a program holds in memory, by the same rules as for a file.

    Args:
        frames: uint8 [any T, H, W, 3], of which FRAMES_PER_CLIP are taken at equal steps.
        audio: mono float [samples] at 16 kHz, which is cut into AUDIO_WINDOWS windows.
        compat: as in `audio_window_starts`.

    Returns:
        The clip; what is None is stated as absent.
    """
    chosen = windows = None
    starts: list[int] = []
    if frames is not None:
        chosen = np.ascontiguousarray(frames[frame_indices(len(frames))])
    if audio is not None:
        starts = audio_window_starts(len(audio), compat=compat)
        padded = np.pad(audio.astype(np.float32), (0, max(0, WINDOW - len(audio))))
        windows = np.stack([padded[start : start + WINDOW] for start in starts])
    return Clip(
        path="",
        frames=chosen,
        audio_windows=windows,
        frame_times_s=(),
        audio_starts_s=tuple(start / SAMPLE_RATE_HZ for start in starts),
        duration_s=0.0 if audio is None else len(audio) / SAMPLE_RATE_HZ,
        audio_coverage=None,
        waveform=None,
        modalities={
            "video": "no frames were given" if frames is None else PRESENT,
            "audio": "no audio was given" if audio is None else PRESENT,
        },
    )
