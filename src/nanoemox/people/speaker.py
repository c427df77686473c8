"""Who speaks: whose mouth moves while something is heard.

The motion of a mouth is how much its picture changes from one frame to the next, laid over by the eyes and the nose;
what is heard is the envelope of the audio. This is simple, and `docs/people.md` has its measurements. Who is heard from
outside the picture counts as whoever moves the mouth most, and nobody speaks while all mouths rest.

Letters: n frames that were looked at, P people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nanoemox.people.crops import aligned
from nanoemox.people.detector import Face

LOUD = 0.12  # of the loudest stretches: what is above is heard
SPAN_S = 0.5  # the time over which a mouth's motion is averaged
STILL = 0.6  # a mouth whose motion is below this share of the mean over all mouths and moments does not speak
LEAST_MOTION = 1.5  # grey levels; below it a mouth is at rest whatever the others do
GAP_S = 0.3  # pauses up to here do not end what somebody says
_MOUTH = (slice(62, 102), slice(34, 78))  # of an aligned face, 112 x 112
_UPPER = (slice(18, 56), slice(20, 92))  # eyes and nose
_FAR, _NEAR = 6, 2  # pixels: how far eyes and nose are looked for, and then the mouth around where they say


def mouth_motion(cv2: Any, frames: Sequence[NDArray[np.uint8]], faces: Sequence[Face]) -> float:
    """How much a mouth changed from one frame to the next, in grey levels.

    Landmarks tremble from frame to frame by more than a mouth moves. So both faces are brought to one scale and turn,
    and the second is laid over the first by the eyes and the nose, which speech does not move.

    Args:
        cv2: The module, from `detector.opencv`.
        frames: Both frames, RGB [H, W, 3].
        faces: The face in each of them.

    Returns:
        The mean change of the mouth's part, without that of its brightness.
    """
    middles = [face.landmarks.mean(axis=0) for face in faces]
    shape = np.mean([face.landmarks - at for face, at in zip(faces, middles, strict=True)], axis=0)
    before, now = (
        aligned(cv2, frame, face._replace(landmarks=shape + at)).mean(axis=2).astype(np.float32)
        for frame, face, at in zip(frames, faces, middles, strict=True)
    )
    rows, columns = _UPPER
    around = before[rows.start - _FAR : rows.stop + _FAR, columns.start - _FAR : columns.stop + _FAR]
    x, y = cv2.minMaxLoc(cv2.matchTemplate(around, now[_UPPER], cv2.TM_CCOEFF_NORMED))[3]
    mouth, changes = now[_MOUTH] - now[_MOUTH].mean(), []
    for down in range(y - _FAR - _NEAR, y - _FAR + _NEAR + 1):
        for right in range(x - _FAR - _NEAR, x - _FAR + _NEAR + 1):
            shifted = before[_moved(_MOUTH[0], down), _moved(_MOUTH[1], right)]
            changes.append(float(np.abs(mouth - (shifted - shifted.mean())).mean()))
    return min(changes)


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def heard(
    waveform: NDArray[np.float32] | None, duration_s: float, times_s: Sequence[float]
) -> NDArray[np.bool_]:
    """Whether something is heard at each moment [n].

    Args:
        waveform: Lowest and highest sample of equal stretches, in turn, as in `Clip`; None without audio.
        duration_s: What the stretches cover.
        times_s: The moments, from where the waveform begins.

    Returns:
        True where the audio is loud, averaged over SPAN_S / 2.
    """
    times = np.asarray(times_s, dtype=np.float64)
    if waveform is None or len(waveform) < 4 or duration_s <= 0:
        return np.zeros(len(times), np.bool_)
    pairs = np.abs(waveform[: len(waveform) // 2 * 2].reshape(-1, 2)).max(axis=1).astype(np.float64)
    step_s = duration_s / len(pairs)
    wide = max(1, round(SPAN_S / 2 / step_s))
    smooth = np.convolve(pairs, np.ones(wide) / wide, "same")
    loudest = float(np.quantile(smooth, 0.95))
    if loudest < 1e-4:
        return np.zeros(len(times), np.bool_)
    at = np.clip((times / step_s).astype(int), 0, len(smooth) - 1)
    return np.asarray(smooth[at] > LOUD * loudest)


def envelope(samples: NDArray[np.float32], stretch: int = 160) -> NDArray[np.float32]:
    """Mono samples at 16 kHz -> lowest and highest sample of stretches of 10 ms, in turn, as `heard` takes them."""
    parts = samples[: len(samples) // stretch * stretch].reshape(-1, stretch)
    return np.stack([parts.min(axis=1), parts.max(axis=1)], axis=1).ravel() if len(parts) else parts.ravel()


def who_speaks(
    motion: NDArray[np.float64], loud: NDArray[np.bool_], times_s: Sequence[float]
) -> NDArray[np.int64]:
    """The index of who speaks at each moment [n]; -1 for nobody.

    Args:
        motion: Of each mouth [n, P]; NaN where a face was not seen.
        loud: Whether something is heard [n].
        times_s: The moments, rising.

    Returns:
        The indices.
    """
    n, people = motion.shape
    speaking = np.full(n, -1, np.int64)
    if not people or not n:
        return speaking
    step_s = float(np.median(np.diff(times_s))) if n > 1 else 1.0
    wide = max(1, round(SPAN_S / max(step_s, 1e-3)))
    seen = np.isfinite(motion)
    kernel = np.ones(wide)
    smooth = np.zeros_like(motion)
    for who in range(people):
        weight = np.convolve(seen[:, who].astype(float), kernel, "same")[:n]
        total = np.convolve(np.where(seen[:, who], motion[:, who], 0.0), kernel, "same")[:n]
        smooth[:, who] = np.where(weight > 0, total / np.maximum(weight, 1), 0.0)
    most = smooth.argmax(axis=1)
    usual = float(motion[seen].mean()) if seen.any() else 0.0
    moves = smooth.max(axis=1) >= max(LEAST_MOTION, STILL * usual)
    speaking[loud & moves & seen.any(axis=1)] = most[loud & moves & seen.any(axis=1)]
    return speaking


def shares_of_speech(
    motion: NDArray[np.float64], loud: NDArray[np.bool_], times_s: Sequence[float]
) -> tuple[NDArray[np.int64], list[float]] | None:
    """Who speaks when, and how much of what is heard each of them speaks.

    Args:
        motion: Of each mouth [n, P]; NaN where a face was not seen.
        loud: Whether something is heard [n].
        times_s: The moments, rising.

    Returns:
        What `who_speaks` returns, and a share for each of the P people, 0 where nothing is heard; None where the looks
        lie too far apart to tell.
    """
    if not np.isfinite(motion).any():
        return None
    speaking = who_speaks(motion, loud, times_s)
    heard_at = speaking[loud]
    return speaking, [
        float((heard_at == who).mean()) if loud.any() else 0.0 for who in range(motion.shape[1])
    ]


def stretches(
    active: NDArray[np.bool_], times_s: Sequence[float], until_s: float
) -> list[tuple[float, float]]:
    """From when to when something holds.

    Args:
        active: Whether it holds at each moment [n].
        times_s: The moments, rising.
        until_s: When the last moment ends.

    Returns:
        (start, end) in seconds; pauses up to GAP_S are bridged.
    """
    ends = [*times_s[1:], until_s]
    found: list[tuple[float, float]] = []
    for holds, start_s, end_s in zip(active, times_s, ends, strict=True):
        if not holds:
            continue
        if found and start_s - found[-1][1] <= GAP_S:
            found[-1] = (found[-1][0], end_s)
        else:
            found.append((start_s, end_s))
    return [(round(start_s, 3), round(end_s, 3)) for start_s, end_s in found]
