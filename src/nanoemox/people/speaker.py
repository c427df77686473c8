"""Who speaks: whose mouth moves while something is heard.

The motion of a mouth is how much its picture, aligned by eyes, nose and mouth, changes from one frame to the next;
what is heard is the envelope of the audio. This is simple, and `docs/people.md` has its measurements. Who is heard from
outside the picture counts as whoever moves the mouth most, and nobody speaks while all mouths rest.

Letters: n frames that were looked at, P people.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LOUD = 0.12  # of the loudest stretches: what is above is heard
SPAN_S = 0.5  # the time over which a mouth's motion is averaged
STILL = 0.6  # a mouth whose motion is below this share of the mean over all mouths and moments does not speak
LEAST_MOTION = 1.5  # grey levels; below it a mouth is at rest whatever the others do
GAP_S = 0.3  # pauses up to here do not end what somebody says
_MOUTH = (slice(62, 104), slice(32, 80))  # of an aligned face, 112 x 112


def mouth_of(aligned: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mouth's part of an aligned face, grey, at half its size, without its mean brightness."""
    grey = aligned[_MOUTH].astype(np.float32).mean(axis=2)
    small = grey.reshape(grey.shape[0] // 2, 2, grey.shape[1] // 2, 2).mean(axis=(1, 3))
    return np.asarray(small - small.mean(), np.float32)


def motion_between(before: NDArray[np.float32], now: NDArray[np.float32]) -> float:
    """How much a mouth changed, in grey levels: the least over shifts by a pixel, which the alignment may be off by."""
    inner = now[1:-1, 1:-1]
    height, width = inner.shape
    return min(
        float(np.abs(inner - before[y : y + height, x : x + width]).mean())
        for y in range(3)
        for x in range(3)
    )


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
