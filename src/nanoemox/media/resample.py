"""Windowed-sinc resampling as the official code does it, for `compat="official"`.

Theirs is torchaudio's default (Hann window, 6 zero crossings, roll-off 0.99; torchaudio/functional);
FFmpeg's resampler, which decoding uses otherwise, differs from it by up to 0.08.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

ZERO_CROSSINGS = 6
ROLL_OFF = 0.99  # cut-off as a share of the lower Nyquist frequency
_STEPS = 1 << 14  # computed at once: each takes a copy of all that its kernels read


def resample(samples: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Change the sample rate of audio.

    Args:
        samples: [..., L] at `from_hz`.
        from_hz: the rate of the samples.
        to_hz: the rate that is wanted.

    Returns:
        [..., ceil(L * to_hz / from_hz)] at `to_hz`.

    Raises:
        ValueError: if a rate is below 1 Hz.
    """
    if from_hz < 1 or to_hz < 1:
        raise ValueError(f"expected sample rates of at least 1 Hz, got {from_hz} and {to_hz}")
    if from_hz == to_hz:
        return samples
    kernels, step = _kernels(from_hz, to_hz)  # [phases, taps]: one kernel for each output sample of a step
    margin = (kernels.shape[1] - step) // 2
    padding = [(0, 0)] * (samples.ndim - 1) + [(margin, margin + step)]
    stretches = np.lib.stride_tricks.sliding_window_view(np.pad(samples, padding), kernels.shape[1], axis=-1)
    steps = stretches[..., ::step, :]
    parts = [steps[..., i : i + _STEPS, :] @ kernels.T for i in range(0, steps.shape[-2], _STEPS)]
    length = -(-samples.shape[-1] * to_hz // from_hz)
    return np.concatenate(parts, axis=-2).reshape(*samples.shape[:-1], -1)[..., :length]


def grid_step(from_hz: int, to_hz: int) -> int:
    """Every so many samples at `from_hz`, one falls on a sample at `to_hz`."""
    return from_hz // math.gcd(from_hz, to_hz)


@lru_cache(maxsize=8)
def _kernels(from_hz: int, to_hz: int) -> tuple[NDArray[np.float32], int]:
    step, phases = grid_step(from_hz, to_hz), grid_step(to_hz, from_hz)
    cutoff = min(step, phases) * ROLL_OFF
    margin = math.ceil(ZERO_CROSSINGS * step / cutoff)
    taps = np.arange(-margin, margin + step) / step
    t = (taps - np.arange(phases)[:, None] / phases) * cutoff
    t = np.clip(t, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    hann = np.cos(t * math.pi / ZERO_CROSSINGS / 2) ** 2
    return (np.sinc(t) * hann * cutoff / step).astype(np.float32), step
