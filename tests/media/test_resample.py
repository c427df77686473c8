"""Resampling keeps a tone, removes what the new rate cannot hold, and gives the right length."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nanoemox.media.resample import resample


def tone(frequency_hz, rate_hz, length_s=0.5):
    return np.sin(2 * math.pi * frequency_hz * np.arange(round(length_s * rate_hz)) / rate_hz).astype(
        np.float32
    )


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_a_tone_stays_what_it_was(rate_hz):
    ours = resample(tone(440, rate_hz), rate_hz, 16_000)
    assert len(ours) == math.ceil(round(0.5 * rate_hz) * 16_000 / rate_hz)
    middle = slice(500, 7000)
    np.testing.assert_allclose(ours[middle], tone(440, 16_000)[: len(ours)][middle], atol=2e-3)


def test_what_the_new_rate_cannot_hold_is_removed():
    assert np.abs(resample(tone(12_000, 48_000), 48_000, 16_000)[500:-500]).max() < 0.01


def test_channels_are_resampled_alike():
    one = tone(440, 44_100)
    both = resample(np.stack([one, 2 * one]), 44_100, 16_000)
    np.testing.assert_allclose(both[1], 2 * both[0], atol=1e-6)


def test_same_rate_and_nonsense():
    one = tone(440, 16_000)
    assert resample(one, 16_000, 16_000) is one
    with pytest.raises(ValueError, match="at least 1 Hz, got 0"):
        resample(one, 0, 16_000)
