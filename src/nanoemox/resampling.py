"""Windowed-sinc resampling as the release does it, for where its sound has to be had to the last digit.

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


def resample(samples: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Sound [..., L] at `from_hz` -> [..., ceil(L * to_hz / from_hz)] at `to_hz`."""
    if from_hz < 1 or to_hz < 1:
        raise ValueError(f"expected sample rates of at least 1 Hz, got {from_hz} and {to_hz}")
    if from_hz == to_hz:
        return samples
    kernels, step = _kernels(from_hz, to_hz)  # [phases, taps]: one kernel for each output sample of a step
    margin = (kernels.shape[1] - step) // 2
    padding = [(0, 0)] * (samples.ndim - 1) + [(margin, margin + step)]
    stretches = np.lib.stride_tricks.sliding_window_view(np.pad(samples, padding), kernels.shape[1], axis=-1)
    output = stretches[..., ::step, :] @ kernels.T
    length = math.ceil(samples.shape[-1] * to_hz / from_hz)
    return output.reshape(*samples.shape[:-1], -1)[..., :length]


@lru_cache(maxsize=8)
def _kernels(from_hz: int, to_hz: int) -> tuple[NDArray[np.float32], int]:
    common = math.gcd(from_hz, to_hz)
    step, phases = from_hz // common, to_hz // common
    cutoff = min(step, phases) * ROLL_OFF
    margin = math.ceil(ZERO_CROSSINGS * step / cutoff)
    taps = np.arange(-margin, margin + step) / step
    t = (taps - np.arange(phases)[:, None] / phases) * cutoff
    t = np.clip(t, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    hann = np.cos(t * math.pi / ZERO_CROSSINGS / 2) ** 2
    return (np.sinc(t) * hann * cutoff / step).astype(np.float32), step
